import fs from "node:fs";
import { promisify } from "node:util";

// Raw descriptors, not FileHandle: one commit is two system calls, and a FileHandle doubles what they cost us.
const write = promisify(fs.write) as unknown as (
  fd: number,
  data: Buffer,
  offset: number,
  length: number,
) => Promise<{ bytesWritten: number }>;
export const openFd: (file: string, flags: string, mode: number) => Promise<number> = promisify(fs.open);
export const closeFd: (fd: number) => Promise<void> = promisify(fs.close);
export const datasync: (fd: number) => Promise<void> = promisify(fs.fdatasync);
export const truncateFd: (fd: number, length: number) => Promise<void> = promisify(fs.ftruncate);

/** Writes all of it, or throws having written a part. */
export async function writeAll(fd: number, data: Buffer): Promise<void> {
  let done = 0;
  while (done < data.length) {
    try {
      const { bytesWritten } = await write(fd, data, done, data.length - done);
      if (bytesWritten === 0)
        throw Object.assign(new Error("the device took no more bytes"), { code: "ENOSPC" });
      done += bytesWritten;
    } catch (error) {
      if (codeOf(error) !== "EAGAIN" && codeOf(error) !== "EINTR") throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Removed from outside while we hold it: what we write to it is lost when we close it. */
export function isUnlinked(fd: number): boolean {
  return fs.fstatSync(fd).nlink === 0;
}
