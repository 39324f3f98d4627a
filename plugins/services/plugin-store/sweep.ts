import { readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { PluginLock } from "@rclaw/plugin-sdk/services/plugin-store";
import { isAlive } from "@rclaw/plugin-sdk/services/process-life";
import { shortDigest } from "./digest.ts";
import { ownerOf, pluginsFolder, stagingFolder, storeFolder } from "./layout.ts";
import { lockedPlugin, versionsOf } from "./lockfile.ts";

/** What somebody staged and has not decided on for so long was forgotten. */
const forgottenMs = 60 * 60_000;
/** Files that a write leaves behind when the process ends in the middle of it. */
const leftover = /^\.(?:rclaw\.lock\.[0-9a-f]+|turn(?:\.takeover)?\.[0-9a-f]+)\.tmp$/;

const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
const away = (...parts: readonly string[]): Promise<void> =>
  rm(path.join(...parts), { recursive: true, force: true });

async function isForgotten(folder: string): Promise<boolean> {
  const found = await stat(folder).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > forgottenMs;
}

/** Takes away what the lock does not name and nobody is at work on. Only in one's turn. */
export async function sweep(stateDir: string, lock: PluginLock): Promise<void> {
  const staging = stagingFolder(stateDir);
  for (const name of await names(staging)) {
    const owner = ownerOf(name);
    if (!owner || !(await isAlive(owner.pid, owner.ticks)) || (await isForgotten(path.join(staging, name))))
      await away(staging, name);
  }
  const store = storeFolder(stateDir);
  for (const id of await names(store)) {
    const plugin = lockedPlugin(lock, id);
    const kept = (plugin ? versionsOf(plugin) : []).map(({ digest }) => shortDigest(digest));
    if (kept.length === 0) await away(store, id);
    else
      for (const name of await names(path.join(store, id)))
        if (!kept.includes(name)) await away(store, id, name);
  }
  const plugins = pluginsFolder(stateDir);
  for (const name of await names(plugins))
    if (leftover.test(name) && (await isStale(path.join(plugins, name)))) await away(plugins, name);
}

/** Another process may be about to use it this very moment. */
async function isStale(file: string): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > 60_000;
}
