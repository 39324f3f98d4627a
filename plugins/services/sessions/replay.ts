import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { open, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";
import { codeOf } from "./disk.ts";
import { checkSeal, type Line, openLine, scanBackward } from "./lines.ts";
import type { BadLine } from "./quarantine.ts";
import { type JournalRecord, readRecord } from "./records.ts";
import { identify } from "./scan.ts";

/** What a session's file went through: one transcript, and how it ended if it did. */
export interface Generation {
  readonly generation: string;
  readonly lines: Buffer[];
  end?: { readonly archive: string | null };
}

export interface Replay {
  readonly segments: readonly number[];
  readonly abandoned: ReadonlyMap<number, number>;
  /** By transcript hash, oldest generation first. */
  readonly sessions: ReadonlyMap<string, readonly Generation[]>;
  readonly runs: readonly JournalRecord[];
}

/** Reads what the journal still holds, oldest first. Only whole lines with the right checksum count. */
export async function readJournal(dir: string, log: Logger): Promise<Replay> {
  const segments = (await readdir(dir))
    .map((name) => /^journal-(\d+)\.jsonl$/.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .toSorted((a, b) => a - b);
  const files = new Map<number, Buffer>();
  const abandoned = new Map<number, number>();
  for (const number of segments) {
    const data = await readFile(path.join(dir, `journal-${number}.jsonl`));
    files.set(number, data);
    for (const [other, size] of abandonedIn(data)) abandoned.set(other, size);
  }
  const sessions = new Map<string, Generation[]>();
  const runs: JournalRecord[] = [];
  for (const [number, data] of files) {
    const end = Math.min(abandoned.get(number) ?? data.length, data.length);
    const bad = eachRecord(data.subarray(0, end), (record) => {
      if (record.kind === "line" || record.kind === "end") place(sessions, record);
      else runs.push(record);
    });
    if (bad > 0) log.warn({ segment: number, lines: bad }, "unreadable lines in the journal are left out");
  }
  return { segments, abandoned, sessions, runs };
}

export interface Plan {
  /** The file is good up to here. */
  readonly size: number;
  /** More bytes follow, which are to be cut off. */
  readonly torn: boolean;
  /** Lines to append then, with their newlines. */
  readonly missing: readonly string[];
  readonly bad: readonly BadLine[];
}

interface Tail extends Line {
  /** Place in the journal's lines; undefined for a bad line. */
  readonly index: number | undefined;
}

/**
 * Compares the end of a transcript with what the journal promised and says how to make
 * them agree. Running it again, or after half of it was done, gives the same file:
 * entries are recognised by id, and a hole that a power cut left among unsynced lines
 * is cut open to be filled in order.
 */
export async function planRepair(file: string, lines: readonly Buffer[]): Promise<Plan> {
  let handle;
  try {
    handle = await open(file, "r");
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    return { size: 0, torn: false, missing: lines.map(withNewline), bad: [] };
  }
  try {
    const fileSize = (await handle.stat()).size;
    const { strict } = await identify(handle, fileSize);
    const places = new Map(lines.map((line, index) => [idOf(line, true) ?? `line ${index}`, index]));
    const tail: Tail[] = [];
    const earlier = new Set<number>();
    let base: { readonly end: number; readonly line: Buffer | undefined } | undefined;
    let looked = 0;
    await scanBackward(handle, fileSize, (line) => {
      const id = line.bytes && idOf(line.bytes, strict);
      const index = id === undefined ? undefined : places.get(id);
      if (base) {
        // Beyond the first line that is none of ours nothing should follow; but if it does, it is not written twice.
        if (index !== undefined) earlier.add(index);
      } else if (id !== undefined && index === undefined) {
        base = line.terminated
          ? { end: line.offset + line.length + 1, line: undefined }
          : { end: line.offset, line: line.bytes && Buffer.from(line.bytes) };
      } else {
        // Only bad lines are kept, for the note about them.
        tail.push({
          ...line,
          bytes: index === undefined && line.bytes ? Buffer.from(line.bytes.subarray(0, 4_096)) : undefined,
          index,
        });
      }
      return base === undefined || (lines.length > 0 && ++looked < lines.length + 64);
    });
    return agree(tail.reverse(), {
      fileSize,
      base: base ?? { end: 0, line: undefined },
      wanted: lines.filter((_line, index) => !earlier.has(index)),
      lines,
    });
  } finally {
    await handle.close();
  }
}

interface Agreement {
  readonly fileSize: number;
  readonly base: { readonly end: number; readonly line: Buffer | undefined };
  readonly wanted: readonly Buffer[];
  readonly lines: readonly Buffer[];
}

function agree(tail: readonly Tail[], { fileSize, base, wanted, lines }: Agreement): Plan {
  // A whole line that only lacks its newline is written again with one.
  const before = base.line ? [withNewline(base.line)] : [];
  let size = base.end;
  let next = 0;
  let passed = 0;
  const following: (number | undefined)[] = [];
  for (let at = tail.length - 1; at >= 0; at--) following[at] = tail[at]?.index ?? following[at + 1];
  for (const [at, line] of tail.entries()) {
    // A bad line is passed over when what should follow does follow it.
    const index = following[at];
    if (index === undefined || lines[index] !== wanted[next] || !line.terminated) break;
    size = line.offset + line.length + 1;
    if (line.index !== undefined) next++;
    passed = at + 1;
  }
  // With nothing to restore, complete lines stay where they are even when they are bad: they were noted, not removed.
  if (next === wanted.length) {
    while (tail[passed]?.terminated && tail[passed]?.index === undefined) {
      const line = tail[passed++];
      if (line) size = line.offset + line.length + 1;
    }
  }
  const bad = tail.slice(passed).filter((line) => line.index === undefined);
  return {
    size,
    torn: size < fileSize,
    missing: [...before, ...wanted.slice(next).map(withNewline)],
    bad: bad.map(({ bytes, offset, length }) => ({
      offset,
      length,
      bytes,
      reason: "an unfinished write, cut off",
    })),
  };
}

/** Its id, when the line is whole and readable. */
function idOf(line: Buffer, strict: boolean): string | undefined {
  // Ours begin like this; parsing fifty thousand of them at start would be felt.
  const quick = /^\{"type":"[^"\\]*","(?:version":3,")?id":"([^"\\]*)"/.exec(
    line.toString("latin1", 0, 200),
  )?.[1];
  if (quick !== undefined && checkSeal(line) === "ok") return quick;
  const opened = openLine(line, strict);
  return opened.ok && typeof opened.value["id"] === "string" ? opened.value["id"] : undefined;
}

function withNewline(line: Buffer): string {
  return `${line.toString()}\n`;
}

function abandonedIn(data: Buffer): readonly (readonly [number, number])[] {
  const end = data.indexOf(10);
  const opened = end === -1 ? undefined : openLine(data.subarray(0, end), true);
  const list = opened?.ok && isRecord(opened.value) ? opened.value["abandoned"] : undefined;
  return Array.isArray(list) ? (list as [number, number][]) : [];
}

function eachRecord(data: Buffer, visit: (record: JournalRecord) => void): number {
  let bad = 0;
  let start = 0;
  for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
    const line = data.subarray(start, end);
    start = end + 1;
    if (checkSeal(line) !== "ok") {
      bad++;
      continue;
    }
    const record = readRecord(line);
    if (record) visit(record);
  }
  return bad;
}

function place(
  sessions: Map<string, Generation[]>,
  record: JournalRecord & { readonly kind: "line" | "end" },
): void {
  let generations = sessions.get(record.hash);
  if (!generations) sessions.set(record.hash, (generations = []));
  let current = generations.at(-1);
  if (current?.generation !== record.generation || current.end) {
    current = { generation: record.generation, lines: [] };
    generations.push(current);
  }
  if (record.kind === "line") current.lines.push(record.line);
  else current.end = { archive: record.archive };
}
