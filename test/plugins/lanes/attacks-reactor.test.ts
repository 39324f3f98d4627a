import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { componentEmbed, componentNew } from "@bytecodealliance/jco";
import type { ReactorAction } from "@rclaw/plugin-sdk/boundary/reactor";
import type { Guest } from "../../../plugins/services/lanes/guest.ts";
import { buildComponent } from "../../../plugins/services/cli/author/build-component.ts";
import * as wasm from "../../support/wasm-module.ts";
import { contained, forgetModules, reason, sharedFolder } from "./attacks.support.ts";
import { asked, type Host, open } from "./component.support.ts";

const root = path.resolve(import.meta.dirname, "../../..");
const witFolder = path.join(root, "wit/since-v0.1.0");
let forger: Uint8Array;
beforeAll(async () => {
  forger = await buildComponent({
    entry: path.join(root, "test/fixtures/attacks/forger.ts"),
    witFolder,
    sdkFolder: path.join(root, "plugin-sdk"),
    serve: path.join(root, "test/fixtures/guest/serve.ts"),
  });
}, 60_000);
afterAll(forgetModules);

async function forge(): Promise<{ guest: Guest; host: Host; requests: string[] }> {
  const requests: string[] = [];
  const host: Host = {
    logged: [],
    answers: new Proxy<Host["answers"]>(
      {},
      {
        get: (_target, method) => (params: unknown) => {
          requests.push(`${String(method)} ${JSON.stringify(params)}`);
          return null;
        },
      },
    ),
  };
  return { guest: await open(forger, await sharedFolder(), host, { hostCalls: 50 }), host, requests };
}
const say = (guest: Guest, actions: readonly object[], times = 1): Promise<string> =>
  reason(() => guest.handle(asked("tool.execute", { params: { actions, times } })));

const error = { code: "TIMEOUT", message: "m" };
type Row = readonly [string, readonly object[], RegExp];
const forged: readonly Row[] = [
  [
    "an answer to a call that is not open",
    [{ tag: "return", val: { id: 4_000_000_000, payload: "1" } }],
    /honest/,
  ],
  ["a failure of a call that is not open", [{ tag: "fail", val: { id: 77, error } }], /honest/],
  ["a piece for a call that is not open", [{ tag: "chunk", val: { id: 77, payload: "1" } }], /honest/],
  [
    "an answer that is no JSON",
    [{ tag: "return", val: { id: "ME", payload: "{" } }],
    /PLUGIN_FAILED.*no JSON/,
  ],
  [
    "two answers: the first one counts",
    [
      { tag: "return", val: { id: "ME", payload: "1" } },
      { tag: "return", val: { id: "ME", payload: "2" } },
    ],
    /no error, but 1$/,
  ],
  [
    "an answer after a failure",
    [
      { tag: "fail", val: { id: "ME", error } },
      { tag: "return", val: { id: "ME", payload: "2" } },
    ],
    /^TIMEOUT: m/,
  ],
  [
    "a code that nobody knows",
    [{ tag: "fail", val: { id: "ME", error: { code: "__proto__", message: "m" } } }],
    /^PLUGIN_FAILED: m/,
  ],
  [
    "a number that is used twice",
    [
      { tag: "timer", val: { id: 9, delayMs: 1e9 } },
      { tag: "timer", val: { id: 9, delayMs: 1 } },
    ],
    /hostile|guest.*used the number 9 twice/,
  ],
  [
    "a message for a channel that is not open",
    [{ tag: "inbound", val: { id: 1, call: 12_345, message: "{}" } }],
    /honest/,
  ],
  [
    "a request on behalf of another's call",
    [{ tag: "host-call", val: { id: 1, method: "files.read", params: '{"path":"x"}', call: 12_345 } }],
    /honest/,
  ],
  [
    "params that are no JSON",
    [{ tag: "host-call", val: { id: 1, method: "storage.get", params: "{" } }],
    /guest.*no proper JSON/,
  ],
  [
    "a socket that was never opened",
    [{ tag: "ws-send", val: { id: 3, data: { tag: "text", val: "x" } } }],
    /honest/,
  ],
  [
    "the end of what never began",
    [
      { tag: "http-cancel", val: 5 },
      { tag: "host-cancel", val: 6 },
      { tag: "timer-cancel", val: 7 },
    ],
    /honest/,
  ],
  ["a timer of no length at all", [{ tag: "timer", val: { id: 8, delayMs: -5 } }], /honest/],
  ["a variant that does not exist", [{ tag: "reboot", val: 1 }], /guest.*crashed/],
  ["numbers that are no numbers", [{ tag: "timer", val: { id: "ten", delayMs: {} } }], /honest|crashed/],
  ["an action that is nothing", [{}], /guest.*crashed/],
  [
    "a host call that has an action of its own",
    [{ tag: "host-call", val: { id: 1, method: "http.fetch", params: "{}" } }],
    /honest/,
  ],
  [
    "what every object has",
    [{ tag: "host-call", val: { id: 1, method: "__proto__", params: "{}" } }],
    /honest/,
  ],
];

