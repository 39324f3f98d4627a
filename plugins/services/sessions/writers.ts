import { RclawError } from "@rclaw/plugin-sdk";

interface Waiter {
  readonly admit: () => void;
}

/** One writer a session, first come, first served. */
export class Writers {
  readonly #queues = new Map<string, Waiter[]>();

  /** Resolves with the way to let the next one in. Rejects ABORTED when the signal fires first. */
  async acquire(key: string, signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) throw gaveUp(key, signal);
    const queue = this.#queues.get(key);
    if (queue) await wait(queue, key, signal);
    else this.#queues.set(key, []);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#next(key);
    };
  }

  isHeld(key: string): boolean {
    return this.#queues.has(key);
  }

  #next(key: string): void {
    const waiter = this.#queues.get(key)?.shift();
    if (waiter) waiter.admit();
    else this.#queues.delete(key);
  }
}

function wait(queue: Waiter[], key: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const waiter: Waiter = {
      admit: () => {
        signal.removeEventListener("abort", leave);
        resolve();
      },
    };
    const leave = (): void => {
      queue.splice(queue.indexOf(waiter), 1);
      reject(gaveUp(key, signal));
    };
    queue.push(waiter);
    signal.addEventListener("abort", leave, { once: true });
  });
}

function gaveUp(key: string, signal: AbortSignal): RclawError {
  return new RclawError("ABORTED", `gave up waiting for session ${key}, which another run is writing`, {
    cause: signal.reason,
    retryable: true,
    details: { sessionKey: key },
  });
}
