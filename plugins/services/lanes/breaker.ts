import { RclawError } from "@rclaw/plugin-sdk";

const windowMs = 60_000;
const maxFailures = 5;
const firstWaitMs = 1_000;
const maxWaitMs = 60_000;

/** Keeps a plugin that breaks again and again from being started at every call. */
export function createBreaker(id: string, now: () => number = Date.now) {
  let failedAt: number[] = [];
  let waitMs = 0;
  let until = 0;
  let last: RclawError | undefined;
  return {
    isOpen: (): boolean => until > now(),
    /** Throws UNAVAILABLE while the plugin is kept off. */
    check(): void {
      const left = until - now();
      if (left <= 0) return;
      throw new RclawError(
        "UNAVAILABLE",
        `plugin "${id}" broke ${maxFailures} times within a minute (${last?.message ?? "no reason"}) and is kept off for ${Math.ceil(left / 1_000)} s; to try now: rclaw plugin reload ${id}`,
        { retryable: true, details: { plugin: id, retryAfterMs: Math.ceil(left) } },
      );
    },
    fail(error: RclawError): void {
      last = error;
      failedAt = [...failedAt.filter((at) => now() - at < windowMs), now()];
      if (failedAt.length < maxFailures) return;
      failedAt = [];
      waitMs = Math.min(maxWaitMs, Math.max(firstWaitMs, waitMs * 2));
      until = now() + waitMs;
    },
  };
}
