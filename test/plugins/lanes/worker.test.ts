import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { live, openLanes, place } from "./setup.ts";

const entry = path.resolve(import.meta.dirname, "../../fixtures/lanes/worker-tool.mjs");
const manifest = { id: "demo", contributes: { tools: ["echo", "refuse", "spin", "crash"] } };

test("a tool answers from a thread of its own", async () => {
  const { lanes } = await openLanes();
  const { context } = await live(lanes, "worker", entry, manifest, { config: { greeting: "hello" } });
  const { signal } = context;
  expect(await context.tools.call("echo", { text: "Ada" }, { ...place, signal })).toEqual({
    content: "hello Ada",
  });
  expect(lanes.use("demo")).toMatchObject({ calls: 1, failures: 0, kills: 0, loaded: true });
});

test("a plugin that says UNAVAILABLE itself is not taken for one that is gone", async () => {
  const { lanes } = await openLanes();
  const { context } = await live(lanes, "worker", entry, manifest);
  const { signal } = context;
  await expect(context.tools.call("refuse", {}, { ...place, signal })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "nobody is home",
  });
  expect(lanes.use("demo")).toMatchObject({ failures: 1, kills: 0, loaded: true });
});

test("what a plugin offers is remembered, so that the next start loads nothing", async () => {
  const { lanes } = await openLanes();
  const first = await live(lanes, "worker", entry, manifest);
  await first[Symbol.asyncDispose]();
  const second = await live(lanes, "worker", entry, manifest);
  expect([...second.contributions.tools.keys()]).toEqual(["echo", "refuse", "spin", "crash"]);
  expect(lanes.use("demo")).toMatchObject({ loaded: false });
});

test("an endless loop is ended, named, and the next call is answered", async () => {
  const { lanes, troubles } = await openLanes({ limits: () => ({ entryMs: 500 }) });
  const { context } = await live(lanes, "worker", entry, manifest);
  const { signal } = context;
  await expect(context.tools.call("spin", {}, { ...place, signal })).rejects.toThrow(
    'plugin "demo" was ended: computed for more than 500 ms at a stretch',
  );
  expect(await context.tools.call("echo", { text: "again" }, { ...place, signal })).toEqual({
    content: "hi again",
  });
  expect(troubles).toHaveLength(1);
  expect(lanes.use("demo")).toMatchObject({ kills: 1 });
});

test("a plugin that ends its thread ends nothing else", async () => {
  const { lanes } = await openLanes();
  const { context } = await live(lanes, "worker", entry, manifest);
  const { signal } = context;
  await expect(context.tools.call("crash", {}, { ...place, signal })).rejects.toMatchObject({
    code: "PLUGIN_FAILED",
  });
  expect(await context.tools.call("echo", { text: "again" }, { ...place, signal })).toEqual({
    content: "hi again",
  });
});

test("a plugin without work leaves its thread, and comes back when it is asked", async () => {
  const { lanes } = await openLanes({ idleMs: 50 });
  const { context } = await live(lanes, "worker", entry, manifest);
  const { signal } = context;
  await context.tools.call("echo", { text: "a" }, { ...place, signal });
  await expect.poll(() => lanes.use("demo")?.loaded).toBe(false);
  expect(await context.tools.call("echo", { text: "b" }, { ...place, signal })).toEqual({ content: "hi b" });
});

test("a cache that cannot be written keeps no plugin from running, and the log says so", async () => {
  const lines: string[] = [];
  const log = {
    debug() {},
    info() {},
    warn: (_fields: object, text: string) => void lines.push(text),
    error() {},
  };
  const { lanes, stateDir } = await openLanes({ log });
  await writeFile(path.join(stateDir, "cache"), "in the way");
  const script = path.join(stateDir, "plain.mjs");
  await writeFile(
    script,
    `export default { activate(ctx) {
       const execute = async () => ({ content: "here" });
       ctx.tools.register({ name: "echo", description: "d", params: { type: "object" }, execute });
     } };`,
  );
  const { context } = await live(lanes, "worker", script, { id: "plain", contributes: { tools: ["echo"] } });
  const { signal } = context;
  expect(await context.tools.call("echo", {}, { ...place, signal })).toEqual({ content: "here" });
  expect(lines[0]).toBe('what was made of plugin "plain" was not remembered');
});
