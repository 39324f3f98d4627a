/**
 * The process that turns a component into JavaScript and core modules. What it reads may be hostile: it has
 * a limit of time and of memory, no environment, and a generator that runs as WASM without a file system.
 */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { generate } from "@bytecodealliance/jco/component";

async function main(folder: string): Promise<void> {
  const bytes = await buffer(process.stdin);
  const { files, imports, exports } = await generate(bytes, {
    name: "guest",
    instantiation: { tag: "async" },
    base64Cutoff: 0,
    noNodejsCompat: true,
    noTypescript: true,
    tlaCompat: false,
  });
  for (const [name, contents] of files) {
    // The name of a core module is the generator's own; anything else would be a bug of it.
    if (!/^guest(?:\.core\d*\.wasm|\.js)$/.test(name))
      throw new Error(`unexpected output ${JSON.stringify(name)}`);
    writeFileSync(path.join(folder, name), contents);
  }
  const summary = { files: files.map(([name]) => name), imports, exports: exports.map(([name]) => name) };
  process.stdout.write(JSON.stringify(summary));
}

main(process.argv[2] ?? "").catch((error: unknown) => {
  process.stderr.write(error instanceof Error ? error.message : JSON.stringify(error));
  process.exitCode = 1;
});
