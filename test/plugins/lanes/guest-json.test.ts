import { MessageChannel, receiveMessageOnPort, type TransferListItem } from "node:worker_threads";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { checkGuestValue, parseGuestJson } from "../../../plugins/services/lanes/guest-json.ts";

const limits = { maxBytes: 100_000 };
const failed = (reason: RegExp) =>
  expect.objectContaining({
    code: /larger/.test(reason.source) ? "TOO_LARGE" : "PLUGIN_FAILED",
    message: expect.stringMatching(reason) as string,
  });
const poisonous = ["__proto__", "constructor", "prototype"];

test("JSON from a guest is parsed as JSON is", () => {
  const value = { a: [1, "zwei", null, true, { b: {} }], "": -0.5, ключ: "😀" };
  expect(parseGuestJson(JSON.stringify(value), limits)).toEqual(value);
  for (const text of ["0", '"x"', "null", "[]"])
    expect(parseGuestJson(text, limits)).toEqual(JSON.parse(text));
});

test("keys that reach what all objects share are dropped on every level, however they are written", () => {
  const text = `{"__proto__":{"x":1},"a":[{"constructor":{"prototype":{"x":1}},"\\u005f_proto__":1,"b":{"prototype":1,"c":2}}]}`;
  const value = parseGuestJson(text, limits);
  expect(value).toStrictEqual({ a: [{ b: { c: 2 } }] });
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
});

test.each([
  ["no JSON", "{", 64, /no JSON$/],
  ["nothing", "", 64, /no JSON$/],
  [
    "more bytes than the limit, counted as UTF-8",
    JSON.stringify("ä".repeat(50_000)),
    64,
    /larger than 100000 bytes/,
  ],
  ["more characters than the limit", " ".repeat(100_001), 64, /larger than 100000 bytes/],
  ["more levels than the limit", "[".repeat(65) + "]".repeat(65), 64, /deeper than 64 levels/],
  ["more levels than a smaller limit", '{"a":{"b":[]}}', 2, /deeper than 2 levels/],
  [
    "as many levels as fit into the limit",
    "[".repeat(50_000) + "]".repeat(50_000),
    64,
    /deeper than 64 levels/,
  ],
])("%s is refused as the plugin's failure", (_what, text, maxDepth, reason) => {
  expect(() => parseGuestJson(text, { ...limits, maxDepth })).toThrow(failed(reason));
});

test("a level exactly at the limit is fine", () => {
  expect(parseGuestJson("[".repeat(64) + "]".repeat(64), limits)).toHaveLength(1);
});

test("the message does not quote what the guest wrote", () => {
  expect(() => parseGuestJson('{"token": hunter2}', limits)).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining("hunter2") as string }),
  );
});

/** Merges as careless code does: with raw JSON this reaches Object.prototype. */
function merge(into: Record<string, unknown>, from: unknown): void {
  if (typeof from !== "object" || from === null) return;
  for (const [key, value] of Object.entries(from)) {
    if (typeof value === "object" && value !== null && typeof into[key] === "object" && into[key] !== null)
      merge(into[key] as Record<string, unknown>, value);
    else into[key] = value;
  }
}

