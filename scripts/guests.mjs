// Builds the WASM guests that ship with rclaw: `node scripts/guests.mjs [id...]`. What was built from what stands in
// digest.json beside the artefact, so that a forgotten build is noticed where no compiler is.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import JSON5 from "json5";

const root = path.resolve(import.meta.dirname, "..");
/** Where Go is put by its own installer, which does not tell the shell. */
const searched = [path.join(root, "node_modules/.bin"), process.env.PATH, "/usr/local/go/bin"].join(
  path.delimiter,
);

/** Those that an `optional` in their recipe keeps out of the repository are built only when they are named. */
export const guests = ["units", "clock"];
const witFolder = path.join(root, "wit/since-v0.1.0");
export const folderOf = (id) => path.join(root, "plugins/tools", id);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Of sources and artefact of a folder. */
export function digestOf(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && !/^(?:target|(?:digest|cases)\.json$)|\.(?:wasm|pyc)$/.test(entry.name),
    )
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
    .filter((file) => !file.startsWith("target/"))
    .sort();
  const sources = createHash("sha256");
  for (const file of files)
    sources
      .update(file)
      .update("\0")
      .update(readFileSync(path.join(folder, file)))
      .update("\0");
  const artefact = readdirSync(folder).find((file) => file.endsWith(".wasm"));
  return {
    sources: sources.digest("hex"),
    artefact: artefact && sha256(readFileSync(path.join(folder, artefact))),
  };
}

export const recipeOf = (folder) => JSON5.parse(readFileSync(path.join(folder, "rclaw.build.json5"), "utf8"));

/** Builds a folder with a rclaw.build.json5 in a copy of it; the artefact's bytes, or why there are none. */
export function build(folder) {
  const { needs, command, env = {}, output } = recipeOf(folder);
  const run = ([program, ...args], options) =>
    spawnSync(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
      env: { ...process.env, PATH: searched, ...env },
      ...options,
    });
  const version = run([needs, needs === "go" ? "version" : "--version"]);
  if (version.error) return { skipped: `no ${needs}` };
  const copy = mkdtempSync(path.join(tmpdir(), "rclaw-guest-"));
  try {
    cpSync(folder, copy, {
      recursive: true,
      filter: (file) => !/^(?:target|__pycache__)$|\.wasm$/.test(path.basename(file)),
    });
    const { status, stderr } = run(
      command.map((word) => word.replaceAll("{wit}", witFolder)),
      { cwd: copy },
    );
    if (status !== 0 && /can't find crate for `(?:core|std)`/.test(stderr))
      return { skipped: "no WebAssembly target of Rust: rustup target add wasm32-unknown-unknown" };
    if (status !== 0 && /wasm-ld|unable to create target|No available targets/.test(stderr))
      return { skipped: `${needs} cannot build for WebAssembly here` };
    if (status !== 0) throw new Error(`${folder} does not build:\n${stderr}`);
    return { wasm: readFileSync(path.join(copy, output)), compiler: version.stdout.split("\n")[0] };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const wanted = process.argv.slice(2);
  for (const id of wanted.length > 0 ? wanted : guests) {
    const folder = folderOf(id);
    const { wasm, compiler, skipped } = build(folder);
    if (!wasm) {
      console.error(`skipped ${id}: ${skipped}`);
      process.exitCode = 1;
      continue;
    }
    writeFileSync(path.join(folder, `${id}.wasm`), wasm);
    const { sources, artefact } = digestOf(folder);
    // An interpreter's snapshot is never twice the same; what is not committed has no digest to be compared with.
    const noted = recipeOf(folder).optional ? { sources, compiler } : { sources, artefact, compiler };
    writeFileSync(path.join(folder, "digest.json"), `${JSON.stringify(noted, null, 2)}\n`);
    console.error(`${id}.wasm: ${wasm.length} bytes`);
  }
}
