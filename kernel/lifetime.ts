import { setMaxListeners } from "node:events";

/**
 * A lifetime owns side effects. Whatever a plugin starts - a listener, a timer,
 * a socket - is deferred here at the moment it is started, so disabling the
 * plugin needs no bookkeeping of its own and cannot forget a piece.
 *
 * Teardown order matters: the signal aborts first, so that in-flight work stops
 * asking for what is about to go away; then the deferred functions run newest
 * first, because later effects may lean on earlier ones.
 */
export class Lifetime implements AsyncDisposable {
  readonly #controller = new AbortController();
  #deferred: (() => unknown)[] = [];
  #ended: Promise<void> | undefined;

  constructor() {
    // Every call under way may listen to it; Node would take the eleventh for a leak.
    setMaxListeners(0, this.signal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Effects not yet undone; a test that leaves any behind has leaked. */
  get size(): number {
    return this.#deferred.length;
  }

  defer(fn: () => unknown): Disposable {
    if (this.signal.aborted) throw new Error("cannot defer on a lifetime that has ended");
    this.#deferred.push(fn);
    return {
      [Symbol.dispose]: () => {
        const index = this.#deferred.indexOf(fn);
        if (index === -1) return;
        this.#deferred.splice(index, 1);
        fn();
      },
    };
  }

  /** Ends the lifetime. Every deferred function runs, even when others throw; a second caller waits for the first. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#controller.abort();
    const errors: unknown[] = [];
    for (const fn of this.#deferred.splice(0).reverse()) {
      try {
        await fn();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, "teardown failed");
  }
}
