/* oxlint-disable promise/no-callback-in-promise, unicorn/no-thenable -- these are the promises themselves */
/**
 * Promises whose jobs run when the guest says so. The engine of a component drains its own job queue only
 * after `handle` has returned, which is too late for the actions that the jobs lead to.
 */
type Job = () => void;
type State = "pending" | "fulfilled" | "rejected";

/** What follows when a promise is settled: a handler for each way, and the promise that stands for its outcome. */
interface Reaction {
  readonly fulfilled: unknown;
  readonly rejected: unknown;
  readonly next: GuestPromise<unknown>;
}

let jobs: Job[] = [];
const unhandled = new Set<GuestPromise<unknown>>();

/** Does a job after the running one. */
export function queueJob(job: Job): void {
  jobs.push(job);
}

/** Runs what is queued, and what that queues, until nothing is left. What a job throws goes to `failed`. */
export function runJobs(failed: (error: unknown) => void): void {
  while (jobs.length > 0) {
    const batch = jobs;
    jobs = [];
    for (const job of batch) {
      try {
        job();
      } catch (error) {
        failed(error);
      }
    }
  }
}

/** Reasons of the promises that were rejected and that nobody listens to; asked after the jobs, told once. */
export function takeUnhandled(): unknown[] {
  const reasons = Array.from(unhandled, (promise) => reasonOf(promise));
  unhandled.clear();
  return reasons;
}

/** Nobody waits yet; shared, because most promises are settled before anybody does. */
const none: Reaction[] = [];
/** Makes a promise that is settled from within. */
const bare = (): void => {};

let reasonOf: (promise: GuestPromise<unknown>) => unknown;

const isObject = (value: unknown): value is object =>
  (typeof value === "object" && value !== null) || typeof value === "function";

export class GuestPromise<T> implements Promise<T> {
  readonly [Symbol.toStringTag] = "Promise";
  #state: State = "pending";
  #value: unknown = undefined;
  #reactions: Reaction[] = none;
  #handled = false;

  static {
    reasonOf = (promise) => promise.#value;
  }

