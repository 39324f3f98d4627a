import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { open, rename } from "node:fs/promises";
import path from "node:path";
import type { Logger, SessionEntry } from "@rclaw/plugin-sdk";
import type { CatalogRow } from "./catalog.ts";
import { timeOf } from "./entries.ts";
import { scanForward } from "./lines.ts";
import type { Quarantine } from "./quarantine.ts";
import { generationOf } from "./records.ts";
import { type Generation, type Plan, planRepair } from "./replay.ts";
import { EntryFold, type Head, identify, type Identity } from "./scan.ts";
import { Transcript } from "./transcript.ts";
import type { Writeback } from "./writeback.ts";

export interface Loaded {
  readonly hash: string;
  /** Undefined when neither the transcript nor the index says whose it is. */
  readonly key: string | undefined;
  readonly entry: SessionEntry;
  readonly head: Head;
  readonly transcript: Transcript;
  /** As it was in the index and on the disk; undefined when the index has to learn of it. */
  readonly row: CatalogRow | undefined;
}

export interface LoadOptions {
  readonly folder: string;
  readonly writeback: Writeback;
  readonly quarantine: Quarantine;
  readonly log: Logger;
  headerFor(key: string | undefined, sessionId: string): string;
}

/** A million lines from elsewhere are not parsed at start; the last ones are, to go on after them. */
const parsedTail = 65_536;

/**
 * Brings one session up from its transcript, the index and what the journal still holds.
 * Nothing is written here: what is missing is handed to the write-back, so a full or
 * read-only disk cannot keep the sessions from being read.
 */
export async function loadSession(
  hash: string,
  cached: CatalogRow | undefined,
  generations: readonly Generation[],
  options: LoadOptions,
): Promise<Loaded | undefined> {
  const file = path.join(options.folder, `${hash}.jsonl`);
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (
    stat &&
    cached &&
    generations.length === 0 &&
    stat.size === cached.file.size &&
    stat.mtimeMs === cached.file.mtimeMs
  ) {
    return restored(hash, file, cached, options);
  }
  const { fileIsFree, archived } = await finishArchives(
    { hash, file, exists: stat !== undefined },
    generations,
    options,
  );
  const last = generations.at(-1);
  const lines = last && !last.end ? last.lines : [];
  if (fileIsFree && lines.length === 0) return undefined;
  const plan = fileIsFree
    ? { size: 0, torn: false, missing: lines.map((line) => `${line.toString()}\n`), bad: [] }
    : await planRepair(file, lines);
  const session = await readSession({ hash, file, plan }, cached, options);
  if (!session) return undefined;
  if (archived) session.transcript.waitFor(archived);
  return session;
}

function restored(hash: string, file: string, cached: CatalogRow, options: LoadOptions): Loaded {
  const { key, entry, file: facts } = cached;
  const header = (): string => options.headerFor(key, entry.sessionId);
  const transcript = new Transcript({
    file,
    size: facts.size,
    torn: false,
    strict: facts.strict,
    header,
    log: options.log,
  });
  return { hash, key, entry, head: facts, transcript, row: cached };
}

/** Carries out the resets and deletions that were durable but not done yet. */
async function finishArchives(
  { hash, file, exists }: { readonly hash: string; readonly file: string; readonly exists: boolean },
  generations: readonly Generation[],
  { folder, writeback, quarantine, log }: LoadOptions,
): Promise<{ fileIsFree: boolean; archived: Promise<boolean> | undefined }> {
  let fileIsFree = !exists;
  let archived: Promise<boolean> | undefined;
  const current = exists ? await identityOf(file) : undefined;
  const onDisk = current?.sessionId === undefined ? undefined : generationOf(current.sessionId);
  for (const { generation, lines, end } of generations) {
    if (!end) continue;
    const { archive } = end;
    if (archive !== null && fs.existsSync(path.join(folder, archive))) continue;
    const isThisFile = !fileIsFree && (onDisk === undefined || onDisk === generation);
    const isUnwritten =
      fileIsFree && archive !== null && lines[0]?.toString("latin1", 0, 17) === '{"type":"session"';
    if (!isThisFile && !isUnwritten) continue;
    const plan = isThisFile
      ? await planRepair(file, lines)
      : { size: 0, torn: false, missing: lines.map((line) => `${line.toString()}\n`) };
    const header = (): string => "";
    const transcript = new Transcript({ file, size: plan.size, torn: plan.torn, strict: true, header, log });
    if (archived) transcript.waitFor(archived);
    writeback.add(transcript, plan.missing);
    archived = writeback.archive(transcript, archive, () => quarantine.archive(hash, archive));
    fileIsFree = true;
  }
  return { fileIsFree, archived };
}

