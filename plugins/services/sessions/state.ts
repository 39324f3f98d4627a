import fs from "node:fs";
import { open } from "node:fs/promises";
import type { SessionEntry } from "@rclaw/plugin-sdk";
import type { CatalogRow } from "./catalog.ts";
import { openLine, scanForward } from "./lines.ts";
import type { Transcript } from "./transcript.ts";
import type { Point } from "./writing.ts";

/** A session as the store knows it. */
export interface SessionState {
  readonly key: string;
  readonly hash: string;
  /** Undefined when the session does not exist, or not yet. */
  entry: SessionEntry | undefined;
  transcript: Transcript;
  /** With everything that is on its way to the disk. */
  next: Point;
  /** What `next` makes of the entry. */
  nextEntry: SessionEntry | undefined;
  /** With everything that is durable. */
  settled: Point;
  /** Ids that a transcript of foreign origin uses. */
  taken?: ReadonlySet<string>;
  /** Another number after every commit. */
  version: number;
  /** As the index has it. */
  row: CatalogRow | undefined;
}

// How somebody set a session up, not what was said in it.
const keptByReset = words(`
  thinkingLevel verboseLevel reasoningLevel elevatedLevel responseUsage fastMode traceLevel
  modelOverride providerOverride model modelProvider contextTokens
  label displayName sendPolicy groupActivation execHost execSecurity execAsk execNode
  spawnedBy spawnDepth spawnedWorkspaceDir subagentRole subagentControlScope
  channel chatType groupId subject groupChannel space origin
  deliveryContext lastChannel lastTo lastAccountId lastThreadId`);

/** The words of a text, for long lists of names. */
export function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

/** The fields a session starts again with. */
export function afterReset(entry: SessionEntry | undefined): Readonly<Record<string, unknown>> {
  const kept = keptByReset.flatMap((name) =>
    entry?.[name] === undefined ? [] : [[name, entry[name]] as const],
  );
  const fresh = { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalTokensFresh: true };
  return { systemSent: false, abortedLastRun: false, ...Object.fromEntries(kept), ...fresh };
}

/** What was counted is of the longer transcript. Whoever remembers that sees by the count that it is another one. */
export function afterCompaction(entry: SessionEntry | undefined): Readonly<Record<string, unknown>> {
  const before = entry?.["compactionCount"];
  const counts = { inputTokens: null, outputTokens: null, totalTokens: null, totalTokensFresh: null };
  return { ...counts, compactionCount: (typeof before === "number" ? before : 0) + 1 };
}

/** The session's row of the index, read again only when something changed. */
export function rowOf(state: SessionState, entry: SessionEntry): CatalogRow {
  const { key, transcript, settled, row } = state;
  if (row?.entry === entry && row.file.mtimeMs !== 0) return row;
  const { strict, lastId, leaf, hasEntries, named } = settled;
  const stat = fs.statSync(transcript.file, { throwIfNoEntry: false });
  // Lines that are still on their way are read from the file at the next start.
  const atRest = !transcript.hasPending && stat?.size === transcript.size;
  const file = {
    strict,
    leaf,
    hasEntries,
    named,
    lastId,
    size: transcript.size,
    mtimeMs: atRest ? (stat?.mtimeMs ?? 0) : 0,
  };
  return { key, entry, file };
}

export async function idsIn({ file, size }: Pick<Transcript, "file" | "size">): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  const handle = await open(file, "r");
  try {
    await scanForward(handle, 0, size, ({ bytes }) => {
      const opened = bytes && openLine(bytes, false);
      const id = opened?.ok ? opened.value["id"] : undefined;
      if (typeof id === "string") ids.add(id);
    });
  } finally {
    await handle.close();
  }
  return ids;
}
