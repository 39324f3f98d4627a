import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { build } from "esbuild";
import { buildComponent } from "../../../plugins/services/cli/author/build-component.ts";

const root = path.resolve(import.meta.dirname, "../../..");
const fixtures = path.join(root, "test/fixtures/lanes");

export interface Built {
  /** For in-process and worker. */
  readonly script: string;
  readonly component: string;
  remove(): Promise<void>;
}

/** One source file, built for every cage. */
export async function buildForAll(name: string): Promise<Built> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "rclaw-three-"));
  const entry = path.join(fixtures, name);
  const script = path.join(folder, "plugin.mjs");
  const component = path.join(folder, "plugin.wasm");
  await build({
    entryPoints: [entry],
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    alias: { "@rclaw/plugin-sdk": path.join(root, "plugin-sdk/index.ts") },
    logLevel: "silent",
  });
  const sdkFolder = path.join(root, "plugin-sdk");
  const witFolder = path.join(root, "wit/since-v0.1.0");
  await writeFile(component, await buildComponent({ entry, witFolder, sdkFolder }));
  return { script, component, remove: () => rm(folder, { recursive: true, force: true }) };
}