async function readSession(
  { hash, file, plan }: { readonly hash: string; readonly file: string; readonly plan: Plan },
  cached: CatalogRow | undefined,
  { folder, writeback, quarantine, log, headerFor }: LoadOptions,
): Promise<Loaded | undefined> {
  const missing = [...plan.missing];
  const identity = plan.size > 0 ? await identityOf(file) : identityIn(missing[0]);
  const sessionId = identity.sessionId ?? cached?.entry.sessionId ?? randomUUID();
  const header = (): string => headerFor(identity.key ?? cached?.key, sessionId);
  if (plan.size === 0 && missing.length > 0 && !missing[0]?.startsWith('{"type":"session"'))
    missing.unshift(header());

  const fold = await foldFile({ file, size: plan.size, sessionId, identity }, cached);
  for (const line of missing) {
    const bytes = Buffer.from(line.slice(0, -1));
    fold.add({ bytes, offset: -1, length: bytes.length, terminated: true });
  }
  await quarantine.add(hash, [...fold.bad, ...plan.bad]);
  const head = fold.head();
  if (head.lastId === undefined && !head.hasEntries && identity.sessionId === undefined) {
    // Not one readable line: it is put aside, and the session starts anew.
    if (plan.size > 0)
      await rename(file, path.join(folder, `${hash}.unreadable.${Date.now()}.jsonl`)).catch(() => undefined);
    return undefined;
  }
  const transcript = new Transcript({
    file,
    size: plan.size,
    torn: plan.torn,
    strict: identity.strict,
    header,
    log,
  });
  if (missing.length > 0) writeback.add(transcript, missing);
  const key = fold.key ?? identity.key ?? cached?.key;
  return { hash, key, entry: fold.entry, head, transcript, row: undefined };
}

interface FoldSource {
  readonly file: string;
  readonly size: number;
  readonly sessionId: string;
  readonly identity: Identity;
}

async function foldFile(
  { file, size, sessionId, identity }: FoldSource,
  cached: CatalogRow | undefined,
): Promise<EntryFold> {
  const named = identity.key !== undefined;
  const fresh = { strict: identity.strict, lastId: undefined, leaf: null, hasEntries: false, named };
  const parseFrom = size - parsedTail;
  if (size === 0) return new EntryFold({ sessionId, updatedAt: 0 }, fresh, parseFrom);
  const handle = await open(file, "r");
  try {
    const from = cached?.entry.sessionId === sessionId && cached.file.size < size ? cached.file.size : 0;
    // Only what was added since is read, provided it was added to what the index knew.
    const continues = cached && from > 0 && (await byteAt(handle, from - 1)) === 10;
    const fold = continues
      ? new EntryFold(cached.entry, cached.file, parseFrom)
      : new EntryFold({ sessionId, updatedAt: 0 }, fresh, parseFrom);
    await scanForward(handle, continues ? from : 0, size, (line) => fold.add(line));
    return fold;
  } finally {
    await handle.close();
  }
}

async function identityOf(file: string): Promise<Identity> {
  const handle = await open(file, "r");
  try {
    return await identify(handle, (await handle.stat()).size);
  } finally {
    await handle.close();
  }
}

function identityIn(line: string | undefined): Identity {
  const value: unknown = line?.startsWith('{"type":"session"') ? JSON.parse(line) : undefined;
  const found = isRecord(value) && timeOf(value) !== undefined ? value : undefined;
  const text = (field: unknown): string | undefined => (typeof field === "string" ? field : undefined);
  return { strict: true, sessionId: text(found?.["id"]), key: text(found?.["key"]) };
}

async function byteAt(
  handle: Awaited<ReturnType<typeof open>>,
  position: number,
): Promise<number | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, position);
  return bytesRead === 1 ? buffer[0] : undefined;
}
