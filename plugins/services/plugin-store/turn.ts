import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { RclawError } from "@rclaw/plugin-sdk";
import type { StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import { isAlive } from "@rclaw/plugin-sdk/services/process-life";
import { type Owner, pluginsFolder, thisProcess, turnPath } from "./layout.ts";
import { codeOf } from "./text.ts";

const waitMs = 15_000;
const lookMs = 40;
/** Taking over is a matter of milliseconds; whoever is still at it then has died over it. */
const takeoverMs = 2_000;

/** Runs the work while nobody else changes this state's plugins. A dead holder's turn is taken over. */
export async function inTurn<T>(
  { stateDir, signal }: Pick<StorePorts, "stateDir" | "signal">,
  work: () => Promise<T>,
): Promise<T> {
  const file = turnPath(stateDir);
  await mkdir(pluginsFolder(stateDir), { recursive: true, mode: 0o700 });
  const me = JSON.stringify({ ...(await thisProcess()), turn: randomBytes(8).toString("hex") });
  const deadline = Date.now() + waitMs;
  while (!(await create(file, me))) {
    const holder = await read(file);
    if (holder && (await isAlive(holder.pid, holder.ticks))) {
      if (Date.now() > deadline)
        throw new RclawError(
          "CONFLICT",
          `another rclaw (pid ${holder.pid}) is changing the plugins of ${stateDir}; try again when it is done`,
          { retryable: true, details: { pid: holder.pid } },
        );
      await wait(lookMs, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
    } else if (holder) await clearDead(file);
  }
  try {
    signal?.throwIfAborted();
    return await work();
  } catch (error) {
    throw orDegraded(error, stateDir);
  } finally {
    // Not somebody else's: a process that was held up for long may have been taken for dead.
    if ((await readFile(file, "utf8").catch(() => "")) === me) await remove(file);
  }
}

/** A full or read-only disk in words; anything else as it is. */
export function orDegraded(error: unknown, stateDir: string): unknown {
  if (!/^(?:ENOSPC|EDQUOT|EROFS|EACCES|EPERM|EIO|EMFILE|ENFILE)$/.test(codeOf(error) ?? "")) return error;
  return new RclawError(
    "STORE_DEGRADED",
    `the plugins in ${stateDir} could not be changed: ${(error as Error).message}. What was installed before is still in force; make room or make it writable, and try again`,
    { cause: error, retryable: true },
  );
}

/** Made beside and linked, so that it is never seen half written. False when there is one. */
async function create(file: string, text: string): Promise<boolean> {
  const temp = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  const handle = await open(temp, "wx", 0o600);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
  try {
    await link(temp, file);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    await remove(temp);
  }
}

/** Of several that found the holder dead one may remove its turn, or a slow one would remove a fast one's new turn. */
async function clearDead(file: string): Promise<void> {
  const takeover = `${file}.takeover`;
  if (!(await create(takeover, String(process.pid)))) {
    const found = await stat(takeover).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > takeoverMs) await remove(takeover);
    await wait(lookMs);
    return;
  }
  try {
    const holder = await read(file);
    if (holder && !(await isAlive(holder.pid, holder.ticks))) await remove(file);
  } finally {
    await remove(takeover);
  }
}

async function read(file: string): Promise<Owner | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as Partial<Owner> | null;
    if (typeof value?.pid === "number" && value.pid > 0)
      return { pid: value.pid, ...(typeof value.ticks === "number" && { ticks: value.ticks }) };
  } catch {
    // Torn by a power cut: whoever wrote it is gone.
  }
  return { pid: 2 ** 31 - 1 };
}

async function remove(file: string): Promise<void> {
  await unlink(file).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
}
