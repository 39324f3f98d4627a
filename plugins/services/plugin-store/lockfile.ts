import { lstat, readFile } from "node:fs/promises";
import { RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import type { LockedPlugin, LockedVersion, PluginLock } from "@rclaw/plugin-sdk/services/plugin-store";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { digestOf } from "./digest.ts";
import { lockPath } from "./layout.ts";
import { limits } from "./limits.ts";
import { lockSchema } from "./lock.schema.ts";
import { segmentsOf } from "./names.ts";
import { byText, codeOf } from "./text.ts";

const schema = compile(lockSchema);

export const noPlugins: PluginLock = { lockVersion: 1, plugins: {} };

/** A lock's text as data, or CONFIG_INVALID: it may have been edited, or merged badly. */
export function parseLock(text: string, file: string): PluginLock {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new RclawError(
      "CONFIG_INVALID",
      `${file} is no list of installed plugins: ${reason}. Put an older version of it back, or move it away and add the plugins again`,
      { cause, details: { file } },
    );
  };
  if (text.length > limits.lockBytes) refuse(`it is larger than ${limits.lockBytes} bytes`);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    // The parser's own words quote the text, which may be any file's.
    refuse("it is no JSON", error);
  }
  const issues = schema.issues(raw);
  if (issues.length > 0) refuse(describeIssues(issues));
  const lock = raw as PluginLock;
  for (const [id, plugin] of Object.entries(lock.plugins))
    for (const version of versionsOf(plugin)) {
      const reason = mistakeOf(version);
      if (reason) refuse(`of plugin "${id}", ${reason}`);
    }
  return lock;
}

/** Its paths become places on the disk, and its digest the name of a folder. */
function mistakeOf({ files, digest }: LockedVersion): string | undefined {
  try {
    for (const file of Object.keys(files)) segmentsOf(file);
  } catch (error) {
    return (error as Error).message;
  }
  return digestOf(files) === digest ? undefined : "the digest is not that of its files";
}

/** What is in force; nothing is, where there is no lock. */
export async function readLock(stateDir: string): Promise<PluginLock> {
  const file = lockPath(stateDir);
  try {
    const stats = await lstat(file);
    if (!stats.isFile() || stats.size > limits.lockBytes)
      throw new RclawError("CONFIG_INVALID", `${file} is no regular file, or larger than any lock`);
    return parseLock(await readFile(file, "utf8"), file);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return noPlugins;
    throw error;
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isRecord(value)) return value;
  const keys = Object.keys(value).sort(byText);
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key])]));
}

/** The commit point: before it the old lock is in force, after it the new one. */
export async function writeLock(stateDir: string, lock: PluginLock): Promise<void> {
  const { lockVersion, plugins } = lock;
  const text = JSON.stringify({ lockVersion, plugins: sorted(plugins) }, undefined, 2);
  // What could not be read again would lock everybody out.
  parseLock(text, lockPath(stateDir));
  await writeAtomic(lockPath(stateDir), `${text}\n`);
}

export const lockedPlugin = (lock: PluginLock, id: string): LockedPlugin | undefined =>
  Object.hasOwn(lock.plugins, id) ? lock.plugins[id] : undefined;

/** The same lock with one plugin set, or taken out. */
export function withPlugin(lock: PluginLock, id: string, plugin: LockedPlugin | undefined): PluginLock {
  const others = Object.entries(lock.plugins).filter(([other]) => other !== id);
  return {
    lockVersion: 1,
    plugins: Object.fromEntries(plugin ? [...others, [id, plugin] as const] : others),
  };
}

/** One that is installed, or NOT_FOUND. */
export function requirePlugin(lock: PluginLock, id: string): LockedPlugin {
  const plugin = lockedPlugin(lock, id);
  if (plugin) return plugin;
  throw new RclawError("NOT_FOUND", `no plugin "${id}" was installed here. See: rclaw plugin list`, {
    details: { plugin: id },
  });
}

/** All that it names: what is in force, what a rollback brings back, and what an undone update does. */
export const versionsOf = ({ previous, earlier, ...now }: LockedPlugin): readonly LockedVersion[] =>
  [now, previous, earlier].filter((version) => version !== undefined);

/** The version in force alone. */
export function versionInForce({
  previous: _previous,
  earlier: _earlier,
  ...now
}: LockedPlugin): LockedVersion {
  return now;
}
