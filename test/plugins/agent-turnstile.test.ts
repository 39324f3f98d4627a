import { expect, test } from "vitest";
import { createTurnstile } from "../../plugins/services/agent/turnstile.ts";

test("a few enter in each turn of the event loop, in the order they came", async () => {
  const turnstile = createTurnstile(2);
  const entered: number[] = [];
  const perTurn: number[] = [];
  const all = Promise.all([1, 2, 3, 4, 5].map((number) => turnstile().then(() => entered.push(number))));
  expect(entered).toEqual([]);
  const watch = (): void => {
    perTurn.push(entered.length);
    if (entered.length < 5) setImmediate(watch);
  };
  setImmediate(watch);
  await all;
  expect(entered).toEqual([1, 2, 3, 4, 5]);
  for (const [turn, count] of perTurn.entries()) expect(count).toBeLessThanOrEqual((turn + 1) * 2);
});

test("one that comes to an empty turnstile waits for the next turn only", async () => {
  const turnstile = createTurnstile(1);
  await turnstile();
  let entered = false;
  const next = turnstile().then(() => (entered = true));
  await Promise.resolve();
  expect(entered).toBe(false);
  await next;
  expect(entered).toBe(true);
});
