import * as fc from "fast-check";
import { expect, test } from "vitest";
import { boundModule, boundModules, claimOf } from "../../../plugins/services/lanes/limits.ts";
import * as build from "../../support/wasm-module.ts";

const {
  body,
  constant,
  exported,
  grower,
  imported,
  limits,
  list,
  raw,
  section,
  signature,
  table,
  types,
  u32,
  wasm,
} = build;
const pageBytes = 65_536;
const small = { memoryBytes: 32 * pageBytes, tableEntries: 1_000 };
const refused = (reason: RegExp) =>
  expect.objectContaining({ code: "ARTEFACT_REFUSED", message: expect.stringMatching(reason) as string });
const bounded = (...sections: number[][]): Uint8Array => boundModule(wasm(...sections), small);

test("SEC-174: memory.grow stops at the limit, with and without a maximum of its own, and a fill beyond it traps", () => {
  for (const memory of [limits(1), limits(1, 65_536)]) {
    const guest = build.start(boundModule(grower(memory, table(1, 1)), small)) as build.Grower;
    expect(guest.growMemory(65_000)).toBe(-1);
    expect(guest.growMemory(32)).toBe(-1);
    expect(guest.growMemory(31)).toBe(1);
    expect(guest.growMemory(1)).toBe(-1);
    expect(guest.memory.buffer.byteLength).toBe(small.memoryBytes);
    guest.fill(small.memoryBytes);
    expect(() => guest.fill(small.memoryBytes + 1)).toThrow(build.engine.RuntimeError);
    expect(() => guest.memory.grow(1)).toThrow(RangeError);
  }
});

test("SEC-175: table.grow of nine million entries stops at the limit", () => {
  for (const entries of [table(1), table(1, 10_000_000)]) {
    const guest = build.start(boundModule(grower(limits(1, 1), entries), small)) as build.Grower;
    expect(guest.growTable(9_000_000)).toBe(-1);
    expect(guest.growTable(999)).toBe(1);
    expect(guest.growTable(1)).toBe(-1);
    expect(guest.table.length).toBe(small.tableEntries);
  }
  const hostValues = bounded(list("table", table(1, undefined, types.externref)));
  expect(claimOf(hostValues).tableEntries).toBe(small.tableEntries);
});

test("SEC-175: a hundred tables share the limit of one", () => {
  const bytes = bounded(list("table", ...Array.from({ length: 100 }, () => table(2))));
  expect(build.engine.validate(bytes)).toBe(true);
  expect(claimOf(bytes).tableEntries).toBe(1_000);
});

test("the core modules of a component share the limits, and one that cannot grow takes nothing from the others", () => {
  const modules = [
    wasm(list("table", table(5, 5))),
    wasm(list("import", imported("env", "memory", "memory", limits(1))), list("table", table(5))),
    wasm(list("memory", limits(2))),
  ];
  const result = boundModules(modules, { ...small, internal: true });
  expect(result.map(claimOf)).toEqual([
    { memoryBytes: 0, tableEntries: 5 },
    { memoryBytes: 0, tableEntries: 995 },
    { memoryBytes: small.memoryBytes, tableEntries: 0 },
  ]);
  expect(result[0]).toBe(modules[0]);
  const greedy = Array.from({ length: 4 }, () => wasm(list("memory", limits(9))));
  expect(() => boundModules(greedy, small)).toThrow(refused(/wants 3 MiB of memory from the start/));
});

test("a module that fits as it is stays as it is, byte for byte", () => {
  const bytes = wasm(
    list("table", table(1, 10)),
    list("memory", limits(1, 2)),
    build.custom("producers", [1, 2]),
  );
  expect(boundModule(bytes, small)).toBe(bytes);
  expect(claimOf(bytes)).toEqual({ memoryBytes: 2 * pageBytes, tableEntries: 10 });
  expect(claimOf(wasm(list("table", table(1)), list("memory", limits(1))))).toEqual({
    memoryBytes: Infinity,
    tableEntries: Infinity,
  });
});

test("a rewritten module keeps everything else, names and custom sections too", () => {
  const before = [build.custom("first"), list("type", signature())];
  const after = [list("export", exported("memory", "memory")), build.custom("name", [0, 1, 0])];
  const bytes = bounded(...before, list("memory", limits(1)), ...after);
  expect([...bytes]).toEqual([...wasm(...before, list("memory", limits(1, 32)), ...after)]);
});

