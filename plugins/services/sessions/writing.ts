import { randomBytes } from "node:crypto";
import { RclawError, type SessionEntry, type TranscriptEntry } from "@rclaw/plugin-sdk";
import { changed, entryChange, hasKnownRole, isEntryChange } from "./entries.ts";
import { maxLineBytes, seal } from "./lines.ts";
import { generationOf, lineRecord } from "./records.ts";
import type { Head } from "./scan.ts";

export type NewEntry = Omit<TranscriptEntry, "id" | "parentId" | "timestamp">;

/** Where the next line of a session goes. Replaced, never changed: a failed commit goes back to the one before. */
export interface Point extends Head {
  readonly sessionId: string;
  readonly generation: string;
  /** The header has been written. */
  readonly exists: boolean;
}

export function newPoint(sessionId: string): Point {
  return {
    sessionId,
    generation: generationOf(sessionId),
    exists: false,
    strict: true,
    lastId: undefined,
    leaf: null,
    hasEntries: false,
    named: true,
  };
}

export interface DraftOptions {
  readonly key: string;
  readonly hash: string;
  readonly cwd: string;
  readonly now: number;
  readonly entry: SessionEntry;
  readonly point: Point;
  /** Ids that a transcript of foreign origin already uses. */
  readonly taken?: ReadonlySet<string> | undefined;
  /** Takes secrets out of a line before it is written. */
  redact(json: string): string;
}

/**
 * Lines on their way to the journal, with what they make of the session. Nothing of it
 * is true until the commit; then all of it is.
 */
export class Draft {
  point: Point;
  entry: SessionEntry;
  /** For the transcript, with newlines. */
  readonly lines: string[] = [];
  /** For the journal. */
  text = "";
  readonly #options: DraftOptions;
  readonly #timestamp: string;

  constructor(options: DraftOptions) {
    this.#options = options;
    this.point = options.point;
    this.entry = options.entry;
    this.#timestamp = new Date(options.now).toISOString();
  }

  /** Begins the transcript, if it has not begun: the header, and a line that can stand in for it should it be damaged. */
  begin(fields: Readonly<Record<string, unknown>> = {}): void {
    const { key, cwd } = this.#options;
    const { sessionId, exists, named } = this.point;
    if (!exists) {
      this.#put(headerBody({ key, sessionId, cwd, timestamp: this.#timestamp }));
      this.point = { ...this.point, exists: true };
      this.#change({ key, sessionId, ...fields });
    } else if (!named) {
      // It comes from elsewhere; without the index nobody would know whose it is.
      this.#change({ key, sessionId, updatedAt: this.entry.updatedAt });
      this.point = { ...this.point, named: true };
    }
  }

  /** An entry for readers and models. */
  append({ type, ...fields }: NewEntry): TranscriptEntry {
    if (typeof type !== "string" || type === "") throw this.#refused("an entry needs a type");
    const id = this.#nextId();
    const { leaf } = this.point;
    // Twice: first for the order of the members, then so that nothing in the fields replaces them.
    const entry = { type, id, parentId: leaf, timestamp: this.#timestamp, ...fields };
    entry.id = id;
    entry.parentId = leaf;
    entry.timestamp = this.#timestamp;
    if (isEntryChange(entry))
      throw this.#refused(
        `"${entryChange}" entries are the store's own; use patch to change the session's entry`,
      );
    if (type === "session")
      throw this.#refused('an entry cannot have the type "session", which is the header\'s');
    if (!hasKnownRole(entry)) throw this.#refused("a message's role must be user, assistant or toolResult");
    this.#put(this.#json(entry));
    this.point = { ...this.point, lastId: entry.id, leaf: entry.id, hasEntries: true };
    this.entry = { ...this.entry, updatedAt: this.#options.now };
    return entry;
  }

  /** A change of the session's entry. */
  patch(fields: Readonly<Record<string, unknown>>): void {
    if (!this.point.exists) return this.begin(fields);
    this.begin();
    this.#change(fields);
  }

  #change(data: Readonly<Record<string, unknown>>): void {
    const { leaf } = this.point;
    // A side branch: the next message's parent is the last message, so the chain that readers follow has no bookkeeping in it.
    const id = this.#nextId();
    this.#put(
      this.#json({
        type: "custom",
        id,
        parentId: leaf,
        timestamp: this.#timestamp,
        customType: entryChange,
        data,
      }),
    );
    this.point = { ...this.point, lastId: id };
    const updatedAt = typeof data["updatedAt"] === "number" ? data["updatedAt"] : this.#options.now;
    this.entry = changed(this.entry, data, updatedAt);
  }

  #put(body: string): void {
    const line = seal(body);
    if (line.length > maxLineBytes / 4 && Buffer.byteLength(line) > maxLineBytes) {
      throw new RclawError(
        "TOO_LARGE",
        `an entry for session ${this.#options.key} is larger than ${maxLineBytes / 1_048_576} MiB; store less of it`,
        {
          details: { sessionKey: this.#options.key },
        },
      );
    }
    this.lines.push(`${line}\n`);
    this.text += lineRecord(this.#options.hash, this.point.generation, line);
  }

  /**
   * Steps of an odd constant visit all 2^32 ids before one comes again, so ids are unique
   * without remembering them; random ones would collide within 100,000 entries.
   */
  #nextId(): string {
    const { lastId } = this.point;
    let value =
      lastId !== undefined && /^[0-9a-f]{8}$/.test(lastId)
        ? Number.parseInt(lastId, 16)
        : randomBytes(4).readUInt32BE();
    let id: string;
    do {
      value = (value + 0x9e3779b1) >>> 0;
      id = value.toString(16).padStart(8, "0");
    } while (this.#options.taken?.has(id));
    return id;
  }

  #json(value: unknown): string {
    try {
      return this.#options.redact(JSON.stringify(value));
    } catch (error) {
      throw new RclawError("INVALID_REQUEST", `an entry for session ${this.#options.key} is not plain JSON`, {
        cause: error,
      });
    }
  }

  #refused(message: string): RclawError {
    return new RclawError("INVALID_REQUEST", `session ${this.#options.key}: ${message}`);
  }
}

export function headerBody(header: {
  key?: string | undefined;
  sessionId: string;
  cwd: string;
  timestamp: string;
}): string {
  const { key, sessionId, cwd, timestamp } = header;
  return JSON.stringify({
    type: "session",
    version: 3,
    id: sessionId,
    timestamp,
    cwd,
    ...(key !== undefined && { key }),
  });
}
