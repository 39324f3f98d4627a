import { lstat } from "node:fs/promises";
import path from "node:path";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type {
  FileHashes,
  Installed,
  InstalledPlugin,
  StorePorts,
  Verified,
} from "@rclaw/plugin-sdk/services/plugin-store";
import type { RefusedPlugin } from "@rclaw/plugin-sdk/services/plugin-admin";
import { readRegular, sha512, walk } from "./digest.ts";
import { lockPath, manifestName, versionFolder } from "./layout.ts";
import { limits } from "./limits.ts";
import { noPlugins, readLock, requirePlugin } from "./lockfile.ts";
import { codeOf, quoted } from "./text.ts";

interface Compared extends Omit<Verified, "id"> {
  readonly exists: boolean;
}

/** A folder beside what the lock says of it, every file read. */
export async function compareFolder(
  folder: string,
  files: FileHashes,
  onFile?: (done: number, total: number) => void,
): Promise<Compared> {
  const found = await walk(folder).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  });
  const names = Object.keys(files);
  if (!found) {
    const exists = (await lstat(folder).catch(() => undefined)) !== undefined;
    return { exists, ok: false, tampered: [], missing: names, extra: [] };
  }
  const kinds = new Map(found.map(({ path: file, kind }) => [file, kind]));
  const tampered: string[] = [];
  for (const [at, name] of names.entries()) {
    const kind = kinds.get(name);
    if (kind !== undefined && (kind !== "file" || !(await isAsLocked(path.join(folder, name), files[name]))))
      tampered.push(name);
    onFile?.(at + 1, names.length);
  }
  const missing = names.filter((name) => !kinds.has(name));
  const needed = new Set(names.flatMap((name) => parentsOf(name)));
  const extra = found
    .filter(({ path: file, kind }) => !Object.hasOwn(files, file) && !(kind === "folder" && needed.has(file)))
    .map(({ path: file }) => file);
  const ok = tampered.length + missing.length + extra.length === 0;
  return { exists: true, ok, tampered, missing, extra };
}

function parentsOf(file: string): string[] {
  const segments = file.split("/");
  return segments.slice(1).map((_name, at) => segments.slice(0, at + 1).join("/"));
}

async function isAsLocked(file: string, hash: string | undefined): Promise<boolean> {
  try {
    return sha512(await readRegular(file, limits.unpackedBytes)) === hash;
  } catch (error) {
    if (isRclawError(error)) return false;
    throw error;
  }
}

/** Compares what is on the disk with the lock: of one plugin, or of all. */
export async function verify(ports: StorePorts, id?: string): Promise<readonly Verified[]> {
  const lock = await readLock(ports.stateDir);
  const ids = id === undefined ? Object.keys(lock.plugins) : [id];
  const results: Verified[] = [];
  for (const one of ids) {
    ports.signal?.throwIfAborted();
    const { digest, files } = requirePlugin(lock, one);
    const { ok, tampered, missing, extra } = await compareFolder(
      versionFolder(ports.stateDir, one, digest),
      files,
      (done, total) => ports.progress?.({ phase: "hash", done, total }),
    );
    results.push({ id: one, ok, tampered, missing, extra });
  }
  return results;
}

/** What is installed, by the lock and a look at the folders; no file is hashed, that is for the load. */
export async function installed(stateDir: string): Promise<Installed> {
  const found: InstalledPlugin[] = [];
  const refused: RefusedPlugin[] = [];
  const lock = await readLock(stateDir).catch((error: unknown) => {
    if (!isRclawError(error)) throw error;
    refused.push({ id: "rclaw.lock", file: lockPath(stateDir), reason: error.message });
    return noPlugins;
  });
  for (const [id, plugin] of Object.entries(lock.plugins)) {
    const folder = versionFolder(stateDir, id, plugin.digest);
    const file = path.join(folder, manifestName);
    const isThere = (await lstat(file).catch(() => undefined))?.isFile() ?? false;
    if (isThere) found.push({ ...plugin, id, folder, file });
    else
      refused.push({
        id,
        file,
        reason: `version ${plugin.version} is in ${lockPath(stateDir)} and not on the disk; fetch it: rclaw plugin ci`,
      });
  }
  return { found, refused };
}

/** What a JavaScript entry could import without anybody asking again. */
const code = /\.(?:[cm]?js|json|wasm|node)$/i;

/**
 * The bytes that are about to run, when they are those that were agreed to. An entry of JavaScript reads its other
 * modules by itself, so all of those are looked at; a WASM entry is whole.
 */
export async function verifyEntry(folder: string, files: FileHashes, entry: string): Promise<Uint8Array> {
  const names = /\.wasm$/i.test(entry)
    ? [entry]
    : [entry, ...Object.keys(files).filter((name) => name !== entry && code.test(name))];
  const refuse = (name: string, why: string, cause?: unknown): never => {
    throw new RclawError(
      "PLUGIN_FAILED",
      `${quoted(path.join(folder, name))} ${why} since it was installed, so it was not run. See: rclaw plugin verify; to get it anew: rclaw plugin ci`,
      { cause, details: { file: name } },
    );
  };
  let bytes: Uint8Array | undefined;
  for (const name of names) {
    const content = await readRegular(path.join(folder, name), limits.unpackedBytes).catch((error: unknown) =>
      refuse(name, codeOf(error) === "ENOENT" ? "has gone" : "was replaced", error),
    );
    if (!Object.hasOwn(files, name)) refuse(name, "was added");
    if (sha512(content) !== files[name]) refuse(name, "was changed");
    bytes ??= content;
  }
  return bytes ?? refuse(entry, "has gone");
}
