import { execFile } from "node:child_process";
import { chmodSync, existsSync, statSync } from "node:fs";
import { chmod, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { leftovers } from "./processes.ts";

/** Name, major and minor number: what programs expect below /dev. */
const nodes = [
  ["null", "1", "3"],
  ["zero", "1", "5"],
  ["full", "1", "7"],
  ["random", "1", "8"],
  ["urandom", "1", "9"],
] as const;
const prefix = "rclaw-dev-";
export const deviceNames: readonly string[] = nodes.map(([name]) => name);

/**
 * Device files of the sandbox's own. bubblewrap shows the machine's, and to these the uid that
 * counts is the one outside: a root gateway's command could take /dev/null from every program of
 * the machine with one chmod. They cannot be shown read-only either, since bubblewrap then also
 * forbids their use as devices.
 */
export type Devices = { readonly folder: string | undefined } | { readonly reason: string };

/** A folder with its own device files where that is needed and possible; nothing where it is not needed. */
export async function makeDevices(): Promise<Devices> {
  // Whoever does not own the machine's device files cannot change them from inside either.
  if (statSync("/dev/null").uid !== process.getuid?.()) return { folder: undefined };
  for (const base of [tmpdir(), "/run", "/var/tmp"]) {
    for (const folder of leftovers(base, prefix)) await removeDevices(folder);
    const folder = await mkdtemp(path.join(base, `${prefix}${process.pid}-`)).catch(() => undefined);
    if (folder === undefined) continue;
    if (await fill(folder)) return { folder };
    await removeDevices(folder);
  }
  return {
    reason: "the gateway runs as root and could not make device files for the sandbox",
  };
}

/** False where device files are forbidden (no CAP_MKNOD) or do not work (a nodev mount). */
async function fill(folder: string): Promise<boolean> {
  try {
    await chmod(folder, 0o711);
    for (const [name, major, minor] of nodes) {
      const file = path.join(folder, name);
      await promisify(execFile)("/usr/bin/mknod", ["-m", "666", file, "c", major, minor]);
      await (await open(file, "r+")).close();
    }
    return true;
  } catch {
    return false;
  }
}

/** False when somebody tidied them away, as systems do with old files in /tmp. */
export function hasDevices(folder: string): boolean {
  return deviceNames.every((name) => existsSync(path.join(folder, name)));
}

/** Undoes what an earlier command did to them: it can only have hurt the sandbox itself. */
export function mendDevices(folder: string): void {
  for (const name of deviceNames) chmodSync(path.join(folder, name), 0o666);
}

export async function removeDevices(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
