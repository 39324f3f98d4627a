import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { checkManifest } from "@rclaw/plugin-sdk/services/manifest-check";
import JSON5 from "json5";

const manifestName = "rclaw.plugin.json5";

/** A plugin where its author works on it. */
export interface PluginFolder {
  readonly folder: string;
  readonly manifest: Manifest;
  /** The script it runs as in-process or in a thread, relative to the folder. */
  readonly js?: string;
  /** The WASM artefact, relative to the folder. */
  readonly wasm?: string;
}

export async function readJson5(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new RclawError("NOT_FOUND", `${file} cannot be read: ${error.message}`, { cause: error });
  });
  try {
    return JSON5.parse(text);
  } catch (error) {
    // JSON5 says the place as 3:14, and starts its messages with its own name.
    const { message } = error as Error;
    const place = /at (\d+:\d+)$/.exec(message)?.[1];
    const what = message.replace(/^JSON5: /, "").replace(/ at \d+:\d+$/, "");
    throw new RclawError("MANIFEST_INVALID", `${file}${place ? `:${place}` : ""}: ${what}`, { cause: error });
  }
}

export async function openFolder(given: string): Promise<PluginFolder> {
  const folder = path.resolve(given);
  const file = path.join(folder, manifestName);
  if (!existsSync(file))
    throw new RclawError(
      "NOT_FOUND",
      `there is no plugin in ${folder}: it has no ${manifestName}. To start one: rclaw plugin new <id>`,
    );
  const manifest = checkManifest(await readJson5(file), file);
  const { entry } = manifest;
  const files =
    typeof entry === "string"
      ? entry.endsWith(".wasm")
        ? { wasm: entry }
        : { js: entry }
      : { js: entry.js, wasm: entry.wasm };
  return { folder, manifest, ...files };
}
