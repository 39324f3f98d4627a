import { randomUUID } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import type { Logger, SessionEntry } from "@rclaw/plugin-sdk";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { catalogFile, type CatalogRow, readCatalog, writeCatalog } from "./catalog.ts";
import { canonicalKey, type KeyRules, mainSessionKey, transcriptHash } from "@rclaw/plugin-sdk/session-key";
import { entryChangeBody } from "./entries.ts";
import { seal } from "./lines.ts";
import { type Loaded, loadSession } from "./load.ts";
import { Quarantine } from "./quarantine.ts";
import type { Generation, Replay } from "./replay.ts";
import { idsIn, rowOf, type SessionState } from "./state.ts";
import { unreadable } from "./tail.ts";
import { Transcript } from "./transcript.ts";
import { Writeback } from "./writeback.ts";
import { headerBody, newPoint, type Point } from "./writing.ts";

export interface SessionTableOptions {
  /** `<state>/sessions`. */
  readonly dir: string;
  readonly keys: KeyRules;
  readonly log: Logger;
  /** Written into the headers of new transcripts. */
  readonly cwd: string;
  now(): number;
  /** Told of every session that appears. */
  added(key: string): void;
}

// Waiting for small reads, not computing, is what takes the time at start.
const loadedAtOnce = 8;

/** One file that cannot be read must not keep the others, and the gateway, from starting. */
interface Unread {
  readonly row: CatalogRow | undefined;
  readonly generations: readonly Generation[];
  readonly error: unknown;
  retry?: Promise<void>;
}

/** Which sessions there are, and where their transcripts stand. */
export class SessionTable {
  readonly folder: string;
  readonly indexFile: string;
  readonly quarantine: Quarantine;
  readonly writeback: Writeback;
  readonly #options: SessionTableOptions;
  readonly #states = new Map<string, SessionState>();
  /** Transcripts whose key is not known until somebody asks for it. */
  readonly #unnamed = new Map<string, Loaded>();
  /** Transcripts that the disk did not give us, by hash. */
  readonly #unread = new Map<string, Unread>();
  #changed = false;

  constructor(options: SessionTableOptions) {
    const { dir, log } = options;
    this.#options = options;
    this.folder = path.join(dir, "transcripts");
    this.indexFile = catalogFile(dir);
    this.quarantine = new Quarantine(this.folder, log);
    this.writeback = new Writeback({ folder: this.folder, log });
  }

  get states(): Iterable<SessionState> {
    return this.#states.values();
  }

