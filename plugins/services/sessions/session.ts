import { RclawError, type Session, type SessionEntry, type TranscriptEntry } from "@rclaw/plugin-sdk";
import type { NewEntry } from "./writing.ts";

export interface SessionPort {
  readonly key: string;
  entry(): SessionEntry;
  append(entries: readonly NewEntry[]): Promise<readonly TranscriptEntry[]>;
  tail(limit: number): Promise<readonly TranscriptEntry[]>;
  patch(fields: Readonly<Record<string, unknown>>): Promise<SessionEntry>;
  release(): void;
}

/** A session held for writing, until it is disposed. */
export class HeldSession implements Session {
  readonly #port: SessionPort;
  #released = false;

  constructor(port: SessionPort) {
    this.#port = port;
  }

  get key(): string {
    return this.#port.key;
  }

  get entry(): SessionEntry {
    return this.#port.entry();
  }

  async append(...entries: readonly NewEntry[]): Promise<readonly TranscriptEntry[]> {
    this.#check();
    return this.#port.append(entries);
  }

  async tail(limit: number): Promise<readonly TranscriptEntry[]> {
    return this.#port.tail(limit);
  }

  async patch(fields: Readonly<Record<string, unknown>>): Promise<SessionEntry> {
    this.#check();
    return this.#port.patch(fields);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#released = true;
    this.#port.release();
  }

  #check(): void {
    if (!this.#released) return;
    throw new RclawError(
      "CONFLICT",
      `session ${this.key} was released by this writer; open it again to write`,
      {
        details: { sessionKey: this.key },
      },
    );
  }
}
