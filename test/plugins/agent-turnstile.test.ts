import { expect, test } from "vitest";
import { createTurnstile } from "../../plugins/services/agent/turnstile.ts";

test("so many are inside at a time, in the order they came, and each who leaves makes room", async () => {
  const turnstile = createTurnstile(2, 60_000);
  const entered: number[] = [];
  let most = 0;
  let inside = 0;
  const visits = [1, 2, 3, 4, 5].map(async (number) => {
    const leave = await turnstile();
    entered.push(number);
    most = Math.max(most, ++inside);
    await new Promise(setImmediate);
    inside--;
    leave();
    // Only the first time counts: nobody else's place is given away.
    leave();
  });
  expect(entered).toEqual([]);
  await Promise.all(visits);
  expect(entered).toEqual([1, 2, 3, 4, 5]);
  expect(most).toBe(2);
});

test("one that stays for long keeps nobody out", async () => {
  const turnstile = createTurnstile(1, 5);
  await turnstile();
  const leave = await turnstile();
  leave();
  await turnstile();
});

test("one that comes to an empty turnstile waits for the next turn only", async () => {
  const turnstile = createTurnstile(1, 60_000);
  (await turnstile())();
  let entered = false;
  const next = turnstile().then(() => (entered = true));
  await Promise.resolve();
  expect(entered).toBe(false);
  await next;
  expect(entered).toBe(true);
});

test("while many come in a rush a single one is inside, and all places are back afterwards", async () => {
  const turnstile = createTurnstile(2, 60_000);
  const leaves: (() => void)[] = [];
  const visits = Array.from({ length: 7 }, () => turnstile().then((leave) => leaves.push(leave)));
  await visits[0];
  expect(leaves).toHaveLength(1);
  leaves[0]?.();
  await visits[2];
  expect(leaves).toHaveLength(3);
  for (let left = 1; left < visits.length; left++) {
    await visits[left];
    leaves[left]?.();
  }
});

test("thousands that wait are all let in, in order", async () => {
  const turnstile = createTurnstile(3, 60_000);
  const entered: number[] = [];
  await Promise.all(
    Array.from({ length: 5_000 }, async (_, number) => {
      const leave = await turnstile();
      entered.push(number);
      leave();
    }),
  );
  expect(entered).toEqual(Array.from({ length: 5_000 }, (_, number) => number));
});
