import { constants, type Stats } from "node:fs";
import { chmod, open, stat } from "node:fs/promises";
import { RclawError } from "@rclaw/plugin-sdk";

/** Bytes of configuration that are read at most, all included files together. */
export const maxBytes = 1024 * 1024;

export interface PlainFile {
  readonly data: Buffer;
  readonly stats: Stats;
}

/**
 * Reads a regular file of bounded size. Pipes and devices are refused without
 * being waited for, and what is checked is the opened file, not the name.
 */
export async function readPlain(
  file: string,
  limit: number,
  options: { followLinks: boolean },
): Promise<PlainFile> {
  const noFollow = options.followLinks ? 0 : constants.O_NOFOLLOW;
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | noFollow);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new RclawError("NOT_REGULAR_FILE", "it is not a regular file");
    if (stats.size > limit)
      throw new RclawError("TOO_LARGE", `it is larger than the ${limit} bytes that are left to read`);
    return { data: await handle.readFile(), stats };
  } finally {
    await handle.close();
  }
}

/** Why a file could not be read, in words, without a stack or an errno table. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  const known: Record<string, string> = {
    ENOENT: "it does not exist",
    EACCES: "reading it is not permitted",
    EPERM: "reading it is not permitted",
    EISDIR: "it is a folder",
    ENOTDIR: "a part of its path is not a folder",
    ELOOP: "it is a symbolic link that leads in circles or that may not be followed",
    ENXIO: "it is not a regular file",
  };
  return (code && known[code]) ?? message;
}

export function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ENOENT";
}

/** Takes the file away from other users of the machine; says so, or says that it could not. */
export async function makePrivate(file: string, { mode }: Stats): Promise<string | undefined> {
  if (process.platform === "win32" || (mode & 0o077) === 0) return undefined;
  const was = (mode & 0o777).toString(8).padStart(4, "0");
  try {
    await chmod(file, 0o600);
    return `${file} could be read by other users of this machine (mode ${was}); it is now 0600`;
  } catch {
    return `${file} can be read by other users of this machine (mode ${was}); run: chmod 600 ${file}`;
  }
}

/** Others who may write in the folder could replace the configuration. */
export async function makeUnwritable(folder: string): Promise<string | undefined> {
  const { mode } = await stat(folder);
  if (process.platform === "win32" || (mode & 0o022) === 0) return undefined;
  const was = (mode & 0o7777).toString(8).padStart(4, "0");
  const advice = `${folder} can be changed by other users of this machine (mode ${was}); run: chmod 700 ${folder}`;
  // A sticky folder is shared on purpose, such as /tmp; closing it would break others.
  if (mode & 0o1000) return advice;
  try {
    await chmod(folder, mode & 0o700);
    return `${folder} could be changed by other users of this machine (mode ${was}); it is now 0700`;
  } catch {
    return advice;
  }
}
