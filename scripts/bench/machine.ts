import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus, totalmem, type } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

export interface Memory {
  readonly rssMb: number;
  /** What the process made itself, without the pages of the binary; only known on Linux. */
  readonly anonymousMb: number | undefined;
}

const mb = 1_048_576;

export function describeMachine(): string {
  const all = cpus();
  const model = all[0]?.model.trim() ?? "unknown CPU";
  return `${model}, ${all.length} cores, ${Math.round(totalmem() / mb / 1_024)} GB, ${type()}, Node ${process.versions.node}`;
}

/** Files this process may hold open: each connection takes one on either side. */
export function openFileLimit(): number {
  if (!existsSync("/proc/self/limits")) return 1_024;
  const [, soft = "1024"] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
  return Number(soft);
}

/** Of a process and everything below it. */
export function memoryOf(pid: number): Memory {
  if (!existsSync("/proc/self/status")) return { rssMb: rssByPs(pid), anonymousMb: undefined };
  let rss = 0;
  let anonymous = 0;
  for (const id of withChildren(pid)) {
    const status = readStatus(id);
    rss += field(status, "VmRSS");
    anonymous += field(status, "RssAnon");
  }
  return { rssMb: rss / 1_024, anonymousMb: anonymous / 1_024 };
}

/** When it has stopped moving: nothing but a few pages within a second. */
export async function settledMemory(pid: number, minimumMs: number): Promise<Memory> {
  await sleep(minimumMs);
  let last = memoryOf(pid);
  for (let tries = 0; tries < 20; tries++) {
    await sleep(500);
    const now = memoryOf(pid);
    if (Math.abs(now.rssMb - last.rssMb) < 0.15) return now;
    last = now;
  }
  return last;
}

/** Seconds of CPU a process has used; undefined where that cannot be read. */
export function cpuSecondsOf(pid: number): number | undefined {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return undefined;
  const fields = readFileSync(file, "utf8").split(") ")[1]?.split(" ") ?? [];
  // utime and stime, in ticks of 10 ms on every Linux that Node runs on.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function withChildren(root: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (/^\d+$/.test(name)) parents.set(Number(name), field(readStatus(Number(name)), "PPid"));
  }
  const found = [root];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found;
}

/** Empty when the process is gone by now. */
function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

function field(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
}

function rssByPs(root: number): number {
  const rows = execFileSync("ps", ["-A", "-o", "pid=,ppid=,rss="], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [root];
  for (const pid of found) for (const [child, parent] of rows) if (parent === pid && child) found.push(child);
  return rows.reduce((sum, [pid = 0, , rss = 0]) => sum + (found.includes(pid) ? rss : 0), 0) / 1_024;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
