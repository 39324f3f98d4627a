import { afterAll, describe, expect, test } from "vitest";
import { ask, bodies, coreModule, described, int, say } from "../../fixtures/attacks/core.ts";
import * as wasm from "../../support/wasm-module.ts";
import {
  battlefield,
  contained,
  forgetModules,
  moduleFile,
  reason,
  stillAnswers,
  strike,
  tight,
} from "./attacks.support.ts";
import { live, openLanes } from "./setup.ts";

afterAll(forgetModules);

/** What a tool of a core module does, and what its caller is told. */
const fought: readonly (readonly [string, keyof typeof bodies, RegExp])[] = [
  ["an endless loop is ended", "loop", /hostile.*computed for more than 1000 ms/],
  ["a trap", "trap", /hostile.*crashed: unreachable/],
  ["deep recursion", "recursion", /hostile.*called itself too often/],
  ["SEC-174: memory that grows without end and is filled", "memory bomb", /filled/],
  ["SEC-175: a table that grows by nine million entries", "table bomb", /refused/],
  [
    "memory of the host, a MiB at a time",
    "host memory bomb",
    /TOO_LARGE.*hostile.*bytes of the host's memory/,
  ],
  ["SEC-188: blocks of the host without end", "block bomb", /TOO_LARGE.*hostile.*blocks/],
  ["an answer of 15 MB", "output bomb", /TOO_LARGE.*hostile.*answered more than/],
  [
    "SEC-188: an answer that is longer than its block",
    "length that is not there",
    /hostile.*more than it has/,
  ],
  ["SEC-188: an answer of negative length", "negative length", /hostile.*more than it has/],
  ["SEC-188: an answer at an address of nothing", "address of nothing", /hostile.*address of nothing/],
  ["SEC-188: a look outside of its own memory", "outside of memory", /hostile.*out of bounds/],
  ["SEC-191: a hundred thousand log lines", "log bomb", /logged/],
  ["SEC-184: host calls without end", "host-call bomb", /RATE_LIMITED.*hostile.*more than 100 times/],
];