test("a start section is allowed: loading has a deadline", () => {
  const bytes = bounded(
    list("type", signature()),
    list("function", [0]),
    raw(section.start, [0]),
    list("code", body()),
  );
  expect(() => build.start(bytes)).not.toThrow();
});

test("what ordinary compilers write is accepted: constants of every kind, segments of every kind, an exception tag", () => {
  const global = (type: number, ...expression: number[]): number[] => [type, 0, ...expression, 0x0b];
  const bytes = bounded(
    list("type", signature(), signature([types.i32, types.v128], [types.f64])),
    list("import", imported("env", "base", "global", [types.i32, 0]), imported("env", "oops", "tag", [0, 0])),
    list("function", [0]),
    list("table", table(20), table(2, 4, types.externref)),
    list("memory", limits(1)),
    list("tag", [0, 0]),
    list(
      "global",
      global(types.i32, 0x41, 0x80, 0x7f),
      global(types.i64, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f),
      global(types.f32, 0x43, 0, 0, 0, 0x0b),
      global(types.f64, 0x44, 0x0b, 0, 0, 0, 0, 0, 0, 0x0b),
      global(types.v128, 0xfd, 0x0c, ...Array.from({ length: 16 }, () => 0x0b)),
      global(types.i32, 0x23, 0),
      global(types.funcref, 0xd2, 0),
      global(types.externref, 0xd0, types.externref),
    ),
    raw(
      section.element,
      build.vector([
        [0, ...constant(0), 1, 0],
        [1, 0, 1, 0],
        [2, 0, ...constant(1), 0, 1, 0],
        [3, 0, 1, 0],
        [4, ...constant(2), 1, 0xd2, 0, 0x0b],
        [5, types.funcref, 1, 0xd2, 0, 0x0b],
        [6, 1, ...constant(0), types.externref, 1, 0xd0, types.externref, 0x0b],
        [7, types.funcref, 1, 0xd2, 0, 0x0b],
      ]),
    ),
    raw(section.dataCount, [3]),
    list("code", body()),
    list("data", [0, ...constant(0), 1, 7], [1, 2, 7, 7], [2, 0, ...constant(9), 0]),
  );
  expect(() => new build.engine.Module(bytes)).not.toThrow();
});

const passive = (count: number): number[] => [1, 0, ...u32(count), ...Array.from({ length: count }, () => 0)];

