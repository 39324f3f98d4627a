import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, expect, test } from "vitest";
import { bodies, coreModule } from "../../fixtures/attacks/core.ts";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import type { Manifest } from "@rclaw/plugin-sdk";
import { battlefield, forgetModules, moduleFile, reason, stillAnswers, strike } from "./attacks.support.ts";

afterAll(forgetModules);
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const heap = async (): Promise<number> => {
  // What was freed by the first round frees more in the second.
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
};

test("SEC-195: loaded and unloaded a thousand times, nothing is left of a plugin", async () => {
  const { lanes, polite } = await battlefield();
  const entry = await moduleFile(coreModule());
  const manifest = {
    id: "comes",
    name: "Comes",
    description: "d",
    runtime: "wasm",
    entry,
    contributes: { tools: ["attack"] },
  } as unknown as Manifest;
  const once = async (use: boolean): Promise<void> => {
    const rclaw = createTestContext({ id: "comes" });
    await rclaw.activate(
      await lanes.load({ manifest, entry, wasm: entry, file: entry, builtIn: false }, "wasm"),
    );
    if (use) expect(await reason(() => strike(rclaw as never))).toContain("hello");
    await rclaw[Symbol.asyncDispose]();
  };
  for (let i = 0; i < 50; i++) await once(true);
  const before = await heap();
  // Each tenth comes to life in its thread; the others are known from what they offered before.
  for (let i = 0; i < 1_000; i++) await once(i % 10 === 0);
  expect((await heap()) - before).toBeLessThan(5 * 1_048_576);
  expect(lanes.use("comes")).toBeUndefined();
  await stillAnswers(polite);
}, 60_000);

test("fifty threads that were ended leave no more behind than ten did", async () => {
  const { meets, lanes } = await battlefield({ loadMs: 10_000 });
  const end = async (): Promise<void> => {
    // Another link each time: one that fell five times would be kept off.
    await strike(await meets({ execute: bodies.polite }));
    await lanes.close();
  };
  for (let i = 0; i < 10; i++) await end();
  const [before, resident] = [await heap(), process.memoryUsage.rss()];
  for (let i = 0; i < 50; i++) await end();
  expect((await heap()) - before).toBeLessThan(5 * 1_048_576);
  // The first few leave what an allocator keeps; after that it is flat, give or take a thread.
  expect(process.memoryUsage.rss() - resident).toBeLessThan(40 * 1_048_576);
}, 60_000);
