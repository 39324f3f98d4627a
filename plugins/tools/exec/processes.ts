import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";

/** What all processes of one command may use together. */
export interface Bounds {
  /** Counted only where the system's own limit does not bind. */
  readonly processes?: number;
  readonly memoryMb?: number;
}

const everyMs = 100;
/** Exact sums walk page tables, so they are not asked for at every look. */
const exactEveryMs = 1000;
const pageBytes = 4096;

/**
 * Looks again and again at the processes below `root` and says which bound they passed. Limits
 * of the system count each process alone and forget shared memory, so a command could otherwise
 * take the memory of the whole machine in pieces.
 */
export function watchBounds(
  root: number,
  { processes = Infinity, memoryMb = Infinity }: Bounds,
  exceeded: (bound: "processes" | "memory") => void,
): NodeJS.Timeout {
  const limit = memoryMb * 1024 * 1024;
  let nextExact = 0;
  return setInterval(() => {
    const seen = [root];
    for (let index = 0; index < seen.length && seen.length <= processes; index += 1)
      seen.push(...childrenOf(seen[index] ?? 0));
    if (seen.length > processes) return exceeded("processes");
    // Files that several programs have open count in each of them here, so this is only an upper bound.
    if (sum(seen, residentBytes) <= limit || performance.now() < nextExact) return;
    nextExact = performance.now() + exactEveryMs;
    if (sum(seen, ownBytes) > limit) exceeded("memory");
  }, everyMs).unref();
}

const sum = (pids: readonly number[], bytes: (pid: number) => number) =>
  pids.reduce((total, pid) => total + bytes(pid), 0);

function residentBytes(pid: number): number {
  return Number(contentOf(`/proc/${pid}/statm`).split(" ")[1] ?? 0) * pageBytes;
}

/** Anonymous and shared memory, each page divided by the number of processes that have it. */
function ownBytes(pid: number): number {
  const exact = [...contentOf(`/proc/${pid}/smaps_rollup`).matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+)/gm)];
  const lines =
    exact.length > 0
      ? exact
      : [...contentOf(`/proc/${pid}/status`).matchAll(/^Rss(?:Anon|Shmem):\s+(\d+)/gm)];
  return lines.reduce((total, [, kilobytes]) => total + Number(kilobytes) * 1024, 0);
}

/** Each thread has its own list of children. */
export function childrenOf(pid: number): readonly number[] {
  return namesIn(`/proc/${pid}/task`)
    .flatMap((thread) => contentOf(`/proc/${pid}/task/${thread}/children`).split(" "))
    .filter(Boolean)
    .map(Number);
}

export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Folders `<prefix><pid>-...` whose gateway was killed before it could remove them. */
export function leftovers(base: string, prefix: string): readonly string[] {
  return namesIn(base)
    .filter((name) => name.startsWith(prefix) && isGone(Number.parseInt(name.slice(prefix.length), 10)))
    .map((name) => path.join(base, name))
    .filter(isOld);
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** A container numbers its processes itself, so what was made just now may belong to one that lives. */
function isOld(folder: string): boolean {
  const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Infinity);
  return age > 60_000;
}

export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself meanwhile.
  }
}
