import { mkdir, unlink } from "node:fs/promises";
import path from "node:path";
import { type Logger, RclawError } from "@rclaw/plugin-sdk";
import { syncFolder } from "@rclaw/plugin-sdk/atomic";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";
import { closeFd, codeOf, datasync, isUnlinked, openFd, truncateFd, writeAll } from "./disk.ts";
import { seal } from "./lines.ts";

/** Called once, in the order of appending: without an error when the records are durable. */
export type Done = (error?: RclawError) => void;

interface Segment {
  readonly number: number;
  readonly fd: number;
  /** Bytes that are known to be durable. */
  size: number;
  readonly headerSize: number;
}

export interface JournalOptions {
  readonly dir: string;
  readonly log: Logger;
  /** Segments found at start; they go with the first checkpoint. */
  readonly found: readonly number[];
  /** Where found segments end that a failed write left with bytes nobody was promised. */
  readonly abandoned: ReadonlyMap<number, number>;
  readonly maxRecords: number;
  readonly rotateBytes: number;
  /** The segment is long enough to be checkpointed. Called after every commit beyond that. */
  onFull(): void;
}

const probeEveryMs = 100;
const maxBatchChars = 4 * 1_048_576;

/**
 * One log for all sessions, because a disk takes about a thousand syncs a second and
 * a hundred sessions want more. A batch is whatever arrived while the one before it
 * was being synced, so nobody waits for a timer and nobody syncs alone under load.
 *
 * After a failed write or sync the kernel may have dropped the dirty pages and call the
 * next sync a success. So a segment that failed once is never written again: its
 * durable length goes into the header of the next segment, and replay stops there.
 */
