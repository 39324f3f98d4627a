/** Where the pieces of a stream come from. `pull` puts at least one piece in, ends the stream, or fails it. */
interface Source<Piece> {
  start?(controller: StreamController<Piece>): unknown;
  pull?(controller: StreamController<Piece>): unknown;
  cancel?(reason: unknown): unknown;
}

export interface StreamController<Piece> {
  readonly desiredSize: number | null;
  enqueue(piece: Piece): void;
  close(): void;
  error(reason: unknown): void;
}

interface Waiting<Piece> {
  resolve(result: IteratorResult<Piece, undefined>): void;
  reject(reason: unknown): void;
}

const end = { done: true, value: undefined } as const;

/** Bytes or text that come bit by bit. For reading: nothing here pipes or tees. */
export class GuestReadableStream<Piece = Uint8Array> {
  readonly #source: Source<Piece>;
  readonly #highWaterMark: number;
  readonly #controller: StreamController<Piece>;
  #queue: Piece[] = [];
  #waiting: Waiting<Piece>[] = [];
  #state: "open" | "closing" | "closed" | "failed" = "open";
  #reason: unknown;
  #pulling = false;
  /** Somebody wanted more while it was pulled. */
  #again = false;
  #started: boolean;
  #reader: StreamReader<Piece> | undefined;

  constructor(source: Source<Piece> = {}, { highWaterMark = 1 }: { highWaterMark?: number } = {}) {
    this.#source = source;
    this.#highWaterMark = highWaterMark;
    const size = (): number | null =>
      this.#state === "failed" ? null : this.#state === "open" ? this.#highWaterMark - this.#queue.length : 0;
    this.#controller = {
      get desiredSize() {
        return size();
      },
      enqueue: (piece) => this.#enqueue(piece),
      close: () => this.#close(),
      error: (reason) => this.#fail(reason),
    };
    const begun = source.start?.(this.#controller);
    this.#started = begun === undefined;
    if (this.#started) this.#pull();
    else
      Promise.resolve(begun).then(
        () => {
          this.#started = true;
          this.#pull();
        },
        (error: unknown) => this.#fail(error),
      );
  }

  get locked(): boolean {
    return this.#reader !== undefined;
  }

  getReader(): StreamReader<Piece> {
    if (this.#reader) throw new TypeError("Invalid state: ReadableStream is locked");
    return (this.#reader = new StreamReader(this));
  }

  cancel(reason?: unknown): Promise<void> {
    if (this.locked) return Promise.reject(new TypeError("Invalid state: ReadableStream is locked"));
    return GuestReadableStream.cancel(this, reason);
  }

  async *values({ preventCancel = false } = {}): AsyncGenerator<Piece, void, undefined> {
    const reader = this.getReader();
    let whole = false;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          whole = true;
          return;
        }
        yield value;
      }
    } catch (error) {
      whole = true;
      throw error;
    } finally {
      if (!whole && !preventCancel) await reader.cancel();
      reader.releaseLock();
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Piece, void, undefined> {
    return this.values();
  }

  static from<Item>(items: Iterable<Item> | AsyncIterable<Item>): GuestReadableStream<Item> {
    const iterator: Iterator<Item> | AsyncIterator<Item> =
      Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    return new GuestReadableStream<Item>(
      {
        async pull(controller) {
          const { done, value } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(await value);
        },
        cancel: (reason) => iterator.return?.(reason),
      },
      { highWaterMark: 0 },
    );
  }

  static read<Piece>(stream: GuestReadableStream<Piece>): Promise<IteratorResult<Piece, undefined>> {
    const queue = stream.#queue;
    if (queue.length > 0) {
      const value = queue.shift() as Piece;
      if (stream.#state === "closing" && queue.length === 0) stream.#state = "closed";
      stream.#pull();
      return Promise.resolve({ done: false, value });
    }
    if (stream.#state === "failed") return Promise.reject(stream.#reason);
    if (stream.#state !== "open") return Promise.resolve(end);
    return new Promise((resolve, reject) => {
      stream.#waiting.push({ resolve, reject });
      stream.#pull();
    });
  }

  static async cancel<Piece>(stream: GuestReadableStream<Piece>, reason: unknown): Promise<void> {
    if (stream.#state === "failed") throw stream.#reason;
    if (stream.#state === "closed") return;
    stream.#state = "closed";
    stream.#queue = [];
    for (const one of stream.#waiting.splice(0)) one.resolve(end);
    await stream.#source.cancel?.(reason);
  }

  static release<Piece>(stream: GuestReadableStream<Piece>): void {
    stream.#reader = undefined;
  }

  #pull(): void {
    const wanted = this.#waiting.length > 0 || this.#queue.length < this.#highWaterMark;
    if (!this.#started || this.#state !== "open" || !wanted || !this.#source.pull) return;
    if (this.#pulling) return void (this.#again = true);
    this.#pulling = true;
    const settled = (): void => {
      this.#pulling = false;
      // A source that put nothing in is not asked again before somebody reads.
      if (!this.#again) return;
      this.#again = false;
      this.#pull();
    };
    try {
      const pulled = this.#source.pull(this.#controller);
      Promise.resolve(pulled).then(settled, (error: unknown) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  }

  #enqueue(piece: Piece): void {
    if (this.#state !== "open") throw new TypeError("Invalid state: Controller is already closed");
    const first = this.#waiting.shift();
    if (first) first.resolve({ done: false, value: piece });
    else this.#queue.push(piece);
    this.#pull();
  }

  #close(): void {
    if (this.#state !== "open") throw new TypeError("Invalid state: Controller is already closed");
    this.#state = this.#queue.length > 0 ? "closing" : "closed";
    for (const one of this.#waiting.splice(0)) one.resolve(end);
  }

  #fail(reason: unknown): void {
    if (this.#state === "closed" || this.#state === "failed") return;
    this.#state = "failed";
    this.#reason = reason;
    this.#queue = [];
    for (const one of this.#waiting.splice(0)) one.reject(reason);
  }
}

class StreamReader<Piece> {
  #stream: GuestReadableStream<Piece> | undefined;

  constructor(stream: GuestReadableStream<Piece>) {
    this.#stream = stream;
  }

  read(): Promise<IteratorResult<Piece, undefined>> {
    if (!this.#stream) return Promise.reject(new TypeError("Invalid state: The reader is not attached"));
    return GuestReadableStream.read(this.#stream);
  }

  cancel(reason?: unknown): Promise<void> {
    if (!this.#stream) return Promise.reject(new TypeError("Invalid state: The reader is not attached"));
    return GuestReadableStream.cancel(this.#stream, reason);
  }

  releaseLock(): void {
    if (this.#stream) GuestReadableStream.release(this.#stream);
    this.#stream = undefined;
  }
}
