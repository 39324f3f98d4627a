import type { Lock, LockHolder, LockInfo } from "@rclaw/plugin-sdk/services/sessions";
import type { Dirent } from "node:fs";
import { mkdir, open, readdir, readFile, stat, unlink } from "node:fs/promises";
import path from "node:path";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { removeLeftovers, writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { isAlive, startTicks } from "@rclaw/plugin-sdk/services/process-life";
import { codeOf } from "./disk.ts";

// A lock that is being written is shorter than one; after this time its writer is dead.
const writtenWithinMs = 3_000;

/** Takes the state folder for this process, or throws GATEWAY_LOCKED naming who has it. A dead holder's lock is taken over. */
export async function acquireLock(stateDir: string, info: LockInfo): Promise<Lock> {
  try {
    return await acquire(stateDir, info);
  } catch (error) {
    if (isRclawError(error)) throw error;
    throw new RclawError(
      "STORE_DEGRADED",
      `cannot write to the state folder ${stateDir}: ${faultOf(error)}. Nothing could be kept there; make room or make it writable, or give the gateway another folder with RUSTY_CLAW_STATE_DIR`,
      { cause: error, retryable: true },
    );
  }
}

async function acquire(stateDir: string, info: LockInfo): Promise<Lock> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const file = lockFile(stateDir);
  const started = await startTicks(process.pid);
  const own = {
    pid: process.pid,
    ...(started !== undefined && { startTicks: started }),
    startedAt: Date.now(),
  };
  while (!(await create(file, JSON.stringify({ ...own, ...info })))) await clearStale(stateDir, file);
  await tidy(stateDir);
  return {
    update: (next) => writeAtomic(file, JSON.stringify({ ...own, ...info, ...next })),
    async release() {
      const holder = await read(file);
      if (holder?.pid === own.pid && holder.startTicks === own.startTicks) await remove(file);
    },
  };
}

/** What stands in these is nobody's to take away, whatever it is called. */
const ofPeople = /^(?:workspace|skills)/;

/** Whoever has the state folder clears up after those who were killed in it. */
async function tidy(stateDir: string): Promise<void> {
  const foldersIn = async (folder: string): Promise<readonly string[]> =>
    (await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => []))
      .filter((entry) => entry.isDirectory() && !ofPeople.test(entry.name))
      .map(({ name }) => path.join(folder, name));
  const folders = [
    stateDir,
    ...(await foldersIn(stateDir)),
    ...(await foldersIn(path.join(stateDir, "plugins"))),
  ];
  await Promise.all(folders.map(removeLeftovers));
}

/** Who holds the state folder, or undefined when nobody alive does. */
export async function readLock(stateDir: string): Promise<LockHolder | undefined> {
  const holder = await read(lockFile(stateDir));
  return holder && (await isAlive(holder.pid, holder.startTicks)) ? holder : undefined;
}

/**
 * Removes a dead holder's lock. Of several processes that found it dead only one may,
 * or a slow one would remove the lock that a fast one has just made; so that has a lock of its own.
 */
async function clearStale(stateDir: string, file: string): Promise<void> {
  const turn = `${file}.takeover`;
  if (!(await create(turn, String(process.pid)))) {
    if (await isOlderThan(turn, writtenWithinMs)) await remove(turn);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return;
  }
  try {
    const holder = await read(file);
    if (holder && (await isAlive(holder.pid, holder.startTicks))) throw locked(stateDir, holder);
    if (holder || (await isOlderThan(file, writtenWithinMs))) await remove(file);
  } finally {
    await remove(turn);
  }
}

async function create(file: string, text: string): Promise<boolean> {
  let handle;
  try {
    handle = await open(file, "wx", 0o600);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
  try {
    await handle.writeFile(text);
  } catch (error) {
    await remove(file);
    throw error;
  } finally {
    await handle.close();
  }
  return true;
}

async function read(file: string): Promise<LockHolder | undefined> {
  try {
    const value = JSON.parse(await readFile(file, "utf8")) as Partial<LockHolder> | null;
    return typeof value?.pid === "number" && value.pid > 0 ? (value as LockHolder) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function isOlderThan(file: string, ms: number): Promise<boolean> {
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > ms;
}

async function remove(file: string): Promise<void> {
  await unlink(file).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
}

function lockFile(stateDir: string): string {
  return path.join(stateDir, "gateway.lock");
}

function locked(stateDir: string, { pid, url }: LockHolder): RclawError {
  const where = url === undefined ? "" : ` at ${url}`;
  return new RclawError(
    "GATEWAY_LOCKED",
    `a gateway (pid ${pid}) already runs on ${stateDir}${where}; stop it first, or give this one a folder of its own with RUSTY_CLAW_STATE_DIR`,
    { details: { pid, ...(url !== undefined && { url }) } },
  );
}