test("two hundred thousand random documents, carelessly merged, never change what all objects share", () => {
  const before = Reflect.ownKeys(Object.prototype);
  const key = fc.oneof(fc.constantFrom(...poisonous, "toString", "a"), fc.string({ maxLength: 3 }));
  const { document } = fc.letrec<{ document: unknown }>((tie) => ({
    document: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.constantFrom("1", "null", '"__proto__"', "true"),
      fc.array(tie("document"), { maxLength: 2 }).map((items) => `[${items.join(",")}]`),
      fc
        .array(fc.tuple(key, tie("document")), { maxLength: 3 })
        .map(
          (pairs) =>
            `{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${String(value)}`).join(",")}}`,
        ),
    ),
  }));
  fc.assert(
    fc.property(document, (text) => {
      const value = parseGuestJson(text as string, limits);
      merge({}, value);
      const clean = JSON.stringify(value);
      return (
        !/"(?:__proto__|constructor|prototype)":/.test(clean) &&
        Reflect.ownKeys(Object.prototype).length === before.length
      );
    }),
    { numRuns: 200_000 },
  );
  expect(Reflect.ownKeys(Object.prototype)).toEqual(before);
}, 120_000);

/** A value as it arrives from a worker thread. */
function sent(value: unknown, transfer: readonly TransferListItem[] = []): unknown {
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(value, transfer);
    return (receiveMessageOnPort(port2) as { message: unknown }).message;
  } finally {
    port1.close();
  }
}

test("plain data and bytes pass", () => {
  const value = {
    a: [1, "x", null, undefined, true, NaN],
    holes: Object.assign([], { 9: 1 }),
    bytes: new Uint8Array([1, 2]),
    none: undefined,
  };
  expect(() => checkGuestValue(sent(value), limits)).not.toThrow();
  for (const single of [0, "", null, undefined, false]) checkGuestValue(sent(single), limits);
  checkGuestValue(Object.create(null), limits);
});

const cycle: unknown[] = [];
cycle.push({ cycle });
let doubled: unknown = 1;
for (let level = 0; level < 60; level += 1) doubled = [doubled, doubled];

test.each([
  ["a function", () => undefined, /it holds function/],
  ["a symbol", Symbol("x"), /it holds symbol/],
  ["a class's object", Object.create({ inherited: true }), /it holds Object/],
])("%s, which no thread can send, is refused all the same", (_what, value, reason) => {
  expect(() => checkGuestValue({ value }, limits)).toThrow(failed(reason));
});

test.each([
  ["shared memory", new SharedArrayBuffer(8), /SharedArrayBuffer/],
  ["a view of shared memory", new Uint8Array(new SharedArrayBuffer(8)), /shared memory/],
  ["a bare buffer", new ArrayBuffer(8), /ArrayBuffer/],
  ["other numbers than bytes", new Float64Array(1), /Float64Array/],
  ["a Map", new Map([["a", 1]]), /it holds Map/],
  ["a Set", new Set([1]), /it holds Set/],
  ["a Date", new Date(0), /it holds Date/],
  ["an Error", new Error("x"), /it holds Error/],
  ["a RegExp", /x/, /it holds RegExp/],
  ["a bigint", 1n, /it holds bigint/],
  ["a boxed string", Object("x"), /it holds String/],
  ["an array with names", Object.assign([1], { name: "x" }), /an array with names/],
  ["a sparse array with names", Object.assign([], { 9: 1, name: "x" }), /an array with names/],
  ["a value within itself", cycle, /deeper than 64 levels/],
  ["a value that doubles on every level", doubled, /larger than 100000 bytes/],
  ["an array of four billion holes", Object.assign([], { length: 2 ** 32 - 1 }), /larger than 100000 bytes/],
  ["a long text", "ä".repeat(50_001), /larger than/],
  ["long keys", { ["k".repeat(100_001)]: 1 }, /larger than/],
  ["a byte of a large buffer", new Uint8Array(new ArrayBuffer(200_000), 0, 1), /larger than/],
  ["many small things", Array.from({ length: 10_000 }, () => ({})), /larger than/],
])("from a worker, %s is refused", (_what, value, reason) => {
  expect(() => checkGuestValue(sent([value]), limits)).toThrow(failed(reason));
});

test("from a worker, a port is refused", () => {
  const { port1, port2 } = new MessageChannel();
  const value = sent({ port: port1 }, [port1]);
  expect(() => checkGuestValue(value, limits)).toThrow(failed(/not plain data/));
  port2.close();
});

test("from a worker, keys that reach what all objects share are dropped too", () => {
  const value = sent(JSON.parse('{"__proto__":{"x":1},"a":[{"constructor":1,"b":{"prototype":1,"c":2}}]}'));
  expect(Object.hasOwn(value as object, "__proto__")).toBe(true);
  checkGuestValue(value, limits);
  expect(value).toStrictEqual({ a: [{ b: { c: 2 } }] });
});
