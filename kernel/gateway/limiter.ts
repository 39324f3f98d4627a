export interface LimiterRules {
  readonly failures: number;
  readonly windowMs: number;
  readonly lockMs: number;
  /** Keys remembered at most; the oldest go first. */
  readonly maxKeys: number;
}

interface Bucket {
  failures: number;
  since: number;
  lockedUntil: number;
}

/** Counts failed attempts per key and locks a key that has too many of them. */
export interface Limiter {
  /** Milliseconds until the key may try again; 0 when it may now. */
  lockedFor(key: string): number;
  fail(key: string): void;
  /** A success ends the count, so that an honest client's typing errors do not add up. */
  succeed(key: string): void;
  readonly size: number;
}

export const authLimits: LimiterRules = { failures: 10, windowMs: 60_000, lockMs: 300_000, maxKeys: 10_000 };

export function createLimiter(rules: LimiterRules, now: () => number): Limiter {
  const buckets = new Map<string, Bucket>();

  const isOver = (bucket: Bucket, time: number): boolean =>
    bucket.lockedUntil <= time && bucket.since + rules.windowMs <= time;

  function makeRoom(time: number): void {
    if (buckets.size < rules.maxKeys) return;
    for (const [key, bucket] of buckets) if (isOver(bucket, time)) buckets.delete(key);
    // Still full: whoever floods us with addresses pushes out their own oldest ones.
    for (const key of buckets.keys()) {
      if (buckets.size < rules.maxKeys * 0.9) return;
      buckets.delete(key);
    }
  }

  return {
    lockedFor(key) {
      const bucket = buckets.get(key);
      return bucket ? Math.max(0, bucket.lockedUntil - now()) : 0;
    },
    fail(key) {
      const time = now();
      let bucket = buckets.get(key);
      if (!bucket || isOver(bucket, time)) {
        buckets.delete(key);
        makeRoom(time);
        buckets.set(key, (bucket = { failures: 0, since: time, lockedUntil: 0 }));
      }
      bucket.failures++;
      if (bucket.failures >= rules.failures) bucket.lockedUntil = time + rules.lockMs;
    },
    succeed(key) {
      buckets.delete(key);
    },
    get size() {
      return buckets.size;
    },
  };
}