test.each([
  ["shared memory", list("memory", limits(1, 2, 2)), /shared memory.*without threads/],
  ["a shared table", list("table", [types.funcref, ...limits(1, 2, 2)]), /shared table/],
  ["memory64", list("memory", limits(1, 2, 4)), /64-bit memory.*wasm32/],
  ["table64", list("table", [types.funcref, ...limits(1, undefined, 4)]), /64-bit table/],
  ["pages of their own size", list("memory", [...limits(1, 2, 8), 0]), /custom page sizes/],
  ["flags nobody knows", list("memory", limits(1, 2, 0x40)), /unknown flags/],
  ["two memories", list("memory", limits(1), limits(1)), /more than one memory/],
  [
    "an imported memory",
    list("import", imported("env", "memory", "memory", limits(1))),
    /imports its memory \(env\.memory\)/,
  ],
  [
    "an imported table",
    list("import", imported("env", "t", "table", table(1))),
    /imports its table \(env\.t\)/,
  ],
  ["more memory than the limit", list("memory", limits(33)), /wants 3 MiB.*may have 2 MiB.*memoryBytes/],
  ["more memory than there is", list("memory", limits(2 ** 32 - 1)), /MiB of memory from the start/],
  ["a memory above its own maximum", list("memory", limits(2, 1)), /larger than its own maximum/],
  [
    "more table entries than the limit",
    list("table", table(1_001)),
    /wants 1001 table entries.*tableEntries/,
  ],
  ["tables that are too much together", list("table", table(600), table(600)), /wants 1200 table entries/],
  ["a hundred and one tables", list("table", ...Array.from({ length: 101 }, () => table(0))), /101 tables/],
  [
    "a table with an initial value",
    list("table", [0x40, 0, ...table(1), 0xd0, 0x70, 0x0b]),
    /reference type \(0x40\)/,
  ],
  ["a table of exceptions", list("table", table(1, 1, 0x69)), /reference type \(0x69\)/],
  ["a typed reference", list("type", [0x60, 1, 0x63, 0, 0]), /reference type \(0x63\)/],
  ["a struct type", list("type", [0x5f, 0]), /no function \(0x5f\).*garbage collection/],
  ["an array type", list("type", [0x5e, types.i32, 1]), /no function \(0x5e\)/],
  ["a recursive type group", list("type", [0x4e, 1, 0x60, 0, 0]), /no function \(0x4e\)/],
  ["a subtype", list("type", [0x50, 0, 0x60, 0, 0]), /no function \(0x50\)/],
  ["a continuation type", list("type", [0x5d, 0]), /no function \(0x5d\).*stack switching/],
  ["a shared type", list("type", [0x65, 0x60, 0, 0]), /no function \(0x65\).*shared types/],
  [
    "a global of a garbage-collected kind",
    list("global", [0x6e, 0, 0xd0, 0x6e, 0x0b]),
    /reference type \(0x6e\)/,
  ],
  ["a shared global", list("global", [types.i32, 3, ...constant(0)]), /neither constant nor variable/],
  [
    "a constant that allocates",
    list("global", [types.externref, 0, 0xfb, 0, 0, 0x0b]),
    /instruction .*\(0xfb\)/,
  ],
  ["a constant without end", list("global", [types.i32, 0, 0x41, 0]), /ends in the middle/],
  [
    "a constant of six bytes",
    list("global", [types.i32, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0x0b]),
    /too long/,
  ],
  [
    "a segment larger than any table",
    list("element", passive(1_001)),
    /element segments with more entries than its tables/,
  ],
  [
    "segments larger than any table together",
    list("element", passive(600), passive(600)),
    /element segments with more/,
  ],
  ["a segment of an unknown kind", list("element", [8]), /unknown flags/],
  ["a data segment of an unknown kind", list("data", [3, 0]), /unknown flags/],
  ["a data segment longer than the file", list("data", [1, ...u32(9)]), /size leads past the end/],
  ["a function of more than 1 MiB", list("code", u32(2 ** 20 + 1)), /1048577 bytes in one function/],
  ["more functions than anybody needs", raw(section.function, u32(100_001)), /100001 functions/],
  ["more types than anybody needs", raw(section.type, u32(10_001)), /10001 types/],
  ["more parameters than anybody needs", raw(section.type, [1, 0x60, ...u32(1_001)]), /1001 parameters/],
  ["more globals than anybody needs", raw(section.global, u32(20_001)), /20001 globals/],
  ["more exports than anybody needs", raw(section.export, u32(20_001)), /20001 exports/],
  ["more data segments than anybody needs", raw(section.data, u32(100_001)), /100001 data segments/],
  ["more element segments than anybody needs", raw(section.element, u32(10_001)), /10001 element segments/],
  ["a count larger than the section", raw(section.function, [2, 0]), /ends in the middle/],
  ["bytes after the memory", raw(section.memory, [1, 0, 1, 0]), /section 5 has bytes left over/],
  ["bytes after the start function", raw(section.start, [0, 0]), /section 8 has bytes left over/],
])("SEC-193: %s is refused with a reason", (_what, bytes, reason) => {
  expect(() => bounded(bytes)).toThrow(refused(reason));
});

test("SEC-193: a module inside a component may use its siblings' memory and table, but no shared or 64-bit one, nor two", () => {
  const internal = { ...small, internal: true };
  const borrows = (...types: number[][]): Uint8Array =>
    wasm(
      list(
        "import",
        ...types.map((each) => imported("env", "x", each[0] === 0x70 ? "table" : "memory", each)),
      ),
    );
  expect(boundModule(borrows(limits(1), table(1)), internal)).toEqual(borrows(limits(1), table(1)));
  expect(() => boundModule(borrows(limits(1, 2, 2)), internal)).toThrow(refused(/shared/));
  expect(() => boundModule(borrows(limits(1, 2, 4)), internal)).toThrow(refused(/64-bit/));
  expect(() => boundModule(borrows(limits(1), limits(1)), internal)).toThrow(refused(/more than one memory/));
});

const whole = boundlessModule();

/** Every kind of section, without maxima. */
function boundlessModule(): Uint8Array {
  return wasm(
    build.custom("name", [0, 1, 0]),
    list("type", signature([types.i32], [types.i32]), signature()),
    list("import", imported("env", "log", "function", [1])),
    list("function", [0]),
    list("table", table(2), table(1, 7, types.externref)),
    list("memory", limits(1)),
    list("global", [types.i32, 1, ...constant(300)]),
    list("export", exported("m", "memory"), exported("t", "table"), exported("u", "table", 1)),
    list("element", [0, ...constant(0), 2, 0, 1]),
    raw(section.dataCount, [1]),
    list("code", body(0x20, 0, 0x40, 0)),
    list("data", [0, ...constant(8), 3, 1, 2, 3]),
  );
}

