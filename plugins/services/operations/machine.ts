import { statfs } from "node:fs/promises";
import os from "node:os";

const names: Readonly<Record<string, string>> = { darwin: "macOS", linux: "Linux", win32: "Windows" };

/** `system.info`: the machine the gateway runs on, and how much of it is free. */
export async function machine(stateDir: string): Promise<object> {
  const [first] = os.cpus();
  const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
  return {
    machineName: os.hostname(),
    hostname: os.hostname(),
    platform: process.platform,
    release: os.release(),
    arch: process.arch,
    osLabel: `${names[process.platform] ?? process.platform} ${os.release()}`,
    nodeVersion: process.versions.node,
    pid: process.pid,
    uptimeMs: Math.round(process.uptime() * 1_000),
    cpuCount: os.availableParallelism(),
    ...(first && { cpuModel: first.model }),
    loadAverage: os.loadavg(),
    memoryTotalBytes: os.totalmem(),
    memoryFreeBytes: os.freemem(),
    processMemory: {
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      heapTotalBytes: heapTotal,
      externalBytes: external,
      arrayBuffersBytes: arrayBuffers,
    },
    ...(await diskOf(stateDir)),
  };
}

/** Nothing on a file system that does not say. */
async function diskOf(folder: string): Promise<object> {
  try {
    const { bsize, blocks, bavail } = await statfs(folder);
    return { diskTotalBytes: bsize * blocks, diskAvailableBytes: bsize * bavail, diskPath: folder };
  } catch {
    return {};
  }
}