describe("a core module's tool", () => {
  test.each(fought)("%s", async (_what, name, told) => {
    const { polite, meets, troubles, lanes } = await battlefield();
    const hostile = await meets({ execute: bodies[name] });
    await contained(async () => expect(await reason(() => strike(hostile))).toMatch(told));
    await stillAnswers(polite);
    expect(troubles.filter(({ id }) => id === "polite")).toEqual([]);
    expect(lanes.use("polite")?.kills).toBe(0);
    expect(lanes.use("hostile")?.peakBytes).toBeLessThanOrEqual(16 * 1_048_576);
    expect(hostile.logs.length).toBeLessThan(220);
  });

  const answers: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
    ["no JSON", "not json", /PLUGIN_FAILED.*hostile.*no JSON/],
    ["bytes that are no text", Uint8Array.from([0x22, 0xff, 0xfe, 0x22]), /PLUGIN_FAILED.*not UTF-8/],
    ["neither ok nor err", '{"fine":1}', /neither \{"ok"\} nor/],
    ["both ok and err", '{"ok":{"content":"a"},"err":{"code":"TIMEOUT","message":"b"}}', /neither/],
    ["a result that is none", '{"ok":{"content":1}}', /something else than a result/],
    ["a result that is null", '{"ok":null}', /something else than a result/],
    ["deep JSON", `{"ok":${"[".repeat(200)}${"]".repeat(200)}}`, /deeper than 64/],
    [
      "an error with a code of its own making",
      '{"err":{"code":"constructor","message":"m"}}',
      /^PLUGIN_FAILED: m/,
    ],
    ["an error whose words are none", '{"err":{"code":"TIMEOUT","message":{"a":1}}}', /neither/],
    ["nothing", "", /answered nothing/],
  ];
  test.each(answers)("a forged answer: %s", async (_what, text, told) => {
    const { polite, meets } = await battlefield();
    const hostile = await meets({ execute: say(text) });
    expect(await reason(() => strike(hostile))).toMatch(told);
    await stillAnswers(polite);
  });

  test("an answer cannot change what all objects have in common", async () => {
    const { meets } = await battlefield();
    const poison =
      '{"ok":{"content":"a","__proto__":{"polluted":1},"details":{"constructor":{"prototype":{"polluted":1}}}}}';
    const result = await strike(await meets({ execute: say(poison) }));
    expect(result).toEqual({ content: "a", details: {} });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  const requests: readonly (readonly [string, unknown, RegExp])[] = [
    [
      "another call's files",
      { m: "files.read", a: { call: 1, path: "x" } },
      /NOT_FOUND: this test context has no files/,
    ],
    [
      "a message of a channel",
      { m: "channel.receive", a: { call: 1, message: {} } },
      /cannot ask for "channel.receive"/,
    ],
    [
      "an answer to a method",
      { m: "method.accept", a: { call: 1, payload: {} } },
      /cannot ask for "method.accept"/,
    ],
    ["what every object has", { m: "constructor", a: {} }, /cannot ask for "constructor"/],
    ["__proto__", { m: "__proto__", a: {} }, /cannot ask for "__proto__"/],
    ["a method that is no text", { m: { toString: 1 } }, /rclaw_call takes/],
    ["no JSON at all", "][", /no JSON/],
    [
      "params of the wrong kind",
      { m: "storage.get", a: { key: { a: 1 } } },
      /INVALID_REQUEST.*hostile.*storage.get/,
    ],
    [
      "headers that are none",
      { m: "http.send", a: { method: "GET", url: "http://127.0.0.1", headers: { a: 1 } } },
      /INVALID_REQUEST.*hostile/,
    ],
  ];
  test.each(requests)("SEC-168: a forged request for %s", async (_what, request, told) => {
    const { meets } = await battlefield();
    expect(await reason(async () => strike(await meets({ execute: ask(request) })))).toMatch(told);
  });
});

describe("a core module that is loaded", () => {
  const starts: readonly (readonly [string, readonly number[], RegExp])[] = [
    [
      "an endless loop in its start section",
      bodies.loop,
      /hostile.*(computed for more than|did not load within)/,
    ],
    ["a trap in its start section", bodies.trap, /hostile.*crashed: unreachable/],
    [
      "memory that is grown and filled before anything else",
      [...int(65_000), 0x40, 0, 0x1a, 0x00],
      /hostile.*crashed/,
    ],
  ];
  test.each(starts)("%s", async (_what, start, told) => {
    const { polite, meets, troubles, lanes } = await battlefield();
    await contained(async () => expect(await reason(() => meets({ start }))).toMatch(told));
    await stillAnswers(polite);
    // Whoever shared the thread is not to blame.
    expect(troubles.filter(({ id }) => id === "polite")).toEqual([]);
    expect(lanes.use("polite")?.kills).toBe(0);
  });

  test("an endless loop while it describes itself", async () => {
    const { polite, meets } = await battlefield();
    expect(await reason(() => meets({ describe: bodies.loop }))).toMatch(/hostile.*(computed|did not load)/);
    await stillAnswers(polite);
  });

  const manifold = Array.from({ length: 10_000 }, (_, i) => ({ name: `t${i}`, description: "", params: {} }));
  const descriptions: readonly (readonly [string, readonly number[], RegExp])[] = [
    [
      "SEC-193: another version of the ABI",
      say('{"abi":"rclaw:plugin@9.9.9","tools":[]}'),
      /ARTEFACT_REFUSED.*hostile.*9\.9\.9/,
    ],
    [
      "tools that are no list",
      say('{"abi":"rclaw:plugin@0.1.0","tools":{"length":9}}'),
      /hostile.*no description/,
    ],
    ["a tool without a name", described([{}]), /hostile.*answered activate with something else/],
    [
      "a name of a megabyte",
      described([{ name: "n".repeat(2_000), description: "", params: {} }]),
      /hostile.*something else/,
    ],
  ];
  test.each(descriptions)("%s", async (_what, describe, told) => {
    const { meets } = await battlefield();
    expect(await reason(() => meets({ describe }))).toMatch(told);
  });

  test("a schema that would keep the gateway busy for hours", async () => {
    const { meets } = await battlefield();
    const bomb = { name: "attack", description: "", params: { properties: { a: { pattern: "^(a+)+$" } } } };
    expect(await reason(() => meets({ describe: described([bomb]) }))).toMatch(
      /PLUGIN_FAILED.*hostile.*attack.*nested repetition/,
    );
  });

  test("SEC-187: ten thousand tools", async () => {
    const { meets } = await battlefield();
    const told = await reason(() => meets({ describe: described(manifold.slice(0, 300)) }));
    expect(told).toMatch(/hostile.*must NOT have more than 256 items/);
  });

  test.each([
    ["wasi_snapshot_preview1", "sock_open"],
    ["env", "fork"],
    ["extism:host/env", "__proto__"],
    ["extism:host/user", "constructor"],
    ["__proto__", "toString"],
  ])("SEC-193: an import of %s.%s, which nobody offers, is refused by name", async (from, field) => {
    const { meets } = await battlefield();
    expect(await reason(() => meets({ imports: [[from, field]] }))).toMatch(
      new RegExp(`ARTEFACT_REFUSED.*hostile.*${field}`),
    );
  });

  const shapes: readonly (readonly [string, Uint8Array])[] = [
    ["64-bit memory", coreModule({ memory: wasm.limits(1, undefined, 4) })],
    ["shared memory", coreModule({ memory: wasm.limits(1, 2, 2) })],
    ["a memory that begins larger than allowed", coreModule({ memory: wasm.limits(60_000) })],
    ["a table that begins larger than allowed", coreModule({ table: wasm.table(9_000_000) })],
    ["half a module", coreModule().slice(0, 60)],
    ["no module", Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])],
    ["a component with nothing in it", Uint8Array.from(wasm.componentPreamble)],
  ];
  test.each(shapes)("SEC-193: %s is refused before any of it runs", async (_what, bytes) => {
    const { polite, meets } = await battlefield();
    expect(await reason(() => meets(bytes))).toMatch(/ARTEFACT_REFUSED.*/);
    await stillAnswers(polite);
  });
});

test("who stands in a shared thread and waits for the network is ended, not who waits for its turn", async () => {
  const { lanes, troubles } = await openLanes({
    limits: (id) => ({ ...tight, callMs: id === "polite" ? 1_000 : 20_000 }),
  });
  let reached: () => void = () => undefined;
  const isInside = new Promise<void>((resolve) => (reached = resolve));
  const come = async (id: string, execute?: readonly number[]) =>
    live(
      lanes,
      "wasm",
      await moduleFile(coreModule(execute && { execute })),
      { id, contributes: { tools: ["attack"] } },
      { fetch: () => (reached(), new Promise(() => undefined)) },
    );
  const request = { method: "GET", url: "https://slow.example/", headers: [] };
  const hostile = await come("hostile", ask({ m: "http.send", a: request }));
  const polite = await come("polite");
  const stalling = reason(() => strike(hostile));
  await isInside;
  expect(await reason(() => strike(polite))).toMatch(/TIMEOUT.*polite/);
  expect(await stalling).toMatch(/hostile.*kept others waiting for more than 1000 ms/);
  expect(lanes.use("polite")?.kills).toBe(0);
  expect(troubles.map(({ id }) => id)).toEqual(["hostile"]);
  await stillAnswers(polite);
});
