import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { loadCompiler } from "./asc.ts";

const root = path.resolve(import.meta.dirname, "../..");
const cache = path.join(root, "node_modules/.cache/rclaw-test-guests");

/** A guest in AssemblyScript from `test/fixtures/guests`, built on top of the template's ABI. Kept by its sources. */
export async function buildAssemblyScript(name: string): Promise<Buffer> {
  const files: Record<string, string> = {
    "guest.ts": readFileSync(path.join(root, "test/fixtures/guests", `${name}.ts`), "utf8"),
    "rclaw.ts": readFileSync(path.join(root, "plugin-sdk/templates/assemblyscript/rclaw.ts"), "utf8"),
  };
  const digest = createHash("sha256").update(JSON.stringify(files)).digest("hex");
  const built = path.join(cache, `${name}-${digest.slice(0, 16)}.wasm`);
  if (existsSync(built)) return readFileSync(built);

  const asc = await loadCompiler();
  let wasm: Uint8Array | undefined;
  const { error } = await asc.main(
    ["guest.ts", "--optimize", "--use", "abort=rclaw/abort", "--outFile", "guest.wasm"],
    {
      readFile: (file) => files[file] ?? null,
      writeFile: (_file, contents) => void (wasm = contents as Uint8Array),
      listFiles: () => [],
    },
  );
  if (error || !wasm) throw new Error(`${name} does not build: ${String(error?.message)}`, { cause: error });
  mkdirSync(cache, { recursive: true });
  writeFileSync(built, wasm);
  return Buffer.from(wasm);
}
