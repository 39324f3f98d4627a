/** The config's `gateway.auth.rateLimit`. */
export interface LimiterRules {
  readonly maxAttempts: number;
  readonly windowMs: number;
  readonly lockoutMs: number;
  readonly exemptLoopback: boolean;
}

interface Bucket {
  failures: number;
  since: number;
  lockedAt: number | undefined;
}

/** Counts failed attempts per key and locks a key that has too many of them. */
export interface Limiter {
  /** Milliseconds until the key may try again; 0 when it may now. */
  lockedFor(key: string): number;
  fail(key: string): void;
  /** A success ends the count, so that an honest client's typing errors do not add up. */
  succeed(key: string): void;
  /** One attempt of a key after the other: side by side, all would be judged before the first is counted. */
  inTurn<T>(key: string | undefined, attempt: () => Promise<T>): Promise<T>;
  readonly size: number;
}

export const authLimits = { maxAttempts: 10, windowMs: 60_000, lockoutMs: 300_000, exemptLoopback: true };
/** Keys remembered at most; the oldest go first. */
const maxKeys = 10_000;

/** `rules` is asked every time: what is changed holds for locks that are on as well. */
export function createLimiter(rules: () => LimiterRules, now: () => number): Limiter {
  const buckets = new Map<string, Bucket>();
  const turns = new Map<string, Promise<unknown>>();

  const endOf = ({ lockedAt, since }: Bucket): number =>
    lockedAt === undefined ? since + rules().windowMs : lockedAt + rules().lockoutMs;
  const isOver = (bucket: Bucket, time: number): boolean => endOf(bucket) <= time;

  function makeRoom(time: number): void {
    if (buckets.size < maxKeys) return;
    for (const [key, bucket] of buckets) if (isOver(bucket, time)) buckets.delete(key);
    // Still full: whoever floods us with addresses pushes out their own oldest ones.
    for (const key of buckets.keys()) {
      if (buckets.size < maxKeys * 0.9) return;
      buckets.delete(key);
    }
  }

  return {
    lockedFor(key) {
      const bucket = buckets.get(key);
      return bucket?.lockedAt === undefined ? 0 : Math.max(0, endOf(bucket) - now());
    },
    fail(key) {
      const time = now();
      let bucket = buckets.get(key);
      if (!bucket || isOver(bucket, time)) {
        buckets.delete(key);
        makeRoom(time);
        buckets.set(key, (bucket = { failures: 0, since: time, lockedAt: undefined }));
      }
      bucket.failures++;
      if (bucket.failures >= rules().maxAttempts) bucket.lockedAt = time;
    },
    succeed(key) {
      buckets.delete(key);
    },
    inTurn(key, attempt) {
      if (key === undefined) return attempt();
      const result = (turns.get(key) ?? Promise.resolve()).then(attempt);
      const settled = result.then(
        () => undefined,
        () => undefined,
      );
      turns.set(key, settled);
      void settled.then(() => turns.get(key) === settled && turns.delete(key));
      return result;
    },
    get size() {
      return buckets.size;
    },
  };
}
