import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Manifest } from "@rclaw/plugin-sdk";
import type { TestContext } from "@rclaw/plugin-sdk/testing";
import { coreModule } from "../../fixtures/attacks/core.ts";
import {
  battlefield,
  contained,
  forgetModules,
  moduleFile,
  reason,
  sharedFolder,
  stillAnswers,
  strike,
  tight,
} from "./attacks.support.ts";
import { live } from "./setup.ts";
import { type Built, buildForAll } from "./three.ts";

const canary = "canary-5f1c9e0b7a";
let built: Built;
let server: http.Server;
let base: string;
let hits = 0;
const manifest = {
  id: "hostile",
  contributes: { tools: ["hostile"], methods: { "hostile.do": "operator.read" } },
} as unknown as Partial<Manifest> & Pick<Manifest, "id" | "contributes">;

beforeAll(async () => {
  built = await buildForAll("../attacks/hostile.ts");
  server = http.createServer((_request, response) => {
    hits++;
    response.end("ok");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await built?.remove();
  server?.close();
  await forgetModules();
});

type Do = (what: string, params?: object) => Promise<unknown>;
interface Fight {
  readonly hostile: TestContext<{ base: string }>;
  readonly polite: Awaited<ReturnType<typeof battlefield>>["polite"];
  readonly troubles: Awaited<ReturnType<typeof battlefield>>["troubles"];
  readonly attack: Do;
}

async function fight(cage: "worker" | "wasm"): Promise<Fight> {
  const field = await battlefield(
    { memoryBytes: 32 * 1_048_576, loadMs: 8_000 },
    { stateDir: await sharedFolder() },
  );
  const hostile = await live<{ base: string }>(
    field.lanes,
    cage,
    cage === "wasm" ? built.component : built.script,
    manifest,
    { config: { base }, secrets: { "other.key": canary }, fetch },
  );
  return {
    ...field,
    hostile,
    attack: (what, params = {}) => hostile.call("hostile.do", { what, ...params }),
  };
}

/** What is tried, in which cages, and what its caller is told or gets. */
const both = ["worker", "wasm"] as const;
const rows: readonly (readonly [string, readonly ("worker" | "wasm")[], RegExp])[] = [
  ["spin", both, /hostile.*computed for more than 1000 ms/],
  ["spin in a microtask", both, /hostile.*computed for more than 1000 ms/],
  ["recursion", both, /PLUGIN_FAILED/],
  ["memory bomb", ["wasm"], /PLUGIN_FAILED/],
  ["array bomb", ["wasm"], /PLUGIN_FAILED/],
  ["output bomb", both, /TOO_LARGE.*hostile|TOO_LARGE.*larger than/],
  ["nested answer", both, /deeper than 64/],
  // On a busy machine its time is over before its lines are.
  ["log bomb", both, /logged|sent more than 10000 frames|computed for more than/],
  ["long line", both, /logged/],
  ["host-call bomb", ["wasm"], /RATE_LIMITED.*hostile.*more than 100 times/],
  ["host calls without end", ["wasm"], /RATE_LIMITED.*hostile.*more than 100 times/],
  ["timer flood", ["wasm"], /hostile.*1000 requests and timers/],
  ["timers that beget", ["wasm"], /armed/],
  ["request flood", ["wasm"], /RATE_LIMITED.*hostile/],
  ["late throw", ["wasm"], /sent/],
  ["late rejection", ["wasm"], /sent/],
  ["throws nothing", both, /PLUGIN_FAILED/],
  ["throws a trap", both, /PLUGIN_FAILED/],
  ["forged code", both, /PLUGIN_FAILED: plugin failed/],
  ["never", ["wasm"], /waits for nothing that could happen/],
  ["deaf", both, /TIMEOUT.*hostile.*method.handle within 3000 ms/],
  ["pollute", both, /\{"a":1\}/],
  ["accept twice", both, /accepted/],
  ["register late", both, /./],
];

describe.each(both)("hostile TypeScript in cage %s", (cage) => {
  test.each(rows.filter(([, cages]) => cages.includes(cage)))("%s", async (what, _cages, told) => {
    const { polite, troubles, attack, hostile } = await fight(cage);
    await contained(async () => expect(await reason(() => attack(what))).toMatch(told));
    await stillAnswers(polite);
    expect(troubles.filter(({ id }) => id === "polite")).toEqual([]);
    expect(hostile.logs.join("\n").length).toBeLessThan(1_048_576);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    // It comes back when it is asked again, as if nothing had happened.
    expect(await reason(() => attack("hello"))).toMatch(/hello|RATE_LIMITED|kept off/);
  });

  test("a late answer to an aborted call goes nowhere", async () => {
    const { hostile, attack } = await fight(cage);
    const controller = new AbortController();
    const late = hostile.call("hostile.do", { what: "late answer" }, { signal: controller.signal });
    controller.abort();
    expect(await reason(() => late)).toMatch(/ABORTED/);
    expect(await attack("late answer")).toBe("too late");
  });
});

describe("SEC-168: what QuickJS sees of its host", () => {
  test("no globals of Node, no modules, no files", async () => {
    const { attack } = await fight("wasm");
    const { host, reached } = (await attack("globals")) as { host: string[]; reached: string[] };
    expect(host.filter((name) => name !== "performance" && name !== "navigator")).toEqual([]);
    expect(reached.filter((kind) => kind !== "nothing" && kind !== "undefined")).toEqual([]);
    expect(await reason(() => attack("import fs"))).not.toMatch(/no error, but "?\d/);
  });

  test("what it does to its own globals stays there", async () => {
    const { attack, polite } = await fight("wasm");
    await reason(() => attack("pollute globals"));
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(JSON.parse("[1]")).toEqual([1]);
    await stillAnswers(polite);
  });

  test("no flood of its requests reaches the network in full", async () => {
    hits = 0;
    const { attack } = await fight("wasm");
    await attack("request flood");
    expect(hits).toBeLessThanOrEqual(tight.hostCalls ?? 0);
  });
});

test("SEC-182: five falls within a minute keep a plugin off, and its owner is told why", async () => {
  const { meets, polite, troubles } = await battlefield({ entryMs: 400 });
  const hostile = await meets({ execute: [0x03, 0x40, 0x0c, 0, 0x0b, 0x00] });
  const told: string[] = [];
  for (let i = 0; i < 6; i++) told.push(await reason(() => strike(hostile)));
  expect(told[5]).toMatch(
    /UNAVAILABLE.*"hostile" broke 5 times within a minute.*rclaw plugin reload hostile/,
  );
  expect(troubles.filter(({ id }) => id === "hostile").length).toBe(5);
  await stillAnswers(polite);
  expect(await moduleFile(coreModule())).toMatch(/\.wasm$/);
}, 30_000);
