import type { Logger } from "@rclaw/plugin-sdk";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import type { Journal } from "./journal.ts";
import type { Writeback } from "./writeback.ts";

export interface CheckpointOptions {
  readonly dir: string;
  readonly log: Logger;
  readonly writeback: Writeback;
  readonly idleMs: number;
  journal(): Journal;
  /** Hands everything that the journal holds to the write-back, or throws. */
  takeOver(): Promise<void>;
  /** Writes the index and the ledger. */
  save(): Promise<void>;
}

/** Makes the journal unnecessary, then removes it. Commits go on meanwhile, in the next segment. */
export class Checkpoint {
  readonly #options: CheckpointOptions;
  #running: Promise<void> | undefined;
  #fault: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #touchedAt = 0;
  #stopped = false;

  constructor(options: CheckpointOptions) {
    this.#options = options;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  /** Something was written: a checkpoint follows once it is quiet. */
  touch(): void {
    this.#touchedAt = performance.now();
    if (!this.#timer && !this.#stopped) this.#arm(this.#options.idleMs);
  }

  /** One at a time; a second caller waits for the first. */
  start(): Promise<void> {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** A checkpoint that began after this call. */
  async fresh(): Promise<void> {
    await this.#running;
    await this.start();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #arm(delay: number): void {
    const { idleMs, writeback } = this.#options;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const quietFor = performance.now() - this.#touchedAt;
      if (quietFor < idleMs) this.#arm(idleMs - quietFor + 1);
      else void this.start().then(() => writeback.closeFiles());
    }, delay);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { dir, log, writeback, journal, takeOver, save } = this.#options;
    try {
      await takeOver();
      const retired = journal().hasRecords ? await journal().rotate() : [];
      await writeback.syncAll();
      await save();
      await journal().drop(retired);
      this.#fault = undefined;
    } catch (error) {
      this.#fault = `${faultOf(error)} in ${dir}`;
      log.error({ err: error, reason: this.#fault }, "cannot checkpoint the sessions; the journal is kept");
      this.touch();
    }
  }
}
