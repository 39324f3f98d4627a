import type {
  DeleteOptions,
  SessionChange,
  SessionStoreOptions,
  StoreState,
} from "@rclaw/plugin-sdk/services/sessions";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import {
  type Logger,
  RclawError,
  type Session,
  type SessionEntry,
  type TranscriptEntry,
} from "@rclaw/plugin-sdk";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { Checkpoint } from "./checkpoint.ts";
import { type Compaction, cutSession } from "./compact.ts";
import { Journal } from "./journal.ts";
import type { KeyRules } from "@rclaw/plugin-sdk/session-key";
import { endRecord } from "./records.ts";
import { readJournal, type Replay } from "./replay.ts";
import { Runs } from "./runs.ts";
import { HeldSession } from "./session.ts";
import { afterCompaction, afterReset, type SessionState } from "./state.ts";
import { SessionTable } from "./table.ts";
import { readHead, readTail } from "./tail.ts";
import { Writers } from "./writers.ts";
import { Draft, type NewEntry, newPoint, type Point } from "./writing.ts";

// More than this in memory only means that the disk takes the journal but not the transcripts.
const maxBacklog = 64 * 1_048_576;

interface Commit extends Pick<SessionChange, "reason"> {
  readonly entries?: readonly TranscriptEntry[];
  swap?(): void;
  /** Goes into the journal in front of the lines. */
  readonly before?: string;
}

/**
 * The sessions on the disk. A write is acknowledged when the journal is synced; the
 * transcripts follow within milliseconds and are the truth: `sessions.json` can always
 * be rebuilt from them, and the journal only holds what they may still lack.
 */
export class SessionStore {
  readonly runs: Runs;
  readonly #options: SessionStoreOptions;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #redact: (json: string) => string;
  readonly #cwd: string;
  readonly #table: SessionTable;
  readonly #writers = new Writers();
  readonly #checkpoint: Checkpoint;
  readonly #watchers: ((key: string) => void)[] = [];
  #journal: Journal;
  #closed: Promise<void> | undefined;

  /** Opens the folder and brings back what a crash left in the journal. */
  static async open(options: SessionStoreOptions): Promise<SessionStore> {
    const store = new SessionStore(options);
    try {
      await store.#load();
    } catch (error) {
      const fault = faultOf(error);
      throw new RclawError(
        "STORE_DEGRADED",
        `cannot open the sessions in ${options.dir}: ${fault}. The folder must be readable and writable for this user.`,
        { cause: error },
      );
    }
    return store;
  }

