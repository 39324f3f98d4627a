import { writeAtomic } from "../atomic.ts";
import { RclawError } from "../errors.ts";

/** The system's own words without the path, which the caller names better. */
export function faultOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  const words: Record<string, string> = {
    ENOSPC: "no space is left on the disk",
    EDQUOT: "the disk quota is used up",
    EFBIG: "the file size limit is reached",
    EIO: "the disk reports an input/output error",
    EROFS: "the file system is read-only",
    EACCES: "access is denied",
    EPERM: "access is denied",
    EMFILE: "this process has too many open files",
    ENFILE: "the system has too many open files",
    ENOENT: "the folder was removed",
    EISDIR: "a folder is in its place",
  };
  const known = typeof code === "string" ? words[code] : undefined;
  if (known) return `${known} (${String(code)})`;
  return error instanceof Error ? error.message : String(error);
}

/** `writeAtomic` for what somebody asked to be kept: a disk that refuses is named with the file, and nothing has changed. */
export async function storeAtomic(file: string, data: string | Uint8Array): Promise<void> {
  try {
    await writeAtomic(file, data);
  } catch (error) {
    throw new RclawError(
      "STORE_DEGRADED",
      `${file} cannot be written: ${faultOf(error)}. Nothing was changed; try again when there is room and it is writable`,
      { cause: error, retryable: true },
    );
  }
}