describe("SEC-184: forged actions of a reactor", () => {
  test.each(forged)("%s", async (_what, actions, told) => {
    const { guest, requests } = await forge();
    expect(await say(guest, actions)).toMatch(told);
    expect(requests.filter((line) => /12345|http\.fetch|receive/.test(line))).toEqual([]);
    // Whether it was ended or not, the next call is answered.
    expect(await say(guest, [])).toMatch(/honest/);
  });

  test("requests without end are refused above their limit", async () => {
    const { guest, requests } = await forge();
    const actions = Array.from({ length: 400 }, (_, i) => ({
      tag: "host-call",
      val: { id: i + 1, method: "storage.get", params: '{"key":"a"}' },
    }));
    await contained(() => say(guest, actions));
    expect(requests.length).toBeLessThanOrEqual(50);
  });

  test("fifty thousand lines of log become no more than a second's worth", async () => {
    const { guest, host } = await forge();
    const line = {
      tag: "log",
      val: { level: "info", message: "flood", fields: undefined },
    } satisfies ReactorAction;
    await contained(() => say(guest, [line], 20_000));
    expect(host.logged.length).toBeLessThanOrEqual(110);
  });
});

/** A component by hand: forty actions that are all the same body of ten megabytes, which costs the guest ten. */
async function aliasing(): Promise<Uint8Array> {
  const { types } = wasm;
  const [count, bodyBytes, listAt] = [40, 10 * 1_048_576, 4_096];
  const memory = new Uint8Array(8_192);
  const view = new DataView(memory.buffer);
  view.setUint32(1_024 + 4, listAt, true);
  view.setUint32(1_024 + 8, count, true);
  for (let i = 0; i < count; i++) {
    const at = listAt + i * 64;
    // Action `return`: id, and where its text is and how long.
    view.setUint32(at + 8, 1, true);
    view.setUint32(at + 12, 65_536, true);
    view.setUint32(at + 16, bodyBytes, true);
  }
  const params = Array.from({ length: 15 }, () => types.i32);
  const handle = "rclaw:plugin/reactor@0.1.0#handle";
  const core = wasm.wasm(
    wasm.list(
      "type",
      wasm.signature(params, [types.i32]),
      wasm.signature([types.i32, types.i32, types.i32, types.i32], [types.i32]),
    ),
    wasm.list("function", [0], [1]),
    wasm.list("memory", wasm.limits(200)),
    wasm.list(
      "export",
      wasm.exported("memory", "memory"),
      wasm.exported(handle, "function", 0),
      wasm.exported("cabi_realloc", "function", 1),
    ),
    wasm.list(
      "code",
      wasm.body(...wasm.constant(1_024).slice(0, -1)),
      wasm.body(...wasm.constant(13_000_000).slice(0, -1)),
    ),
    wasm.raw(
      wasm.section.data,
      wasm.vector([[0, ...wasm.constant(0), ...wasm.vector([...memory].map((byte) => [byte]))]]),
    ),
  );
  const files = (await readdir(witFolder)).filter((name) => name.endsWith(".wit"));
  const texts = await Promise.all(files.map((name) => readFile(path.join(witFolder, name), "utf8")));
  // One text, since what embeds it has no file system here.
  const contract = texts.map((text) => text.replace(/^package .*;$/m, "")).join("\n");
  const witSource = `package rclaw:plugin@0.1.0;\n${contract}`;
  const embedded = await componentEmbed({ binary: core, witSource, world: "reactor-plugin" });
  return componentNew(embedded, []);
}

test("SEC-184: a thousand addresses of the same megabytes are not copied a thousand times", async () => {
  const bytes = await aliasing();
  const host: Host = { answers: {}, logged: [] };
  const guest = await open(bytes, await sharedFolder(), host);
  await contained(async () =>
    expect(await reason(() => guest.handle(asked("tool.execute", {})))).toMatch(
      /guest.*handed over more at once/,
    ),
  );
}, 60_000);
