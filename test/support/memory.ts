import { readFile } from "node:fs/promises";

/** Memory a process holds, in bytes; 0 where the system does not say. */
export async function residentBytes(pid: number): Promise<number> {
  if (process.platform !== "linux") return 0;
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}
