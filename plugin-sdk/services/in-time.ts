import { RclawError } from "../errors.ts";

/** Rejects with TIMEOUT when `promise` takes too long; the late answer is dropped, not awaited. */
export async function deadline<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new RclawError("TIMEOUT", `${what} took longer than ${timeoutMs} ms`)),
      // A timer takes no more than that, and would ring at once.
      Math.min(timeoutMs, 2_147_483_647),
    );
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects with ABORTED as soon as the signal ends, for what may ignore its signal: somebody waits who pressed stop. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(new RclawError("ABORTED", `${what} was stopped`, { cause: signal.reason }));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}
