import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { buildComponent } from "../../plugins/services/cli/author/build-component.ts";

/** Where this program was built from: the sources of guests stand there. */
const root = path.resolve(import.meta.dirname, "../..");

const script = `export default { activate(ctx) {
  const add = (name, execute) => ctx.tools.register({ name, description: name, params: { type: "object" }, execute });
  add("echo", async ({ text }) => ({ content: text }));
  add("spin", () => { for (;;); });
} };
`;

const assembly = `import { describe, execute, Json, Tool, ToolResult } from "./rclaw";
function echo(params: Json, _context: Json): ToolResult { return new ToolResult(params.get("text").text); }
function spin(_params: Json, _context: Json): ToolResult { while (true) {} }
const tools = [new Tool("echo", "echo", '{"type":"object"}', echo), new Tool("spin", "spin", '{"type":"object"}', spin)];
export function rclaw_describe(): i32 { return describe(tools); }
export function rclaw_tool_execute(): i32 { return execute(tools); }
`;

export const lanes = ["worker", "extism", "component"] as const;
export type Lane = (typeof lanes)[number];

/** The same two tools for each lane; the paths of their artefacts. */
export async function buildGuests(folder: string): Promise<Readonly<Record<Lane, string>>> {
  await mkdir(folder, { recursive: true });
  const worker = path.join(folder, "echo.mjs");
  await writeFile(worker, script);
  const component = path.join(folder, "component.wasm");
  const built = await buildComponent({
    entry: worker,
    witFolder: path.join(root, "wit/since-v0.1.0"),
    sdkFolder: path.join(root, "plugin-sdk"),
  });
  await writeFile(component, built);
  const extism = path.join(folder, "extism.wasm");
  await writeFile(extism, await compile());
  return { worker, extism, component };
}

async function compile(): Promise<Uint8Array> {
  const files: Record<string, string> = {
    "echo.ts": assembly,
    "rclaw.ts": await readFile(path.join(root, "plugin-sdk/templates/assemblyscript/rclaw.ts"), "utf8"),
  };
  // Its own types would put that language's globals into every file here.
  const name = "assemblyscript/asc";
  const { default: asc } = (await import(name)) as {
    default: {
      main(args: readonly string[], options: object): Promise<{ error: Error | null; stderr: object }>;
    };
  };
  let wasm: Uint8Array | undefined;
  const { error } = await asc.main(
    ["echo.ts", "--optimize", "--use", "abort=rclaw/abort", "--outFile", "echo.wasm"],
    {
      readFile: (file: string) => files[file] ?? null,
      writeFile: (_file: string, contents: Uint8Array) => void (wasm = contents),
      listFiles: () => [],
    },
  );
  if (error || !wasm) throw new Error("the AssemblyScript guest does not build", { cause: error });
  return wasm;
}
