import { open } from "node:fs/promises";
import { RclawError, type TranscriptEntry } from "@rclaw/plugin-sdk";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { codeOf } from "./disk.ts";
import { readLine } from "./entries.ts";
import { type Line, scanBackward, scanForward } from "./lines.ts";
import type { BadLine } from "./quarantine.ts";

/** What one read may bring into memory, whatever the number of entries asked for. */
const maxRead = 32 * 1_048_576;

export interface Snapshot {
  readonly file: string;
  readonly size: number;
  readonly strict: boolean;
  /** Newer than the file. */
  readonly lines: readonly string[];
}

export interface Found {
  /** Oldest first. */
  readonly entries: readonly TranscriptEntry[];
  readonly bad: readonly BadLine[];
}

/** The last `limit` entries, read from the end, so that the file's size does not matter; fewer when they fill `maxBytes`. */
export async function readTail(
  { file, size, strict, lines }: Snapshot,
  limit: number,
  maxBytes = maxRead,
): Promise<Found> {
  const entries: TranscriptEntry[] = [];
  const bad: BadLine[] = [];
  let bytes = 0;
  const visit = (line: Line): boolean => {
    const read = readLine(line, strict);
    // Our own count of the bytes ends at a line's end: a piece of one means that somebody is editing the file.
    if (read.kind === "bad" && line.terminated) bad.push(read.bad);
    if (read.kind === "entry") entries.push(read.entry);
    bytes += line.bytes?.length ?? 0;
    return entries.length < limit && bytes < maxBytes;
  };
  if (limit < 1) return { entries, bad };
  for (const line of lines.toReversed()) {
    if (!visit(lineOf(line))) return { entries: entries.reverse(), bad };
  }
  await withFile(file, size, (handle) => scanBackward(handle, size, visit));
  return { entries: entries.reverse(), bad };
}

/** Entries from the start, until `enough`; for what stands there, such as the first question. */
export async function readHead(
  { file, size, strict, lines }: Snapshot,
  enough: (entry: TranscriptEntry) => boolean,
): Promise<void> {
  let done = false;
  const visit = (line: Line): void => {
    if (done) return;
    const read = readLine(line, strict);
    if (read.kind === "entry") done = enough(read.entry);
  };
  await withFile(file, size, (handle) => scanForward(handle, 0, Math.min(size, 65_536), visit));
  for (const line of lines) visit(lineOf(line));
}

function lineOf(line: string): Line {
  const bytes = Buffer.from(line.slice(0, -1));
  return { bytes, offset: -1, length: bytes.length, terminated: true };
}

async function withFile(
  file: string,
  size: number,
  work: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  if (size === 0) return;
  let handle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    // Archived or removed since the snapshot was taken: then there is nothing to read.
    if (codeOf(error) === "ENOENT") return;
    throw unreadable(file, error);
  }
  try {
    await work(handle);
  } catch (error) {
    throw codeOf(error) === undefined ? error : unreadable(file, error);
  } finally {
    await handle.close();
  }
}

export function unreadable(file: string, error: unknown): RclawError {
  const message = `cannot read the transcript ${file}: ${faultOf(error)}. Nothing is lost; try again when the disk works.`;
  return new RclawError("STORE_DEGRADED", message, { cause: error, retryable: true });
}
