import { readFile } from "node:fs/promises";

/** Whether the process that had this number when it started then still runs: numbers are given out again. */
export async function isAlive(pid: number, started: number | undefined): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  if (process.platform !== "linux") return true;
  const ticks = await startTicks(pid);
  return ticks !== undefined && (started === undefined || ticks === started);
}

/**
 * When it started, in ticks since the machine did; Linux only. Undefined as well for a process that has ended
 * but was not yet waited for.
 */
export async function startTicks(pid: number): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined;
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in brackets, which may itself hold brackets and blanks.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state] = fields;
  const ticks = Number(fields[19]);
  return state === "Z" || state === "X" || !Number.isFinite(ticks) ? undefined : ticks;
}
