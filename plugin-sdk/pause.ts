/** Pauses after failures: twice as long each time, and never quite the same. */
const minMs = 250;
const maxMs = 60_000;

export const pauseAfter = (failures: number): number =>
  Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 16)) * (0.8 + Math.random() * 0.4);

/** Resolves after a while, or at once when `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    // In a sandbox it is a number.
    if (typeof timer === "object") timer.unref();
    signal.addEventListener("abort", over);
  });
}
