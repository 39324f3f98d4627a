import fs from "node:fs";
import { appendFile, readFile, rename } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";
import { codeOf } from "./disk.ts";

const maxKept = 65_536;
const maxPerSession = 1_000;

/** A line that is not shown to anybody: where it was and why. */
export interface BadLine {
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
  /** Undefined when the line is too long to be read. */
  readonly bytes?: Buffer | undefined;
}

/**
 * Notes bad lines beside the transcript, each once. The line itself stays where it is:
 * a transcript is only ever appended to, and somebody may want to look.
 */
export class Quarantine {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #known = new Map<string, Promise<Set<string>>>();
  #count = 0;

  constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Bad lines in the transcripts that are in use. */
  get count(): number {
    return this.#count;
  }

  /** Learns of what was noted earlier; `names` is the folder's listing. */
  async load(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const hash = /^([0-9a-f]{32})\.quarantine\.jsonl$/.exec(name)?.[1];
      if (hash) await this.#notes(hash);
    }
  }

  async add(hash: string, lines: readonly BadLine[]): Promise<void> {
    if (lines.length === 0) return;
    const known = await this.#notes(hash);
    const fresh = lines
      .filter((line) => !known.has(idOf(line)))
      .slice(0, Math.max(0, maxPerSession - known.size));
    if (fresh.length === 0) return;
    for (const line of fresh) known.add(idOf(line));
    this.#count += fresh.length;
    const at = new Date().toISOString();
    const text = fresh.map(({ offset, length, reason, bytes }) => {
      const kept = bytes?.subarray(0, maxKept).toString("base64");
      return `${JSON.stringify({ at, offset, length, reason, ...(kept !== undefined && { base64: kept }) })}\n`;
    });
    this.#log.warn(
      { transcript: hash, lines: fresh.length, reason: fresh[0]?.reason },
      "unreadable lines in a transcript are left out",
    );
    // Losing the note loses nothing: the line is found again when it is read again.
    await appendFile(this.#file(hash), text.join(""), { mode: 0o600 }).catch((error: unknown) => {
      this.#log.warn({ err: error, transcript: hash }, "cannot note unreadable lines");
    });
  }

  /** The notes follow their transcript into the archive. */
  async archive(hash: string, transcriptName: string | null): Promise<void> {
    const known = await this.#known.get(hash);
    if (!known || known.size === 0) return;
    this.#known.delete(hash);
    this.#count -= known.size;
    const name = (transcriptName ?? `${hash}.jsonl`).replace(/\.jsonl$/, ".lost.jsonl");
    await rename(this.#file(hash), path.join(this.#folder, name)).catch(() => undefined);
  }

  #notes(hash: string): Promise<Set<string>> {
    let notes = this.#known.get(hash);
    if (!notes) this.#known.set(hash, (notes = this.#read(hash)));
    return notes;
  }

  async #read(hash: string): Promise<Set<string>> {
    const file = this.#file(hash);
    const notes = new Set<string>();
    try {
      if (!fs.existsSync(file)) return notes;
      for (const line of (await readFile(file, "utf8")).split("\n")) {
        const found = /"offset":(\d+),"length":(\d+)/.exec(line);
        if (found) notes.add(`${found[1]}:${found[2]}`);
      }
    } catch (error) {
      if (codeOf(error) !== "ENOENT")
        this.#log.warn({ err: error, file }, "cannot read the notes about unreadable lines");
    }
    this.#count += notes.size;
    return notes;
  }

  #file(hash: string): string {
    return path.join(this.#folder, `${hash}.quarantine.jsonl`);
  }
}

function idOf({ offset, length }: BadLine): string {
  return `${offset}:${length}`;
}
