import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";

export interface PlainFile {
  readonly text: string;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
  /** Permission bits. */
  readonly mode: number;
}

/** What a name stands for, judged without following it. */
export type FileKind = "missing" | "plain" | "link" | "hard-linked" | "odd";

/** A second name of the same file may stand anywhere, so such a file is as good as a link. */
export async function kindOf(file: string): Promise<FileKind> {
  try {
    const stat = await lstat(file);
    if (stat.isSymbolicLink()) return "link";
    if (!stat.isFile()) return "odd";
    return stat.nlink > 1 ? "hard-linked" : "plain";
  } catch (error) {
    if (isMissing(error)) return "missing";
    throw error;
  }
}

/**
 * The first `maxBytes` of a regular file that is no link and has one name only, or undefined: whoever
 * can put a link into a folder must not carry another file out of its place.
 */
export async function readPlain(file: string, maxBytes: number): Promise<PlainFile | undefined> {
  let handle;
  try {
    handle = await open(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.nlink > 1) return undefined;
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.alloc(Math.min(stat.size, maxBytes)),
      position: 0,
    });
    return {
      text: buffer.toString("utf8", 0, bytesRead),
      size: stat.size,
      updatedAt: Math.floor(stat.mtimeMs),
      mode: stat.mode & 0o777,
    };
  } finally {
    await handle.close();
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOENT" || code === "ENOTDIR";
}
