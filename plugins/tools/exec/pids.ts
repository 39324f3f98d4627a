import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { leftovers } from "./processes.ts";

/** Bounds how many processes a command may have, where the system's own limit does not count: for root. */
export interface PidsGroup {
  /** Words in front of a command that put it into the group before it starts. */
  readonly words: readonly string[];
  /** Removes the group once its processes are gone. */
  close(): Promise<void>;
}

// The first is version 1 with a controller of its own, the second version 2.
const roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
const prefix = "rclaw-";
/** The sandbox's own processes beside the command's. */
const overhead = 8;

/** Undefined where groups cannot be made: then only counting from outside is left. */
export async function openPidsGroup(maxProcesses: number): Promise<PidsGroup | undefined> {
  for (const root of roots) {
    const folder = path.join(root, `${prefix}${process.pid}-${randomBytes(6).toString("hex")}`);
    if (!existsSync(path.join(root, "cgroup.procs"))) continue;
    try {
      await mkdir(folder);
      await writeFile(path.join(folder, "pids.max"), String(maxProcesses + overhead));
      const procs = path.join(folder, "cgroup.procs");
      return {
        words: ["/bin/sh", "-c", 'echo $$ >"$0" || exit 126; exec "$@"', procs],
        close: () => remove(folder),
      };
    } catch {
      await rmdir(folder).catch(() => undefined);
    }
  }
  return undefined;
}

/** Removes the groups of gateways that were killed; one that is in use cannot be removed. */
export async function removeLeftPidsGroups(): Promise<void> {
  for (const folder of roots.flatMap((root) => leftovers(root, prefix)))
    await rmdir(folder).catch(() => undefined);
}

async function remove(folder: string): Promise<void> {
  // A killed process counts until it is reaped, a moment later.
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const isGone = await rmdir(folder).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== "EBUSY",
    );
    if (isGone) return;
    await after(20);
  }
}