  private constructor(options: SessionStoreOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.#redact = options.redact ?? ((json) => json);
    this.#cwd = options.cwd ?? process.cwd();
    const { dir, keys } = options;
    const added = (key: string): void => this.#changed(key);
    this.#table = new SessionTable({ dir, keys, log: this.#log, cwd: this.#cwd, now: this.#now, added });
    this.#checkpoint = new Checkpoint({
      dir,
      log: this.#log,
      writeback: this.#table.writeback,
      idleMs: options.commit?.idleMs ?? 2_000,
      journal: () => this.#journal,
      takeOver: () => this.#table.takeOver(),
      save: async () => {
        await this.runs.save();
        await this.#table.save();
      },
    });
    this.#journal = this.#newJournal({ segments: [], abandoned: new Map() });
    this.runs = new Runs({
      file: path.join(dir, "runs.json"),
      log: this.#log,
      now: this.#now,
      redact: this.#redact,
      journal: () => {
        this.#checkpoint.touch();
        return this.#journal;
      },
    });
  }

  get state(): StoreState {
    const { writeback, fault } = this.#table;
    const reason = this.#journal.fault ?? writeback.fault ?? this.#checkpoint.fault ?? fault;
    return {
      status: reason === undefined ? "ok" : "degraded",
      ...(reason !== undefined && { reason }),
      quarantined: this.#table.quarantine.count,
    };
  }

  get keys(): KeyRules {
    return this.#options.keys;
  }

  /** Any spelling of a key to the canonical one; INVALID_REQUEST when it is malformed. */
  canonical(key: string): string {
    return this.#table.canonical(key);
  }

  /** The index file, for people and clients that ask where sessions are. */
  get indexFile(): string {
    return this.#table.indexFile;
  }

  list(): readonly (SessionEntry & { readonly key: string })[] {
    const all: (SessionEntry & { readonly key: string })[] = [];
    for (const { key, entry } of this.#table.states) if (entry) all.push({ ...entry, key });
    return all;
  }

  /** Whether another session than that has the label. */
  hasLabel(label: string, besides: string): boolean {
    for (const { key, entry } of this.#table.states)
      if (entry?.label === label && key !== besides) return true;
    return false;
  }

  /** Told which session is new or not what it was. */
  watch(watcher: (key: string) => void): void {
    this.#watchers.push(watcher);
  }

  find(key: string): SessionEntry | undefined {
    return this.#table.peek(key)?.entry;
  }

  /** The transcript's absolute path, when the session exists. */
  sessionFile(key: string): string | undefined {
    const state = this.#table.peek(key);
    return state?.entry && state.transcript.file;
  }

  /** Another number than before when anything about the session changed. */
  version(key: string): number {
    return this.#table.peek(key)?.version ?? 0;
  }

  /** The last `limit` entries, oldest first, at most `maxBytes` (32 MiB) of them. Does not wait for a writer. */
  async tail(key: string, limit: number, maxBytes?: number): Promise<readonly TranscriptEntry[]> {
    const state = this.#table.peek(key);
    if (!state) return [];
    for (;;) {
      const { transcript } = state;
      const { edition } = transcript;
      if (edition % 2 === 1) {
        await transcript.turn;
        continue;
      }
      const found = await readTail(transcript.snapshot(), limit, maxBytes);
      // Reset or cut meanwhile: what was read may be half of each.
      if (state.transcript !== transcript || transcript.edition !== edition) continue;
      await this.#table.quarantine.add(
        state.hash,
        found.bad.filter((line) => line.offset >= 0),
      );
      return found.entries;
    }
  }

  /** Entries from the beginning, as far as 64 KiB reach, until `enough` answers true. */
  async head(key: string, enough: (entry: TranscriptEntry) => boolean): Promise<void> {
    const state = this.#table.peek(key);
    if (state) await readHead(state.transcript.snapshot(), enough);
  }

  /** Waits for the writer before it. A new session exists with its first entry or patch. */
  async open(key: string, signal: AbortSignal): Promise<Session> {
    const canonical = this.canonical(key);
    const release = await this.#writers.acquire(canonical, signal);
    try {
      const state = await this.#prepared(canonical, { toWrite: true });
      return new HeldSession({
        key: canonical,
        entry: () => state.entry ?? this.#blank(state),
        append: (entries) => this.#append(state, entries),
        tail: (limit) => this.tail(canonical, limit),
        patch: (fields) => this.#patch(state, fields),
        release,
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Changes the entry, and creates the session when it is new. Does not wait for a writer; durable when it resolves. */
  async patch(key: string, fields: Readonly<Record<string, unknown>>): Promise<SessionEntry> {
    return this.#patch(await this.#prepared(this.canonical(key), { toWrite: true }), fields);
  }

  /** Archives the transcript and starts an empty one. Waits for the writer. */
  async reset(key: string, reason: "new" | "reset", signal: AbortSignal): Promise<SessionEntry> {
    const canonical = this.canonical(key);
    const release = await this.#writers.acquire(canonical, signal);
    try {
      const state = await this.#prepared(canonical, { toWrite: false });
      const point = newPoint(randomUUID());
      const draft = this.#draft(state, {
        point,
        entry: { sessionId: point.sessionId, updatedAt: this.#now() },
      });
      draft.begin(afterReset(state.nextEntry));
      await this.#replace(state, draft, "reset");
      this.#log.debug({ sessionKey: canonical, reason }, "session was reset");
      return draft.entry;
    } finally {
      release();
    }
  }

  /** Archives the transcript and forgets the session. Waits for the writer. */
  async delete(
    key: string,
    { deleteTranscript = true }: DeleteOptions,
    signal: AbortSignal,
  ): Promise<{ deleted: boolean; archived: string[] }> {
    const canonical = this.canonical(key);
    const release = await this.#writers.acquire(canonical, signal);
    try {
      const state = this.#table.peek(canonical) && (await this.#prepared(canonical, { toWrite: false }));
      if (!state?.next.exists) return { deleted: false, archived: [] };
      const point = newPoint(randomUUID());
      const nothing = this.#draft(state, {
        point,
        entry: { sessionId: point.sessionId, updatedAt: this.#now() },
      });
      const archived = await this.#replace(state, nothing, deleteTranscript ? "deleted" : "detached");
      return {
        deleted: true,
        archived: deleteTranscript && archived !== null ? [path.join(this.#table.folder, archived)] : [],
      };
    } finally {
      release();
    }
  }

  /**
   * Leaves a transcript its last entries, under the same session id; the whole of it is archived.
   * Waits for the writer; changes of the entry may go on meanwhile.
   */
  async compact(key: string, maxLines: number, signal: AbortSignal): Promise<Compaction> {
    const canonical = this.canonical(key);
    const release = await this.#writers.acquire(canonical, signal);
    try {
      const state = this.#table.peek(canonical) && (await this.#prepared(canonical, { toWrite: true }));
      if (!state?.entry) return { compacted: false, reason: "no sessionId" };
      if (!state.settled.hasEntries) return { compacted: false, reason: "no transcript" };
      const archiveName = (): string => this.#archiveName(state.hash, "compacted");
      const found = await cutSession(state, {
        maxLines,
        table: this.#table,
        archiveName,
        flush: () => this.flush(),
      });
      if (found.archived === undefined) return { compacted: false, kept: found.kept };
      await this.#patch(state, afterCompaction(state.nextEntry), "compact");
      // The index must not be taken for that of the longer file.
      state.row = undefined;
      await this.flush();
      return { compacted: true, archived: found.archived, kept: found.kept };
    } finally {
      release();
    }
  }

  /** Everything acknowledged so far is in the transcripts and synced, the index is written and the journal is empty. */
  async flush(): Promise<void> {
    await this.#journal.settled();
    await this.#checkpoint.fresh();
    if (this.#checkpoint.fault !== undefined) throw degraded(this.#checkpoint.fault);
  }

  /** Flushes and lets go of all files. What cannot be flushed stays in the journal for the next start. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#checkpoint.stop();
    const clean = await this.flush().then(
      () => true,
      () => false,
    );
    await this.#journal.close({ empty: clean });
    await this.#table.writeback.close();
  }

  async #load(): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    const replay = await readJournal(this.#options.dir, this.#log);
    this.#journal = this.#newJournal(replay);
    await this.runs.load(replay.runs);
    await this.#table.load(replay);
    await this.#journal.start();
    if (replay.segments.length > 0) void this.#checkpoint.start();
  }

  async #prepared(key: string, { toWrite }: { toWrite: boolean }): Promise<SessionState> {
    if (this.#closed) throw closing();
    return toWrite ? this.#table.prepareToWrite(key) : this.#table.prepare(key);
  }

  #blank(state: SessionState): SessionEntry {
    return { sessionId: state.next.sessionId, updatedAt: this.#now() };
  }

  #draft(state: SessionState, from?: { readonly point: Point; readonly entry: SessionEntry }): Draft {
    const { key, hash, taken } = state;
    return new Draft({
      key,
      hash,
      taken,
      cwd: this.#cwd,
      now: this.#now(),
      redact: this.#redact,
      entry: from?.entry ?? state.nextEntry ?? this.#blank(state),
      point: from?.point ?? state.next,
    });
  }

  async #append(state: SessionState, entries: readonly NewEntry[]): Promise<readonly TranscriptEntry[]> {
    if (entries.length === 0) return [];
    const draft = this.#draft(state);
    draft.begin();
    const appended = entries.map((entry) => draft.append(entry));
    await this.#commit(state, draft, { reason: "message", entries: appended });
    return appended;
  }

  async #patch(
    state: SessionState,
    fields: Readonly<Record<string, unknown>>,
    reason: "patch" | "compact" = "patch",
  ): Promise<SessionEntry> {
    if ("sessionId" in fields || "key" in fields) {
      throw new RclawError(
        "INVALID_REQUEST",
        `session ${state.key}: sessionId and key cannot be changed; reset the session for a new id`,
      );
    }
    const draft = this.#draft(state);
    draft.patch(fields);
    await this.#commit(state, draft, { reason });
    return draft.entry;
  }

  /** Everything up to the journal's queue happens in one turn, so lines of one session cannot overtake each other. */
  #commit(
    state: SessionState,
    draft: Draft,
    { reason, entries = [], swap, before = "" }: Commit,
  ): Promise<void> {
    if (this.#table.writeback.backlog > maxBacklog)
      throw degraded(this.#table.writeback.fault ?? "transcripts are written too slowly");
    if (this.#closed) throw closing();
    state.next = draft.point;
    state.nextEntry = draft.entry;
    this.#checkpoint.touch();
    return new Promise((resolve, reject) => {
      this.#journal.append(before + draft.text, (error) => {
        if (error) {
          // All that was queued behind this fails with it, so going back to the last durable point is right for each.
          state.next = state.settled;
          state.nextEntry = state.entry;
          reject(error);
          return;
        }
        swap?.();
        state.settled = draft.point;
        state.entry = draft.point.exists ? draft.entry : undefined;
        state.version++;
        this.#table.touch();
        if (draft.lines.length > 0) this.#table.writeback.add(state.transcript, draft.lines);
        this.#changed(state.key, { reason, sessionId: draft.point.sessionId, entries });
        resolve();
      });
    });
  }

  #changed(key: string, change?: Omit<SessionChange, "key">): void {
    for (const watcher of this.#watchers) watcher(key);
    if (change) this.#options.onChange?.({ key, ...change });
  }

  /** Ends the current transcript and goes on with what the draft begins. Resolves with the archive's name, if there is one. */
  async #replace(
    state: SessionState,
    draft: Draft,
    ending: "reset" | "deleted" | "detached",
  ): Promise<string | null> {
    const { hash, next: old } = state;
    // A transcript in which nobody said anything is not worth keeping.
    const archive = old.hasEntries ? this.#archiveName(hash, ending) : null;
    let archived: Promise<boolean> | undefined;
    const swap = (): void => {
      const finished = state.transcript;
      const transcript = this.#table.newTranscript(state.key, draft.point.sessionId);
      state.transcript = transcript;
      state.row = undefined;
      delete state.taken;
      if (!old.exists) return;
      archived = this.#table.writeback.archive(finished, archive, () =>
        this.#table.quarantine.archive(hash, archive),
      );
      transcript.waitFor(archived);
    };
    await this.#commit(state, draft, {
      reason: ending === "reset" ? "reset" : "delete",
      swap,
      before: old.exists ? endRecord(hash, old.generation, archive) : "",
    });
    await archived;
    return archive;
  }

  #archiveName(hash: string, ending: string): string {
    const time = new Date(this.#now()).toISOString().replaceAll(":", "-");
    for (let n = 0; ; n++) {
      const name = `${hash}.${ending}.${time}${n === 0 ? "" : `-${n}`}.jsonl`;
      if (!fs.existsSync(path.join(this.#table.folder, name))) return name;
    }
  }

  #newJournal({ segments, abandoned }: Pick<Replay, "segments" | "abandoned">): Journal {
    const { dir, commit } = this.#options;
    return new Journal({
      dir,
      log: this.#log,
      found: segments,
      abandoned,
      maxRecords: commit?.maxRecords ?? 4_096,
      rotateBytes: commit?.rotateBytes ?? 16 * 1_048_576,
      onFull: () => void this.#checkpoint.start(),
    });
  }
}

function degraded(reason: string): RclawError {
  return new RclawError(
    "STORE_DEGRADED",
    `not stored: ${reason}. Nothing was written; try again when the disk works.`,
    { retryable: true },
  );
}

function closing(): RclawError {
  const message = "the gateway is shutting down; nothing is stored any more";
  return new RclawError("UNAVAILABLE", message, { retryable: true });
}