/** Either refused with the one code, or something that, if the engine takes it, cannot outgrow the limits. */
function judged(bytes: Uint8Array): "refused" | "invalid" | "bounded" {
  let result: Uint8Array;
  try {
    result = boundModule(bytes, small);
  } catch (error) {
    expect(error).toMatchObject({ name: "RclawError", code: "ARTEFACT_REFUSED" });
    return "refused";
  }
  const { memoryBytes, tableEntries } = claimOf(result);
  expect(memoryBytes).toBeLessThanOrEqual(small.memoryBytes);
  expect(tableEntries).toBeLessThanOrEqual(small.tableEntries);
  if (!build.engine.validate(result)) return "invalid";
  growsTooFar(result);
  return "bounded";
}

/** Asks the engine itself, which knows nothing of what the parser read. */
function growsTooFar(bytes: Uint8Array): void {
  let exports: Record<string, unknown>;
  try {
    exports = build.start(bytes, { env: { log: () => undefined } }) as Record<string, unknown>;
  } catch {
    return;
  }
  for (const each of Object.values(exports) as {
    buffer?: ArrayBuffer;
    length?: number;
    grow?(by: number): void;
  }[]) {
    if (!each.grow) continue;
    const room = each.buffer
      ? (small.memoryBytes - each.buffer.byteLength) / pageBytes
      : small.tableEntries - (each.length ?? 0);
    expect(room).toBeGreaterThanOrEqual(0);
    expect(() => each.grow?.(room + 1)).toThrow(RangeError);
  }
}

test("SEC-193: a module cut short anywhere, or with any one byte changed, is refused or bounded", () => {
  expect(judged(whole)).toBe("bounded");
  const seen = new Set<string>();
  for (let at = 0; at < whole.length; at += 1) {
    seen.add(judged(whole.subarray(0, at)));
    for (let value = 0; value < 256; value += 1) seen.add(judged(whole.with(at, value)));
  }
  expect([...seen].sort()).toEqual(["bounded", "invalid", "refused"]);
});

test("SEC-193: a module with many bytes changed, put in or taken out is refused or bounded", () => {
  const edit = fc.record({
    at: fc.nat(whole.length),
    take: fc.nat(3),
    put: fc.array(fc.nat(255), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
      const bytes = [...whole];
      for (const { at, take, put } of edits) bytes.splice(at, take, ...put);
      judged(Uint8Array.from(bytes));
    }),
    { numRuns: 20_000 },
  );
});

test("SEC-193: sections with any contents, in any order, are refused or bounded", () => {
  const any = fc.tuple(fc.nat(14), fc.array(fc.oneof(fc.nat(3), fc.nat(255)), { maxLength: 12 }));
  fc.assert(
    fc.property(fc.array(any, { maxLength: 6 }), (sections) => {
      judged(wasm(...sections.map(([id, contents]) => raw(id, contents))));
    }),
    { numRuns: 20_000 },
  );
});

/** Instructions of a constant that mean nothing. */
const adds = (count: number): number[] => Array.from({ length: count }, () => 0x6a);
const millions = u32(10_000_000);

test.each([
  ["functions", section.function, millions, [0], /10000000 functions/],
  ["exports", section.export, u32(20_000), [0, 0, 0], /section 7 has bytes left over/],
  ["imports", section.import, u32(10_000), [0, 0, 0, 0], /section 2 has bytes left over/],
  ["data segments", section.data, u32(100_000), [1, 0], /section 11 has bytes left over/],
  ["entries of a segment", section.element, [1, 5, 0x70, ...millions], [0xd0, 0x70, 0x0b], /more entries/],
  ["element segments", section.element, u32(10_000), passive(300), /more entries/],
  ["instructions", section.global, [1, types.i32, 0], [0x6a], /too many instructions/],
  ["constants", section.data, u32(100_000), [0, ...adds(16), 0x0b, 0], /section 11 has bytes left over/],
])("a hostile module of 32 MiB of %s is refused within a second", (_what, id, head, item, reason) => {
  const bytes = new Uint8Array(32 * 2 ** 20);
  const from = 13;
  bytes.set([...build.preamble, id, ...u32(bytes.length - from), ...head]);
  Buffer.from(bytes.buffer).fill(Uint8Array.from(item), from + head.length);
  const began = performance.now();
  expect(() => boundModule(bytes, small)).toThrow(refused(reason));
  expect(performance.now() - began).toBeLessThan(1_000);
});
