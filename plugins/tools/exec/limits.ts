import { existsSync } from "node:fs";
import { release } from "node:os";

/** Upper bounds for one command, from `tools.exec.limits`. */
export interface Limits {
  readonly processes: number;
  readonly cpuSeconds: number;
  readonly fileMb: number;
  readonly openFiles: number;
  readonly memoryMb: number;
}

/**
 * The words that put limits on what follows them, or none when prlimit is missing. Memory is
 * limited as data, not as address space: node, Go and Java reserve far more than they touch.
 */
export function limitWords(
  { processes, cpuSeconds, fileMb, openFiles, memoryMb }: Limits,
  ownNamespace: boolean,
): readonly string[] {
  const prlimit = ["/usr/bin/prlimit", "/bin/prlimit"].find((file) => existsSync(file));
  if (prlimit === undefined) return [];
  const mb = 1024 * 1024;
  return [
    prlimit,
    ...(ownNamespace && countsPerNamespace() ? [`--nproc=${processes}`] : []),
    `--cpu=${cpuSeconds}`,
    `--fsize=${fileMb * mb}`,
    `--nofile=${openFiles}`,
    `--data=${memoryMb * mb}`,
    `--as=${memoryMb * mb * 16}`,
    "--core=0",
    "--",
  ];
}

/** Before Linux 5.14 the processes of the whole desktop count, and a small limit would stop the first fork. */
function countsPerNamespace(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 5 || (major === 5 && minor >= 14);
}
