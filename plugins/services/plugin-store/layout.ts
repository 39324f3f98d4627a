import { randomBytes } from "node:crypto";
import path from "node:path";
import { startTicks } from "@rclaw/plugin-sdk/services/process-life";
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
