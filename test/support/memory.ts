import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** Memory a process holds, in bytes; 0 where the system does not say. */
export async function residentBytes(pid: number): Promise<number> {
  if (process.platform !== "linux") return 0;
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

export interface MemoryProbe {
  /** For a product that can be asked. */
  readonly env: NodeJS.ProcessEnv;
  /** What the process holds after its garbage is collected. */
  ask(pid: number): Promise<NodeJS.MemoryUsage>;
}

/** Lets a test see the heap of a product in another process; `folder` is where it writes. */
export function memoryProbe(folder: string): MemoryProbe {
  const file = path.join(folder, "memory.json");
  const probe = path.resolve(import.meta.dirname, "../fixtures/memory-probe.cjs");
  return {
    env: { NODE_OPTIONS: `--require ${probe}`, MEMORY_PROBE_FILE: file },
    async ask(pid) {
      await rm(file, { force: true });
      process.kill(pid, "SIGUSR2");
      const end = Date.now() + 20_000;
      for (;;) {
        const text = await readFile(file, "utf8").catch(() => "");
        if (text !== "") return JSON.parse(text) as NodeJS.MemoryUsage;
        if (Date.now() > end) throw new Error("the process did not say what it holds");
        await pause(20);
      }
    },
  };
}
