import { createReadStream } from "node:fs";
import { copyFile, link, open, unlink } from "node:fs/promises";
import path from "node:path";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { codeOf } from "./disk.ts";
import { readLine } from "./entries.ts";
import { scanBackward } from "./lines.ts";
import type { SessionState } from "./state.ts";
import type { SessionTable } from "./table.ts";

export interface Compaction {
  readonly compacted: boolean;
  readonly kept?: number;
  readonly archived?: string;
  readonly reason?: "no sessionId" | "no transcript";
}

export interface CutOptions {
  readonly maxLines: number;
  readonly table: SessionTable;
  archiveName(): string;
  /** Resolves when the journal holds nothing that was acknowledged before. */
  flush(): Promise<void>;
}

/** How often a session may be changed while it is to be cut. */
const maxAttempts = 20;

/**
 * Leaves a session that its caller holds for writing its last entries. What the journal holds of it
 * is in the file when that is cut, so that no replay brings back what is gone.
 */
export async function cutSession(
  state: SessionState,
  { maxLines, table, archiveName, flush }: CutOptions,
): Promise<{ readonly kept: number; readonly archived?: string }> {
  const { transcript, hash } = state;

  async function cut(version: number): Promise<{ kept: number; archived?: string } | undefined> {
    const { entry, next, settled } = state;
    if (!entry || state.version !== version || next !== settled || transcript.hasPending) return undefined;
    const { kept, offset, dropped } = await findCut(transcript, maxLines);
    if (dropped === undefined) return { kept };
    const archived = path.join(table.folder, archiveName());
    const opening = table.opening(state, entry, dropped);
    const end = { archive: archived, from: offset, opening };
    await transcript.replace(() => keepEnd(transcript, end));
    await table.quarantine.archive(hash, path.basename(archived));
    return { kept, archived };
  }

  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const { version } = state;
    await flush();
    try {
      const done = await table.writeback.lend(transcript, () => cut(version));
      if (done) return done;
    } catch (error) {
      if (isRclawError(error)) throw error;
      const message = `session ${state.key} was not compacted: ${faultOf(error)}. Nothing is lost; try again when the disk works.`;
      throw new RclawError("STORE_DEGRADED", message, { cause: error, retryable: true });
    }
  }
  const message = `session ${state.key} is changed all the time; try again in a moment`;
  throw new RclawError("UNAVAILABLE", message, { retryable: true });
}

/** Where a transcript's last entries begin. */
interface Cut {
  /** Entries from `offset` on. */
  readonly kept: number;
  readonly offset: number;
  /** The entry before them, or undefined when there is none. */
  readonly dropped: string | undefined;
}

/** Looks no further back than it has to, however long the transcript is. */
async function findCut(
  { file, size, strict }: { readonly file: string; readonly size: number; readonly strict: boolean },
  maxLines: number,
): Promise<Cut> {
  let kept = 0;
  let offset = size;
  let dropped: string | undefined;
  const handle = await open(file, "r");
  try {
    await scanBackward(handle, size, (line) => {
      const read = readLine(line, strict);
      if (read.kind !== "entry") return true;
      if (kept === maxLines) {
        dropped = read.entry.id;
        return false;
      }
      kept++;
      ({ offset } = line);
      return true;
    });
  } finally {
    await handle.close();
  }
  return { kept, offset, dropped };
}

/**
 * Replaces a transcript by its end, with new lines in front of it; the whole of it stays
 * under the archive's name. A crash in between leaves the old file or the new one.
 */
async function keepEnd(
  { file, size }: { readonly file: string; readonly size: number },
  { archive, from, opening }: { readonly archive: string; readonly from: number; readonly opening: string },
): Promise<number> {
  await link(file, archive).catch(async (error: unknown) => {
    if (codeOf(error) === "EEXIST") throw error;
    // Some file systems have no second names.
    await copyFile(file, archive);
  });
  const start = Buffer.from(opening);
  async function* pieces(): AsyncIterable<Uint8Array> {
    yield start;
    if (from < size) yield* createReadStream(file, { start: from, end: size - 1 }) as AsyncIterable<Buffer>;
  }
  try {
    await writeAtomic(file, pieces());
  } catch (error) {
    await unlink(archive).catch(() => undefined);
    throw error;
  }
  return start.length + size - from;
}
