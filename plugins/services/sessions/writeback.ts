import type { Logger } from "@rclaw/plugin-sdk";
import { syncFolder } from "@rclaw/plugin-sdk/atomic";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import type { Transcript } from "./transcript.ts";

const flushEveryMs = 30;
const maxOpenFiles = 128;
// The pool has four threads; the journal's commit must never queue behind transcripts.
const parallel = 2;

export interface WritebackOptions {
  /** The transcripts' folder. */
  readonly folder: string;
  readonly log: Logger;
}

/**
 * Carries journaled lines into the transcripts. Nothing waits for it, so it may be
 * slow, and what it has not written yet is read from memory.
 */
export class Writeback {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #dirty = new Set<Transcript>();
  readonly #unsynced = new Set<Transcript>();
  /** Least recently used first. */
  readonly #open = new Set<Transcript>();
  /** The latest attempt of every archive that is not done; false when it failed and will be repeated. */
  readonly #archiving = new Map<Transcript, Promise<boolean>>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #retryMs = flushEveryMs;
  #fault: string | undefined;
  #backlog = 0;
  #folderDirty = false;
  #closed = false;

  constructor({ folder, log }: WritebackOptions) {
    this.#folder = folder;
    this.#log = log;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  /** Characters that are only in the journal and in memory. */
  get backlog(): number {
    return this.#backlog;
  }

  add(transcript: Transcript, lines: readonly string[]): void {
    transcript.push(lines);
    for (const line of lines) this.#backlog += line.length;
    this.#dirty.add(transcript);
    this.#schedule(this.#fault === undefined ? flushEveryMs : this.#retryMs);
  }

  /** Resolves when everything handed in so far is in the files and on the disk. Throws when some of it cannot be. */
  async syncAll(): Promise<void> {
    await this.#round;
    const archived = await Promise.all(this.#archiving.values());
    if (archived.includes(false)) throw new Error(this.#fault ?? "a transcript could not be archived");
    const files = new Set([...this.#dirty, ...this.#unsynced]);
    await this.#each(files, async (transcript) => {
      try {
        await this.sync(transcript);
      } catch (error) {
        this.#failed(transcript, error);
        throw error;
      }
    });
    if (!this.#folderDirty) return;
    this.#folderDirty = false;
    try {
      await syncFolder(this.#folder);
    } catch (error) {
      this.#folderDirty = true;
      throw error;
    }
  }

  /** The same for one transcript. */
  async sync(transcript: Transcript): Promise<void> {
    if (transcript.gate) await transcript.gate;
    await this.#take(transcript, async () => {
      await this.#write(transcript);
      await transcript.sync();
      this.#unsynced.delete(transcript);
      this.#keepOpen(transcript);
    });
  }

  /** Lets somebody else have the file for a while. What is handed in meanwhile is written afterwards. */
  async lend<T>(transcript: Transcript, work: () => Promise<T>): Promise<T> {
    if (transcript.gate) await transcript.gate;
    let result: T | undefined;
    await this.#take(transcript, async () => {
      await this.#release(transcript);
      result = await work();
    });
    return result as T;
  }

  /**
   * Gives a finished transcript its archive name, after its last line, trying until it works.
   * Resolves with false when the store was closed before that; then the next start does it.
   */
  async archive(
    transcript: Transcript,
    name: string | null,
    alongside: () => Promise<void>,
  ): Promise<boolean> {
    for (let wait = flushEveryMs; ; wait = Math.min(wait * 2, 500)) {
      const attempt = this.#archive(transcript, name, alongside);
      this.#archiving.set(transcript, attempt);
      if (await attempt) {
        this.#archiving.delete(transcript);
        return true;
      }
      if (this.#closed) return false;
      await new Promise<void>((resolve) => void setTimeout(resolve, wait).unref());
    }
  }

  async closeFiles(): Promise<void> {
    const open = Array.from(this.#open);
    for (const transcript of open) await this.#take(transcript, () => this.#release(transcript));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#round;
    await this.closeFiles();
  }

  async #archive(
    transcript: Transcript,
    name: string | null,
    alongside: () => Promise<void>,
  ): Promise<boolean> {
    try {
      await this.sync(transcript);
      await this.#take(transcript, () => transcript.archive(name));
      this.#dirty.delete(transcript);
      this.#open.delete(transcript);
      await alongside();
      return true;
    } catch (error) {
      this.#failed(transcript, error);
      return false;
    }
  }

  #schedule(delay: number): void {
    if (this.#closed || this.#timer || this.#round) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#round = this.#flush().finally(() => {
        this.#round = undefined;
        if (this.#dirty.size > 0 || this.#fault !== undefined)
          this.#schedule(this.#fault === undefined ? flushEveryMs : this.#retryMs);
      });
    }, delay);
    this.#timer.unref();
  }

  async #flush(): Promise<void> {
    let failed = false;
    // After a failure only a sync proves that the disk takes our lines again.
    const repairing = this.#fault !== undefined;
    await this.#each(
      repairing ? new Set([...this.#dirty, ...this.#unsynced]) : [...this.#dirty],
      async (transcript) => {
        // A file that waits for its name must not hold up the others.
        if (transcript.gate) return;
        try {
          await (repairing ? this.sync(transcript) : this.#take(transcript, () => this.#write(transcript)));
        } catch (error) {
          failed = true;
          this.#failed(transcript, error);
        }
      },
    );
    if (failed) {
      this.#retryMs = Math.min(this.#retryMs * 2, 5_000);
      return;
    }
    if (this.#fault !== undefined) this.#log.info({}, "transcripts are written again");
    this.#fault = undefined;
    this.#retryMs = flushEveryMs;
  }

  async #write(transcript: Transcript): Promise<void> {
    this.#dirty.delete(transcript);
    if (!transcript.hasPending) return;
    try {
      await transcript.write((chars) => void (this.#backlog -= chars));
    } catch (error) {
      this.#dirty.add(transcript);
      throw error;
    } finally {
      if (transcript.unsynced) this.#unsynced.add(transcript);
      if (transcript.created) this.#folderDirty = true;
      transcript.created = false;
      this.#keepOpen(transcript);
    }
    await this.#evict();
  }

  /** Runs alone on this file. */
  async #take(transcript: Transcript, work: () => Promise<void>): Promise<void> {
    while (transcript.turn) await transcript.turn;
    let end = (): void => undefined;
    transcript.turn = new Promise((resolve) => {
      end = () => {
        transcript.turn = undefined;
        resolve();
      };
    });
    try {
      await work();
    } finally {
      end();
    }
  }

  #keepOpen(transcript: Transcript): void {
    this.#open.delete(transcript);
    if (transcript.isOpen) this.#open.add(transcript);
  }

  async #evict(): Promise<void> {
    for (const transcript of this.#open) {
      if (this.#open.size <= maxOpenFiles) return;
      if (!transcript.turn) await this.#release(transcript);
    }
  }

  async #release(transcript: Transcript): Promise<void> {
    this.#open.delete(transcript);
    await transcript.close();
  }

  async #each(files: Iterable<Transcript>, work: (transcript: Transcript) => Promise<void>): Promise<void> {
    const rest = files[Symbol.iterator]();
    const lane = async (): Promise<void> => {
      for (let next = rest.next(); !next.done; next = rest.next()) await work(next.value);
    };
    await Promise.all(Array.from({ length: parallel }, lane));
  }

  #failed(transcript: Transcript, error: unknown): void {
    const reason = `${faultOf(error)} in ${transcript.file}`;
    if (this.#fault !== reason)
      this.#log.error(
        { reason, err: error },
        "a transcript cannot be written; its lines stay in the journal",
      );
    this.#fault = reason;
    this.#schedule(this.#retryMs);
  }
}