export class Journal {
  readonly #options: JournalOptions;
  #queue: { readonly text: string; readonly done: Done }[] = [];
  #rotations: ((retired: readonly number[]) => void)[] = [];
  #running = false;
  #segment: Segment | undefined;
  #retired: number[];
  readonly #abandoned: Map<number, number>;
  #next: number;
  #fault: string | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = probeEveryMs;
  #closed = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#retired = [...options.found];
    this.#abandoned = new Map(options.abandoned);
    this.#next = Math.max(0, ...options.found) + 1;
  }

  /** Why nothing can be stored, or undefined. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Whether there is anything a checkpoint could remove. */
  get hasRecords(): boolean {
    return (
      this.#retired.length > 0 ||
      (this.#segment !== undefined && this.#segment.size > this.#segment.headerSize)
    );
  }

  /** Opens the first segment. A disk that refuses leaves the journal at fault; reading goes on. */
  async start(): Promise<void> {
    await this.#ready().catch(() => undefined);
  }

  /** `text` is whole lines. */
  append(text: string, done: Done): void {
    this.#queue.push({ text, done });
    this.#kick();
  }

  /** Resolves when everything appended so far is settled. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.append("", () => resolve()));
  }

  /** Goes on in a new segment; resolves with the numbers of all older ones, to be dropped once what they hold is safe elsewhere. */
  rotate(): Promise<readonly number[]> {
    return new Promise((resolve) => {
      this.#rotations.push(resolve);
      this.#kick();
    });
  }

  /** Oldest first, so that a crash in between leaves a gapless rest. */
  async drop(numbers: readonly number[]): Promise<void> {
    for (const number of numbers.toSorted((a, b) => a - b)) {
      try {
        await unlink(segmentFile(this.#options.dir, number));
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
      }
      this.#abandoned.delete(number);
      this.#retired = this.#retired.filter((kept) => kept !== number);
    }
  }

  /** Settles what is queued, and lets go of the file; `empty` removes it when all of it is safe elsewhere. */
  async close({ empty }: { empty: boolean }): Promise<void> {
    clearTimeout(this.#retry);
    await this.settled();
    this.#closed = true;
    const segment = this.#segment;
    this.#segment = undefined;
    if (!segment) return;
    await closeFd(segment.fd).catch(() => undefined);
    if (empty) await unlink(segmentFile(this.#options.dir, segment.number)).catch(() => undefined);
  }

  #kick(): void {
    if (this.#running) return;
    this.#running = true;
    // Not at once: what is appended in the same turn of the event loop shares the commit.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 || this.#rotations.length > 0) {
      if (this.#queue.length > 0) await this.#commit();
      else await this.#rotate();
      if (this.#segment && this.#segment.size > this.#options.rotateBytes) this.#options.onFull();
    }
    this.#running = false;
  }

  async #commit(): Promise<void> {
    const batch = this.#take();
    try {
      const text = batch.map((item) => item.text).join("");
      if (text !== "") await this.#write(await this.#ready(), Buffer.from(text));
    } catch {
      // Whatever queued up meanwhile was built on entries that now do not exist.
      for (const { done, text } of [...batch, ...this.#queue.splice(0)])
        done(text === "" ? undefined : this.#refusal());
      return;
    }
    for (const { done } of batch) done();
  }

  #take(): readonly { readonly text: string; readonly done: Done }[] {
    let chars = 0;
    let count = 0;
    for (const { text } of this.#queue) {
      chars += text.length;
      if (count > 0 && (count >= this.#options.maxRecords || chars > maxBatchChars)) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #write(segment: Segment, data: Buffer): Promise<void> {
    try {
      await writeAll(segment.fd, data);
      await datasync(segment.fd);
      if (isUnlinked(segment.fd))
        throw Object.assign(new Error("the journal was removed"), { code: "ENOENT" });
      segment.size += data.length;
    } catch (error) {
      this.#segment = undefined;
      this.#retired.push(segment.number);
      this.#abandoned.set(segment.number, segment.size);
      // A hint only, for the case that we die before the next segment exists.
      await truncateFd(segment.fd, segment.size).catch(() => undefined);
      await closeFd(segment.fd).catch(() => undefined);
      this.#failed(error);
      throw error;
    }
  }

  /** The current segment, or a new one; a probe when the last attempt failed. */
  async #ready(): Promise<Segment> {
    if (this.#segment) return this.#segment;
    if (this.#closed) throw new Error("the journal is closed");
    if (performance.now() - this.#triedAt < probeEveryMs) throw new Error("probed a moment ago");
    this.#triedAt = performance.now();
    try {
      this.#segment = await this.#create();
    } catch (error) {
      this.#failed(error);
      throw error;
    }
    if (this.#fault !== undefined)
      this.#options.log.info({ dir: this.#options.dir }, "the session store works again");
    this.#fault = undefined;
    this.#retryMs = probeEveryMs;
    clearTimeout(this.#retry);
    return this.#segment;
  }

  async #create(): Promise<Segment> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const number = this.#next++;
    const file = segmentFile(dir, number);
    const fd = await openFd(file, "ax", 0o600);
    try {
      const header = Buffer.from(
        `${seal(JSON.stringify({ v: 1, n: number, abandoned: [...this.#abandoned] }))}\n`,
      );
      await writeAll(fd, header);
      await datasync(fd);
      await syncFolder(dir);
      return { number, fd, size: header.length, headerSize: header.length };
    } catch (error) {
      await closeFd(fd).catch(() => undefined);
      await unlink(file).catch(() => undefined);
      throw error;
    }
  }

  async #rotate(): Promise<void> {
    const old = this.#segment;
    if (old && old.size > old.headerSize) {
      try {
        this.#segment = await this.#create();
        this.#retired.push(old.number);
        await closeFd(old.fd).catch(() => undefined);
      } catch (error) {
        // The old segment still works, so this is no fault; the next checkpoint tries again.
        this.#options.log.warn({ reason: faultOf(error) }, "cannot start a new journal segment yet");
      }
    }
    for (const resolve of this.#rotations.splice(0)) resolve([...this.#retired]);
  }

  #failed(error: unknown): void {
    const reason = `${faultOf(error)} in ${this.#options.dir}`;
    if (this.#fault !== reason)
      this.#options.log.error(
        { reason, err: error },
        "the session store cannot write; nothing is accepted until it can",
      );
    this.#fault = reason;
    this.#triedAt = performance.now();
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#probe(), this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, 5_000);
  }

  #probe(): void {
    if (this.#running) return;
    this.#running = true;
    this.#triedAt = Number.NEGATIVE_INFINITY;
    void this.#ready()
      .catch(() => undefined)
      .then(() => this.#run());
  }

  #refusal(): RclawError {
    return new RclawError(
      "STORE_DEGRADED",
      `not stored: ${this.#fault ?? "the journal failed"}. Nothing was written; try again when the disk works.`,
      {
        retryable: true,
      },
    );
  }
}

function segmentFile(dir: string, number: number): string {
  return path.join(dir, `journal-${number}.jsonl`);
}
