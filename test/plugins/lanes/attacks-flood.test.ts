import { writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  battlefield,
  contained,
  forgetModules,
  reason,
  sharedFolder,
  stillAnswers,
  strike,
} from "./attacks.support.ts";
import { live, place } from "./setup.ts";

afterAll(forgetModules);

const canary = "canary-9c41d7";
/** Nothing but the flood itself ends it within that time. */
const patience = 20_000;
/** Some 30 ms were measured; read without a bound, it is 700 ms in the first second. The rest is for a machine that is busy. */
const bounds = { stallMs: 500, growth: 500 * 1_048_576 };

/** A script that took hold of its own port, and what its tool does with it. */
const script = (body: string): string => `
  import { MessagePort, parentPort } from "node:worker_threads";
  const real = MessagePort.prototype.postMessage;
  let port;
  MessagePort.prototype.postMessage = function (message, ...rest) {
    if (message?.type === "req") port = this;
    return real.call(this, message, ...rest);
  };
  const post = (message) => real.call(port, message);
  const chunk = (id, chunk) => post({ type: "event", event: "chunk", payload: { id, chunk } });
  const forLong = (work) => { for (const end = Date.now() + ${patience}; Date.now() < end; ) work(); };
  const pause = () => new Promise((resolve) => setImmediate(resolve));
  const large = "x".repeat(102_400);
  const bytes = new Uint8Array(102_400);
  export default { activate(ctx) {
    console.log("to find the port by");
    ctx.tools.register({ name: "attack", description: "d", params: { type: "object" },
      async execute(_params, call) { ${body}; return { content: "hello" }; } });
  } };`;

const tooMany = /PLUGIN_FAILED.*"hostile" was ended: sent more than 10000 frames without waiting/;
const tooLarge = /PLUGIN_FAILED.*"hostile" was ended: sent more than 128 MiB without waiting/;
const noFrames = /PLUGIN_FAILED.*"hostile" was ended: sent more than 100 messages.*no frames/;
const pastPort = /PLUGIN_FAILED.*"hostile" was ended: sent messages to the host past the port/;

const rows: readonly (readonly [string, string, RegExp])[] = [
  ["log lines", `forLong(() => ctx.log.info({}, "flood"))`, tooMany],
  [
    "log lines, letting others in now and then",
    `for (;;) { for (let i = 0; i < 2_000; i++) ctx.log.info({}, "flood"); await pause(); }`,
    tooMany,
  ],
  [
    "requests of 100 KB",
    `forLong(() => post({ type: "req", id: 1, method: "storage.get", params: { key: "a", large } }))`,
    tooLarge,
  ],
  ["updates of its answer", `forLong(() => call.onUpdate("piece"))`, tooMany],
  ["requests", `forLong(() => void ctx.storage.get("a").catch(() => {}))`, tooMany],
  [
    "requests under one number",
    `forLong(() => post({ type: "req", id: 1, method: "storage.get", params: { key: "a" } }))`,
    tooMany,
  ],
  ["what is no frame", `forLong(() => post({ type: "flood", large }))`, noFrames],
  ["chunks of answers that nobody waits for", `forLong(() => chunk(1, "a"))`, tooMany],
  ["large chunks of answers that nobody waits for", `forLong(() => chunk(1, bytes))`, tooLarge],
  [
    "answers to calls that nobody made",
    `forLong(() => post({ type: "res", id: 1, ok: true, payload: null }))`,
    tooMany,
  ],
  ["messages past its port", `forLong(() => real.call(parentPort, large))`, pastPort],
];

let last = 0;
async function meet(body: string) {
  const field = await battlefield({ entryMs: patience, callMs: patience });
  const entry = path.join(await sharedFolder(), `flood-${++last}.mjs`);
  await writeFile(entry, script(body));
  const manifest = { id: "hostile", contributes: { tools: ["attack"] } };
  const hostile = await live(field.lanes, "worker", entry, manifest, { secrets: { "other.key": canary } });
  return { ...field, hostile };
}

test.each(rows)("SEC-184: a script floods its host with %s", async (_what, body, told) => {
  const { lanes, polite, troubles, hostile } = await meet(body);
  const said = await contained(() => reason(() => strike(hostile)), bounds);
  expect(said).toMatch(told);
  await stillAnswers(polite);
  expect(lanes.use("hostile")?.kills).toBe(1);
  expect(lanes.use("polite")?.kills).toBe(0);
  expect(troubles.map(({ id }) => id)).toEqual(expect.arrayContaining(["hostile"]));
  expect(troubles.filter(({ id }) => id === "polite")).toEqual([]);
  expect(JSON.stringify([said, troubles, hostile.logs])).not.toContain(canary);
});

test("SEC-184: while a script floods, others are answered, and five floods keep it off", async () => {
  const { polite, hostile } = await meet(`forLong(() => ctx.log.info({}, "flood"))`);
  const told: string[] = [];
  const flood = async (): Promise<void> => {
    for (let i = 0; i < 6; i++) told.push(await reason(() => strike(hostile)));
  };
  let answers = 0;
  await contained(async () => {
    const flooding = flood();
    for (; told.length < 6; answers++) expect(await reason(() => strike(polite))).toContain("hello");
    await flooding;
  }, bounds);
  expect(answers).toBeGreaterThan(20);
  expect(told.slice(0, 5).every((words) => tooMany.test(words))).toBe(true);
  expect(told[5]).toMatch(/UNAVAILABLE.*"hostile" broke 5 times.*sent more than 10000 frames/);
});

const honest: readonly (readonly [string, string])[] = [
  [
    "asks 200 things at once, again and again",
    `for (let i = 0; i < 150; i++) await Promise.all(Array.from({ length: 200 }, () => ctx.storage.get("a")))`,
  ],
  ["writes five thousand lines at once", `for (let i = 0; i < 5_000; i++) ctx.log.info({}, "line")`],
  ["greets whoever started its thread", `for (let i = 0; i < 1_000; i++) parentPort.postMessage("ready")`],
  [
    "keeps 250 requests running all the time",
    `let left = 30_000;
     await Promise.all(Array.from({ length: 250 }, async () => { while (left-- > 0) await ctx.storage.get("a"); }))`,
  ],
];
test.each(honest)("a script that %s is left alone", async (_what, body) => {
  const { lanes, hostile } = await meet(body);
  const result = await hostile.context.tools.call("attack", {}, { ...place, signal: hostile.context.signal });
  expect(result).toEqual({ content: "hello" });
  expect(lanes.use("hostile")?.kills).toBe(0);
});
