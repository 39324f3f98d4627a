import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import type { OperationPorts } from "@rclaw/plugin-sdk/services/operations";
import { shown } from "./log-line.ts";

interface Wanted {
  /** Bytes of the file that were seen already. */
  readonly cursor?: number;
  readonly limit?: number;
  readonly maxBytes?: number;
}

interface Tail {
  readonly file: string;
  readonly cursor: number;
  readonly size: number;
  readonly lines: readonly string[];
  /** There is more before the first line. */
  readonly truncated: boolean;
  /** What the cursor pointed into is not what is shown: begin anew. */
  readonly reset: boolean;
  readonly skippedBytes?: number;
}

/** The end of the gateway's log, or what came since the cursor of an earlier answer. */
export async function tailLog(
  { logFile, stateDir, redactor }: Pick<OperationPorts, "logFile" | "stateDir" | "redactor">,
  { cursor, limit = 500, maxBytes = 250_000 }: Wanted,
): Promise<Tail> {
  // The protocol wants a name even where nothing is written to a file.
  const file = logFile() ?? path.join(stateDir, "logs/gateway.log");
  const handle = await openRegular(file);
  if (!handle) return { file, cursor: 0, size: 0, lines: [], truncated: false, reset: false };
  try {
    const { size } = await handle.stat();
    const from = cursor !== undefined && cursor <= size ? cursor : 0;
    const start = Math.max(from, size - maxBytes);
    const reset = cursor !== undefined && (cursor > size || start > from);
    const { lines, end } = await readLines(handle, start, size);
    return {
      file,
      cursor: end,
      size,
      lines: lines.slice(-limit).map((line) => redactor.text(shown(line))),
      truncated: start > from,
      reset,
      ...(reset && start > from && cursor !== undefined && cursor <= size && { skippedBytes: start - from }),
    };
  } catch (error) {
    throw unreadable(file, error);
  } finally {
    await handle.close();
  }
}

async function openRegular(file: string): Promise<FileHandle | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unreadable(file, error);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw unreadable(file, new Error("it is no regular file"));
}

/** Whole lines only. What is still being written is for the next time, so `end` is before it. */
async function readLines(
  handle: FileHandle,
  start: number,
  size: number,
): Promise<{ readonly lines: readonly string[]; readonly end: number }> {
  // One byte more at the front shows whether a line begins here.
  const before = start > 0 ? 1 : 0;
  const wanted = size - start + before;
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(wanted), 0, wanted, start - before);
  const bytes = buffer.subarray(0, bytesRead);
  const last = bytes.lastIndexOf(10);
  if (last < before) return { lines: [], end: start };
  const isWhole = before === 0 || bytes[0] === 10;
  const first = isWhole ? before : bytes.indexOf(10) + 1;
  if (first > last) return { lines: [], end: start - before + last + 1 };
  return {
    lines: bytes.toString("utf8", first, last).split("\n"),
    end: start - before + last + 1,
  };
}

function unreadable(file: string, error: unknown): RclawError {
  return new RclawError("UNAVAILABLE", `log read failed: ${file}: ${(error as Error).message}`, {
    cause: error,
  });
}
