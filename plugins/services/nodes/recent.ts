export interface Recent {
  /** False when the last value under this key was the same one, and not long ago. */
  isNew(key: string, value: string): boolean;
}

/** What came a moment ago, so that the same thing twice is one. */
export function createRecent(options: { keptMs: number; max: number; now(): number }): Recent {
  const { keptMs, max, now } = options;
  const seen = new Map<string, { readonly value: string; readonly at: number }>();
  return {
    isNew(key, value) {
      const at = now();
      const before = seen.get(key);
      if (before?.value === value && at - before.at <= keptMs) return false;
      seen.delete(key);
      seen.set(key, { value, at });
      for (const [oldest] of seen) {
        if (seen.size <= max) break;
        seen.delete(oldest);
      }
      return true;
    },
  };
}
