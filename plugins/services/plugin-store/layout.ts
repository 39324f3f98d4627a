import { readFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import path from "node:path";
import { shortDigest } from "./digest.ts";

export const manifestName = "rclaw.plugin.json5";
export const signatureName = "rclaw.signature.json";

export const pluginsFolder = (stateDir: string): string => path.join(stateDir, "plugins");
export const lockPath = (stateDir: string): string => path.join(pluginsFolder(stateDir), "rclaw.lock");
export const turnPath = (stateDir: string): string => path.join(pluginsFolder(stateDir), ".turn");
export const stagingFolder = (stateDir: string): string => path.join(pluginsFolder(stateDir), ".staging");
export const storeFolder = (stateDir: string): string => path.join(pluginsFolder(stateDir), ".store");
export const versionFolder = (stateDir: string, id: string, digest: string): string =>
  path.join(storeFolder(stateDir), id, shortDigest(digest));

/** A process as it can be told from a later one with the same number. */
export interface Owner {
  readonly pid: number;
  /** When it started, in ticks since the machine did; Linux only. */
  readonly ticks?: number;
}

export async function thisProcess(): Promise<Owner> {
  const ticks = await startTicks(process.pid);
  return { pid: process.pid, ...(ticks !== undefined && { ticks }) };
}

export async function isAlive({ pid, ticks: started }: Owner): Promise<boolean> {
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

/** Undefined as well for a process that has ended but was not yet waited for. */
async function startTicks(pid: number): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined;
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in brackets, which may itself hold brackets and blanks.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[19]);
  return fields[0] === "Z" || fields[0] === "X" || !Number.isFinite(ticks) ? undefined : ticks;
}

/** The owner stands in the name, so that there is no moment in which a folder is nobody's. */
export async function stagingName(): Promise<string> {
  const { pid, ticks } = await thisProcess();
  return `${pid}-${ticks ?? 0}-${randomBytes(9).toString("hex")}`;
}

export function ownerOf(name: string): Owner | undefined {
  const [, pid, ticks] = /^(\d{1,10})-(\d+)-[0-9a-f]{18}$/.exec(name) ?? [];
  if (pid === undefined || Number(pid) < 1) return undefined;
  return { pid: Number(pid), ...(Number(ticks) > 0 && { ticks: Number(ticks) }) };
}
