import { readdir, readFile, realpath, stat } from "node:fs/promises";
import path from "node:path";
import { type Manifest, RclawError } from "@rclaw/plugin-sdk";
import { checkManifest } from "@rclaw/plugin-sdk/services/manifest-check";
import type { FoundManifest, RefusedPlugin } from "@rclaw/plugin-sdk/services/plugin-admin";
import type { Installed } from "@rclaw/plugin-sdk/services/plugin-store";
import { entriesOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import JSON5 from "json5";

export interface Discovered {
  readonly found: readonly FoundManifest[];
  /** Manifests that were refused, with the reason. */
  readonly refused: readonly RefusedPlugin[];
}

const maxBytes = 262_144;

/** Validates one manifest's text. */
export function parseManifest(text: string, file: string): Manifest {
  let raw: unknown;
  try {
    raw = JSON5.parse(text);
  } catch (error) {
    throw new RclawError("MANIFEST_INVALID", `${file}: ${(error as Error).message}`, { cause: error });
  }
  return checkManifest(raw, file);
}

/** Built-ins: one index made by the build, or the `manifests/` tree when run from source. */
export async function discoverBuiltIns(root: string): Promise<Discovered> {
  const index = await readFile(path.join(root, "manifests.json"), "utf8").catch(() => undefined);
  if (index !== undefined) {
    // Written and validated by our own build: parsing it again for every start would be work done twice.
    const list = JSON.parse(index) as (Manifest & { file: string })[];
    // Joined by hand: path.join for each manifest makes it hot, and V8's optimising compiler costs an idle gateway 4 MB.
    const at = (entry: string): string => root + path.sep + entry.replaceAll("/", path.sep);
    const found = list.map(({ file, ...manifest }) => foundAt(manifest, file, true, at));
    return { found, refused: [] };
  }
  const folder = path.join(root, "manifests");
  const names = await readdir(folder, { recursive: true });
  const files = names.filter((name) => name.endsWith(".json5")).map((name) => path.join(folder, name));
  return readAll(files.sort(), true, (_file, entry) => path.join(root, entry.replace(/\.js$/, ".ts")));
}

/** What the operator installed: one folder each below `<state>/plugins`, with `rclaw.plugin.json5` in its root. */
export async function discoverInstalled(folder: string): Promise<Discovered> {
  const names = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const files: string[] = [];
  for (const { name } of names) {
    if (name.startsWith(".")) continue;
    const file = path.join(folder, name, "rclaw.plugin.json5");
    if ((await stat(file).catch(() => undefined))?.isFile()) files.push(file);
  }
  return readAll(files.sort(), false, (file, entry) => path.join(path.dirname(file), entry));
}

/** What the lock names; where it stands has no meaning, its content has. */
export async function discoverLocked({ found, refused }: Installed): Promise<Discovered> {
  const read = await readAll(
    found.map(({ file }) => file),
    false,
    (file, entry) => path.join(path.dirname(file), entry),
    (file) => found.find((item) => item.file === file)?.id ?? "",
  );
  const withLock = (item: FoundManifest): FoundManifest => {
    const installed = found.find(({ file }) => file === item.file);
    return { ...item, ...(installed && { installed }) };
  };
  return { found: read.found.map(withLock), refused: [...refused, ...read.refused] };
}

async function readAll(
  files: readonly string[],
  builtIn: boolean,
  entryOf: (file: string, entry: string) => string,
  idOf = (file: string): string =>
    builtIn ? path.basename(file, ".json5") : path.basename(path.dirname(file)),
): Promise<Discovered> {
  const found: FoundManifest[] = [];
  const refused: RefusedPlugin[] = [];
  for (const file of files) {
    const expected = idOf(file);
    try {
      if ((await stat(file)).size > maxBytes)
        throw new RclawError("MANIFEST_INVALID", `${file} is larger than ${maxBytes} bytes`);
      const manifest = parseManifest(await readFile(file, "utf8"), file);
      const item = foundAt(manifest, file, builtIn, (entry) => entryOf(file, entry));
      for (const entry of builtIn ? [] : [item.entry, item.wasm ?? item.entry]) {
        if (await isFileBelow(path.dirname(file), entry)) continue;
        throw new RclawError(
          "MANIFEST_INVALID",
          `${file}: entry "${path.relative(path.dirname(file), entry)}" is no file, or leaves the plugin's folder`,
        );
      }
      if (manifest.id !== expected) {
        throw new RclawError(
          "MANIFEST_INVALID",
          `${file}: id "${manifest.id}" must be "${expected}", like the ${builtIn ? "file" : "folder"}`,
        );
      }
      found.push(item);
    } catch (error) {
      refused.push({ id: expected, file, reason: (error as Error).message });
    }
  }
  return { found, refused };
}

function foundAt(
  manifest: Manifest,
  file: string,
  builtIn: boolean,
  at: (entry: string) => string,
): FoundManifest {
  const { entry, wasm } = entriesOf(manifest);
  return { manifest, entry: at(entry), ...(wasm !== undefined && { wasm: at(wasm) }), file, builtIn };
}

/** Links are followed: what counts is where the code really stands. */
async function isFileBelow(folder: string, file: string): Promise<boolean> {
  const [root, real] = await Promise.all([realpath(folder), realpath(file).catch(() => "")]);
  // Opening a pipe waits for whoever writes to it, and keeps a thread of the process waiting.
  return real.startsWith(root + path.sep) && (await stat(real)).isFile();
}