  /** Why some session cannot be read, or undefined. */
  get fault(): string | undefined {
    for (const [hash, { error }] of this.#unread) return `${faultOf(error)} in ${this.#fileOf(hash)}`;
    return undefined;
  }

  /** The index no longer says what is so. */
  touch(): void {
    this.#changed = true;
  }

  async load({ sessions }: Replay): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const cached = await readCatalog(this.indexFile, this.#options.log);
    const rows = new Map(cached.map((row) => [transcriptHash(row.key), row]));
    const names = await readdir(this.folder);
    await this.quarantine.load(names);
    const hashes = new Set(sessions.keys());
    for (const name of names) if (/^[0-9a-f]{32}\.jsonl$/.test(name)) hashes.add(name.slice(0, 32));
    const rest = hashes.values();
    const lane = async (): Promise<void> => {
      for (const hash of rest) await this.#load(hash, rows.get(hash), sessions.get(hash) ?? []);
    };
    await Promise.all(Array.from({ length: loadedAtOnce }, lane));
    this.#changed ||= rows.size !== this.#states.size;
  }

  canonical(key: string): string {
    return canonicalKey(key, this.#options.keys);
  }

  peek(key: string): SessionState | undefined {
    // Nearly always it is canonical already.
    const ready = this.#states.get(key);
    if (ready) return ready;
    const canonical = this.canonical(key);
    const known = this.#states.get(canonical);
    if (known || this.#unnamed.size + this.#unread.size === 0) return known;
    const hash = transcriptHash(canonical);
    const unread = this.#unread.get(hash);
    if (unread) {
      // Whoever asks again finds it, if it was only for a moment.
      void this.#retry(hash, unread);
      throw unreadable(this.#fileOf(hash), unread.error);
    }
    const found = this.#unnamed.get(hash);
    this.#unnamed.delete(hash);
    return found && this.#adopt(canonical, found);
  }

  /** Ready to be replaced; a session that does not exist yet gets its id. */
  async prepare(key: string): Promise<SessionState> {
    const canonical = this.canonical(key);
    if (this.#unread.size > 0) await this.#readAgain(canonical);
    return this.peek(canonical) ?? this.#create(canonical);
  }

  /** Ready to be written to. */
  async prepareToWrite(key: string): Promise<SessionState> {
    const state = await this.prepare(key);
    // Ids in a transcript from elsewhere are random: ours must avoid each of them.
    if (!state.next.strict && !state.taken) state.taken = await idsIn(state.transcript);
    return state;
  }

  /** An empty transcript under the session's file name. */
  newTranscript(key: string, sessionId: string): Transcript {
    const file = this.#fileOf(transcriptHash(key));
    const header = (): string => this.#header(key, sessionId);
    return new Transcript({ file, size: 0, torn: false, strict: true, header, log: this.#options.log });
  }

  /** The lines a transcript begins with when what they stood for is gone: whose it is, and what is known of it. */
  opening(state: SessionState, entry: SessionEntry, id: string): string {
    const { key } = state;
    const timestamp = new Date(this.#options.now()).toISOString();
    const change = entryChangeBody({ id, timestamp, data: { key, ...entry } });
    // In a transcript from elsewhere lines without a checksum follow: ours must have none either.
    const ours = state.next.strict ? seal : (line: string): string => line;
    const header = headerBody({ key, sessionId: entry.sessionId, cwd: this.#options.cwd, timestamp });
    return `${ours(header)}\n${ours(change)}\n`;
  }

  /** Throws while the journal has lines for a transcript that cannot be read: there they must stay. */
  async takeOver(): Promise<void> {
    for (const [hash, unread] of this.#unread) {
      if (unread.generations.length === 0) continue;
      await this.#retry(hash, unread);
      if (this.#unread.has(hash)) throw unreadable(this.#fileOf(hash), unread.error);
    }
  }

  async save(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const rows: CatalogRow[] = [];
    for (const state of this.#states.values()) {
      if (!state.entry) continue;
      state.row = rowOf(state, state.entry);
      rows.push(state.row);
    }
    try {
      await writeCatalog(this.indexFile, rows);
    } catch (error) {
      this.#changed = true;
      throw error;
    }
  }

  async #load(hash: string, row: CatalogRow | undefined, generations: readonly Generation[]): Promise<void> {
    const { folder, writeback, quarantine } = this;
    const { log, keys } = this.#options;
    const headerFor = (key: string | undefined, sessionId: string): string => this.#header(key, sessionId);
    let loaded: Loaded | undefined;
    try {
      loaded = await loadSession(hash, row, generations, { folder, writeback, quarantine, log, headerFor });
    } catch (error) {
      if (!this.#unread.has(hash))
        log.error({ err: error, transcript: hash }, "a transcript cannot be read; its session is left out");
      this.#unread.set(hash, { row, generations, error });
      return;
    }
    this.#unread.delete(hash);
    if (!loaded) return;
    this.#changed ||= loaded.row === undefined;
    const main = mainSessionKey(keys);
    const key = loaded.key ?? (transcriptHash(main) === hash ? main : undefined);
    if (key !== undefined && transcriptHash(key) === hash) {
      this.#adopt(key, loaded);
      return;
    }
    this.#unnamed.set(hash, loaded);
    log.warn({ transcript: hash }, "a transcript does not say whose it is; it appears when it is used");
  }

  async #readAgain(key: string): Promise<void> {
    const hash = transcriptHash(key);
    const unread = this.#unread.get(hash);
    if (!unread) return;
    const isUnderWay = unread.retry !== undefined;
    await this.#retry(hash, unread);
    if (!isUnderWay || this.#states.has(key) || this.#unnamed.has(hash)) return;
    // It began before this was asked, and may have met what has been mended since.
    await this.#load(hash, unread.row, unread.generations);
  }

  #retry(hash: string, unread: Unread): Promise<void> {
    unread.retry ??= this.#load(hash, unread.row, unread.generations);
    return unread.retry;
  }

  #fileOf(hash: string): string {
    return path.join(this.folder, `${hash}.jsonl`);
  }

  #adopt(key: string, { hash, entry, head, transcript, row }: Loaded): SessionState {
    const point: Point = { ...newPoint(entry.sessionId), ...head, exists: true };
    return this.#add({ key, hash, entry, nextEntry: entry, transcript, point, row, version: 1 });
  }

  #create(key: string): SessionState {
    const point = newPoint(randomUUID());
    const transcript = this.newTranscript(key, point.sessionId);
    const nothing = { entry: undefined, nextEntry: undefined, row: undefined, version: 0 };
    return this.#add({ key, hash: transcriptHash(key), transcript, point, ...nothing });
  }

  #add({ point, ...rest }: Omit<SessionState, "next" | "settled"> & { readonly point: Point }): SessionState {
    const state: SessionState = { ...rest, next: point, settled: point };
    this.#states.set(state.key, state);
    this.#options.added(state.key);
    return state;
  }

  #header(key: string | undefined, sessionId: string): string {
    const { cwd, now } = this.#options;
    const timestamp = new Date(now()).toISOString();
    return `${seal(headerBody({ key, sessionId, cwd, timestamp }))}\n`;
  }
}
