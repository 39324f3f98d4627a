import { RclawError } from "../errors.ts";
import type { Caller } from "../gateway.ts";

const windowMs = 60_000;

export interface WriteLimit {
  /** Refuses a client that has gone on too long, in the words OpenClaw's clients know. */
  check(method: string, caller: Caller): void;
  add(method: string, caller: Caller): void;
}

/** At most so many calls of a method a minute, by whoever `keyOf` says somebody is. People at the command line are not counted. */
export function createWriteLimit(perMinute: number, keyOf: (caller: Caller) => string): WriteLimit {
  const recent = new Map<string, readonly number[]>();
  const placeOf = (method: string, caller: Caller): string => `${method} ${keyOf(caller)}`;

  return {
    check(method, caller) {
      if (caller.kind !== "client") return;
      const now = Date.now();
      for (const [key, times] of recent) if ((times.at(-1) ?? 0) <= now - windowMs) recent.delete(key);
      const times = (recent.get(placeOf(method, caller)) ?? []).filter((at) => at > now - windowMs);
      const [oldest = now] = times;
      if (times.length < perMinute) return;
      const retryAfterMs = oldest + windowMs - now;
      throw new RclawError(
        "UNAVAILABLE",
        `rate limit exceeded for ${method}; retry after ${Math.ceil(retryAfterMs / 1_000)}s`,
        { retryable: true, details: { method, limit: `${perMinute} per 60s`, retryAfterMs } },
      );
    },
    add(method, caller) {
      if (caller.kind !== "client") return;
      const key = placeOf(method, caller);
      recent.set(key, [...(recent.get(key) ?? []), Date.now()].slice(-perMinute));
    },
  };
}
