import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import type { PluginFolder } from "./folder.ts";
import { sdkFolder, witFolder } from "./places.ts";

interface Output {
  /** Relative to the plugin's folder. */
  readonly file: string;
  readonly bytes: number;
}

export interface Built {
  readonly id: string;
  readonly outputs: readonly Output[];
  readonly ms: number;
}

export interface BuildOptions {
  readonly signal: AbortSignal;
  /** Told each line that a compiler of another language prints. */
  onOutput?(line: string): void;
}

export const recipeName = "rclaw.build.json5";

/** Makes what the manifest's `entry` names: from TypeScript, or by the folder's own recipe. */
export async function buildPlugin(plugin: PluginFolder, options: BuildOptions): Promise<Built> {
  const began = performance.now();
  const { folder, manifest } = plugin;
  if (existsSync(path.join(folder, recipeName))) {
    const { runRecipe } = await import("./recipe.ts");
    await takeOutput(plugin, await runRecipe(folder, options));
  } else await buildScript(plugin, options);
  const files = [plugin.js, plugin.wasm].filter((file) => file !== undefined);
  const outputs: Output[] = [];
  for (const file of files) {
    const size = (await stat(path.join(folder, file)).catch(() => undefined))?.size;
    if (size === undefined)
      throw new RclawError(
        "NOT_FOUND",
        `the build ended well, but ${file}, which the manifest's "entry" names, is not there`,
      );
    outputs.push({ file, bytes: size });
  }
  return { id: manifest.id, outputs, ms: Math.round(performance.now() - began) };
}

/** Toolchains write where they like; what the manifest names is what runs. */
async function takeOutput({ folder, js, wasm }: PluginFolder, output: string): Promise<void> {
  const entry = path.join(folder, wasm ?? js ?? "");
  if (entry === output) return;
  const bytes = await readFile(output).catch((error: unknown) => {
    const reason = `the build ended well, but ${output}, which ${recipeName} names as its output, is not there`;
    throw new RclawError("NOT_FOUND", reason, { cause: error });
  });
  await writeChanged(entry, bytes);
}

async function buildScript({ folder, js, wasm }: PluginFolder, { signal }: BuildOptions): Promise<void> {
  const entry = sourceOf(folder, js, wasm);
  const { buildComponent } = await import("./build-component.ts");
  if (js !== undefined && path.resolve(folder, js) !== entry) {
    const { bundleScript } = await import("./bundle-script.ts");
    await writeChanged(path.join(folder, js), Buffer.from(await bundleScript({ entry, folder, sdkFolder })));
  }
  signal.throwIfAborted();
  if (wasm === undefined) return;
  const component = await buildComponent({ entry, sdkFolder, witFolder, signal });
  await writeChanged(path.join(folder, wasm), component);
}

/** A file that stays as it is keeps its date, so that whoever watches is not woken. */
async function writeChanged(file: string, bytes: Uint8Array): Promise<void> {
  const before = await readFile(file).catch(() => undefined);
  if (before?.equals(bytes)) return;
  await writeAtomic(file, bytes, 0o644);
}

/** The author's own file: beside the script that is made from it, with an ending of TypeScript. */
function sourceOf(folder: string, js: string | undefined, wasm: string | undefined): string {
  const stem = (js ?? "index.js").replace(/\.[cm]?js$/, "");
  const names = [".ts", ".mts", ".tsx"].flatMap((ending) => [
    `${stem}${ending}`,
    `src/${path.basename(stem)}${ending}`,
  ]);
  const own = js === undefined ? [`${stem}.js`, `${stem}.mjs`] : [js];
  const found = [...names, ...own].map((name) => path.join(folder, name)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new RclawError(
    "NOT_FOUND",
    `nothing says how ${js ?? wasm ?? "the plugin"} is made: there is no ${stem}.ts, and no ${recipeName} with the command of another language`,
  );
}
