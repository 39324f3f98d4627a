import { createTurns } from "@rclaw/plugin-sdk/turns";
import { expect, test } from "vitest";

test("each task begins when the one before it is over, also when that one failed", async () => {
  const inTurn = createTurns();
  const seen: string[] = [];
  const task = (name: string, fails = false) =>
    inTurn(async () => {
      seen.push(`${name} begins`);
      await new Promise(setImmediate);
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([task("one"), task("two", true), task("three")]);
  expect(seen).toEqual(["one begins", "one ends", "two begins", "two ends", "three begins", "three ends"]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});
