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
import { live } from "./setup.ts";

afterAll(forgetModules);

/** Scripts in a thread: what they do by mistake, not what they could do on purpose. docs/security.md says which is which. */
const tool = (body: string, before = ""): string => `
  import * as threads from "node:worker_threads";
  ${before}
  export default { activate(ctx) {
    ctx.tools.register({ name: "attack", description: "d", params: { type: "object" },
      execute: async () => { ${body}; return { content: "hello" }; } });
  } };`;

let last = 0;
async function meet(code: string) {
  const field = await battlefield({ loadMs: 3_000 });
  const entry = path.join(await sharedFolder(), `script-${++last}.mjs`);
  await writeFile(entry, code);
  const come = () =>
    live(field.lanes, "worker", entry, { id: "hostile", contributes: { tools: ["attack"] } });
  return { ...field, told: () => reason(async () => strike(await come())) };
}

const rows: readonly (readonly [string, string, RegExp])[] = [
  ["throws at its top level", `throw new Error("no")`, /hostile.*could not be loaded: no/],
  ["throws nothing at its top level", `throw undefined`, /hostile/],
  [
    "never ends its top level",
    `const until = Date.now() + 15000; while (Date.now() < until);`,
    /hostile.*did not load within 3000 ms/,
  ],
  [
    "waits at its top level for ever",
    `await new Promise(() => setInterval(() => {}, 1000))`,
    /hostile.*did not load within 3000 ms/,
  ],
  ["ends its thread at its top level", `process.exit(0)`, /hostile.*was ended/],
  ["has nothing to export", `export const a = 1`, /hostile.*no default export/],
  ["exports what is no plugin", `export default { activate: 1 }`, /hostile.*no default export/],
  ["SEC-182: exits", tool(`process.exit(1)`), /hostile.*was ended/],
  [
    "SEC-182: aborts nobody but itself",
    tool(`setImmediate(() => { throw new Error("late") }); await new Promise(() => {})`),
    /hostile/,
  ],
  [
    "SEC-182: leaves a rejection to nobody",
    tool(`Promise.reject(new Error("late")); await new Promise((r) => setTimeout(r, 500))`),
    /hostile|hello/,
  ],
  [
    "SEC-184: writes to the pool behind its host's back",
    tool(
      `for (const m of ["x", { taskId: 1 }, null, { ready: true }]) threads.parentPort.postMessage(m); await new Promise((r) => setTimeout(r, 200))`,
    ),
    /hostile|hello/,
  ],
  [
    "SEC-184: answers with a function",
    tool(`return { content: "a", details: () => 1 }`),
    /PLUGIN_FAILED|plugin failed|hostile/,
  ],
  [
    "SEC-184: answers with shared memory",
    tool(`return { content: "a", details: new SharedArrayBuffer(8) }`),
    /not plain data/,
  ],
  [
    "SEC-184: answers with 64 MB",
    tool(`return { content: "x".repeat(64 * 1024 * 1024) }`),
    /larger than 1048576/,
  ],
  [
    "SEC-184: answers with what leads to itself",
    tool(`const a = { content: "a" }; a.a = a; return a`),
    /nested deeper/,
  ],
  [
    "SEC-183: stands still in Atomics.wait",
    tool(`Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 15000)`),
    /hostile.*computed for more than 1000 ms/,
  ],
  ["prints without end", tool(`for (let i = 0; i < 2000; i++) console.log("flood", i)`), /hello/],
];

test.each(rows)("a script that %s", async (_what, code, expected) => {
  const { polite, told, troubles } = await meet(code);
  await contained(async () => expect(await told()).toMatch(expected));
  await stillAnswers(polite);
  expect(troubles.filter(({ id }) => id === "polite")).toEqual([]);
});

test("SEC-182: what a script left behind in its thread and breaks there later is nobody's", async () => {
  const { lanes, polite } = await battlefield({ loadMs: 3_000 });
  const folder = await sharedFolder();
  const entry = path.join(folder, "leaves.mjs");
  await writeFile(
    entry,
    `export default { activate(ctx) {
       ctx.tools.register({ name: "attack", description: "d", params: {}, execute: async () => ({ content: "hello" }) });
       ctx.defer(() => { for (const ms of [0, 5, 100]) setTimeout(() => { throw new Error("late"); }, ms); });
     } };`,
  );
  const hostile = await live(lanes, "worker", entry, { id: "hostile", contributes: { tools: ["attack"] } });
  expect(await strike(hostile)).toEqual({ content: "hello" });
  await hostile[Symbol.asyncDispose]();
  await stillAnswers(polite);
  const again = await live(lanes, "worker", entry, { id: "hostile", contributes: { tools: ["attack"] } });
  expect(await reason(() => strike(again))).toContain("hello");
});