  constructor(
    executor: (resolve: (value: T | PromiseLike<T>) => void, reject: (reason?: unknown) => void) => void,
  ) {
    if (typeof executor !== "function")
      throw new TypeError(`Promise resolver ${String(executor)} is not a function`);
    if (executor === bare) return;
    const { resolve, reject } = this.#deciders();
    try {
      executor(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  #deciders(): { resolve(value: unknown): void; reject(reason: unknown): void } {
    let decided = false;
    return {
      resolve: (value) => {
        if (decided) return;
        decided = true;
        this.#resolve(value);
      },
      reject: (reason) => {
        if (decided) return;
        decided = true;
        this.#settle("rejected", reason);
      },
    };
  }

  #resolve(value: unknown): void {
    if (value === this) return this.#settle("rejected", new TypeError("Chaining cycle detected for promise"));
    if (!isObject(value)) return this.#settle("fulfilled", value);
    // One of our own needs no detour over its public method, unless somebody replaced that.
    if (#state in value && (value as GuestPromise<unknown>).then === GuestPromise.prototype.then)
      return (value as GuestPromise<unknown>).#subscribe({
        fulfilled: undefined,
        rejected: undefined,
        next: this,
      });
    let then: unknown;
    try {
      then = (value as { then?: unknown }).then;
    } catch (error) {
      return this.#settle("rejected", error);
    }
    if (typeof then !== "function") return this.#settle("fulfilled", value);
    const { resolve, reject } = this.#deciders();
    queueJob(() => {
      try {
        then.call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  #settle(state: State, value: unknown): void {
    this.#state = state;
    this.#value = value;
    const reactions = this.#reactions;
    this.#reactions = none;
    if (state === "rejected" && !this.#handled) unhandled.add(this);
    for (const reaction of reactions) queueJob(() => this.#react(reaction));
  }

  #subscribe(reaction: Reaction): void {
    if (!this.#handled) {
      this.#handled = true;
      if (this.#state === "rejected") unhandled.delete(this);
    }
    if (this.#state !== "pending") queueJob(() => this.#react(reaction));
    else if (this.#reactions === none) this.#reactions = [reaction];
    else this.#reactions.push(reaction);
  }

  #react({ fulfilled, rejected, next }: Reaction): void {
    const handler = this.#state === "fulfilled" ? fulfilled : rejected;
    if (typeof handler !== "function") return next.#settle(this.#state, this.#value);
    let result: unknown;
    try {
      result = (handler as (value: unknown) => unknown)(this.#value);
    } catch (error) {
      return next.#settle("rejected", error);
    }
    next.#resolve(result);
  }

  then<Fulfilled = T, Rejected = never>(
    onFulfilled?: ((value: T) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): GuestPromise<Fulfilled | Rejected> {
    const next = new GuestPromise<Fulfilled | Rejected>(bare);
    this.#subscribe({
      fulfilled: onFulfilled,
      rejected: onRejected,
      next: next,
    });
    return next;
  }

  catch<Rejected = never>(
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): GuestPromise<T | Rejected> {
    return this.then(undefined, onRejected);
  }

  finally(onFinally?: (() => void) | null): GuestPromise<T> {
    if (typeof onFinally !== "function") return this.then(null);
    return this.then(
      (value) => GuestPromise.resolve(onFinally()).then(() => value),
      (reason) =>
        GuestPromise.resolve(onFinally()).then(() => {
          throw reason;
        }),
    );
  }

  static resolve(): GuestPromise<void>;
  static resolve<T>(value: T | PromiseLike<T>): GuestPromise<Awaited<T>>;
  static resolve(value?: unknown): GuestPromise<unknown> {
    if (isObject(value) && #state in value) return value;
    return new GuestPromise((resolve) => resolve(value));
  }

  static reject<T = never>(reason?: unknown): GuestPromise<T> {
    return new GuestPromise<T>((_resolve, reject) => reject(reason));
  }

  static withResolvers<T>(): {
    promise: GuestPromise<T>;
    resolve(value: T | PromiseLike<T>): void;
    reject(reason?: unknown): void;
  } {
    let deciders!: { resolve(value: T | PromiseLike<T>): void; reject(reason?: unknown): void };
    const promise = new GuestPromise<T>((resolve, reject) => (deciders = { resolve, reject }));
    return { promise, ...deciders };
  }

  static try<T>(fn: (...args: never[]) => T | PromiseLike<T>, ...args: never[]): GuestPromise<T> {
    return new GuestPromise<T>((resolve) => resolve(fn(...args)));
  }

  static all(values: Iterable<unknown>): GuestPromise<unknown[]> {
    return collect(values, (promise, done, { reject }) => promise.then(done, reject));
  }

  static allSettled(values: Iterable<unknown>): GuestPromise<unknown[]> {
    return collect(values, (promise, done) =>
      promise.then(
        (value) => done({ status: "fulfilled", value }),
        (reason: unknown) => done({ status: "rejected", reason }),
      ),
    );
  }

  static any(values: Iterable<unknown>): GuestPromise<unknown> {
    return new GuestPromise((resolve, reject) => {
      const failures = collect(values, (promise, done) => promise.then(resolve, done));
      failures.then((errors) => reject(new AggregateError(errors, "All promises were rejected")), reject);
    });
  }

  static race(values: Iterable<unknown>): GuestPromise<unknown> {
    return new GuestPromise((resolve, reject) => {
      for (const value of values) GuestPromise.resolve(value).then(resolve, reject);
    });
  }
}

/** One slot for each value; resolves when all slots are filled. */
function collect(
  values: Iterable<unknown>,
  wait: (
    promise: GuestPromise<unknown>,
    done: (slot: unknown) => void,
    outer: { reject(reason: unknown): void },
  ) => unknown,
): GuestPromise<unknown[]> {
  return new GuestPromise((resolve, reject) => {
    const slots: unknown[] = [];
    let open = 1;
    const filled = (): void => {
      if (--open === 0) resolve(slots);
    };
    let index = 0;
    for (const value of values) {
      const place = index++;
      open++;
      slots[place] = undefined;
      wait(
        GuestPromise.resolve(value),
        (slot) => {
          slots[place] = slot;
          filled();
        },
        { reject },
      );
    }
    filled();
  });
}
