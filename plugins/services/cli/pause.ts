import { setTimeout as sleep } from "node:timers/promises";

/** Waits; false when the signal ended it. */
export const pause = (ms: number, signal: AbortSignal): Promise<boolean> =>
  sleep(ms, true, { signal }).catch(() => false);
