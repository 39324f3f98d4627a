import { type Chunk, RclawError } from "@rclaw/plugin-sdk";

export interface WatchOptions {
  readonly signal: AbortSignal;
  readonly idleMs: number;
  /** For error messages: provider and model. */
  readonly what: string;
}

type Next = IteratorResult<Chunk, undefined>;

/**
 * A provider's stream that ends when it is told to or when nothing comes any more, even
 * if the provider pays no heed to its signal, and that rejects when it ends without its
 * `end`. It is written out instead of as a generator, with one timer a stream and one
 * promise a chunk: every word of every answer passes here.
 */
export class WatchedStream implements AsyncIterableIterator<Chunk, undefined> {
  readonly #options: WatchOptions;
  readonly #start: (signal: AbortSignal) => AsyncIterable<Chunk>;
  readonly #controller = new AbortController();
  #source: AsyncIterator<Chunk> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastAt = 0;
  #ended = false;
  #stopped: RclawError | undefined;
  #resolve: ((next: Next) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #replay: readonly Chunk[] = [];
  #replayed = 0;

  constructor(start: (signal: AbortSignal) => AsyncIterable<Chunk>, options: WatchOptions) {
    this.#start = start;
    this.#options = options;
  }

  /** Gives these once more before the rest. */
  replay(chunks: readonly Chunk[]): void {
    this.#replay = chunks;
    this.#replayed = 0;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Next> {
    const again = this.#replay[this.#replayed++];
    if (again) return Promise.resolve({ done: false, value: again });
    if (this.#ended) return this.return();
    if (this.#options.signal.aborted) this.#onAbort();
    if (this.#stopped) return Promise.reject(this.#stopped);
    this.#lastAt = Date.now();
    return new Promise(this.#pull);
  }

  return(): Promise<Next> {
    this.#settle();
    // One that has ended has nothing left to stop.
    if (!this.#ended) this.#controller.abort();
    // A provider that hangs in its own clean-up must not hold the run.
    this.#source?.return?.()?.then(undefined, () => undefined);
    this.#source = undefined;
    this.#ended = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  readonly #pull = (resolve: (next: Next) => void, reject: (error: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
    try {
      this.#source ??= this.#begin();
      this.#source.next().then(this.#arrived, this.#failed);
    } catch (error) {
      // The kernel refuses an unknown provider before there is a stream.
      this.#failed(error);
    }
  };

  #begin(): AsyncIterator<Chunk> {
    this.#options.signal.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = setTimeout(this.#check, this.#options.idleMs).unref();
    return this.#start(this.#controller.signal)[Symbol.asyncIterator]();
  }

  readonly #arrived = (next: IteratorResult<Chunk>): void => {
    if (next.done) {
      const message = `${this.#options.what} stopped in the middle of its answer; ask again`;
      this.#failed(new RclawError("UNAVAILABLE", message, { retryable: true }));
      return;
    }
    if (next.value.type === "end") {
      this.#ended = true;
      this.#settle();
    }
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    resolve?.(next);
  };

  readonly #failed = (error: unknown): void => {
    this.#settle();
    const reject = this.#reject;
    this.#resolve = this.#reject = undefined;
    reject?.(error);
  };

  readonly #onAbort = (): void => {
    const { what, signal } = this.#options;
    this.#stop(new RclawError("ABORTED", `${what} was stopped`, { cause: signal.reason }));
  };

  readonly #check = (): void => {
    const { idleMs, what } = this.#options;
    // Nobody waits for it while the run is busy with a tool or with the disk.
    const idle = this.#reject ? Date.now() - this.#lastAt : 0;
    if (idle < idleMs) {
      this.#timer = setTimeout(this.#check, idleMs - idle).unref();
      return;
    }
    const message = `${what} sent nothing for ${Math.round(idleMs / 1_000)} s; ask again`;
    this.#stop(new RclawError("TIMEOUT", message, { retryable: true }));
  };

  #stop(error: RclawError): void {
    this.#stopped ??= error;
    this.#controller.abort(error);
    this.#failed(error);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#options.signal.removeEventListener("abort", this.#onAbort);
  }
}
