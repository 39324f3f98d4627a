import { afterEach, expect } from "vitest";

/**
 * Listeners that a test leaves on the process outlive it and see the next test's
 * events; the count must be what it was.
 */
const watched = ["SIGINT", "SIGTERM", "unhandledRejection", "uncaughtException", "warning"] as const;
const before = new Map(watched.map((name) => [name, process.listenerCount(name)]));

afterEach(() => {
  for (const name of watched)
    expect(process.listenerCount(name), `listeners left on process "${name}"`).toBeLessThanOrEqual(
      before.get(name) ?? 0,
    );
});
