import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";

/** Documented in docs/plugins.md, which a test compares with these numbers. */
export const defaultLimits: LaneLimits = {
  memoryBytes: 32 * 1_048_576,
  tableEntries: 10_000,
  loadMs: 5_000,
  callMs: 30_000,
  entryMs: 5_000,
  resultBytes: 1_048_576,
  hostCalls: 1_000,
  logLines: 100,
  hostBytes: 16 * 1_048_576,
};

/** The operator's numbers over ours; what is no positive number counts for nothing. */
export function limitsOf(given: Readonly<Record<string, unknown>>): LaneLimits {
  const entries = Object.entries(defaultLimits).map(([key, preset]) => {
    const own = given[key];
    return [key, typeof own === "number" && own > 0 ? own : preset] as const;
  });
  return Object.fromEntries(entries) as unknown as LaneLimits;
}
