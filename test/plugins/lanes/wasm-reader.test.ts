import { expect, test } from "vitest";
import {
  bounds,
  exportsOf,
  importsOf,
  kindOf,
  Reader,
  sectionsOf,
} from "../../../plugins/services/lanes/wasm-reader.ts";
import * as build from "../../support/wasm-module.ts";

const { exported, imported, limits, list, raw, section, signature, table, types, u32, wasm } = build;
const refused = (reason: RegExp) =>
  expect.objectContaining({ code: "ARTEFACT_REFUSED", message: expect.stringMatching(reason) as string });

test("a .wasm file tells by its preamble whether it is a module or a component", () => {
  expect(kindOf(wasm())).toBe("module");
  expect(kindOf(Uint8Array.from(build.componentPreamble))).toBe("component");
});

test.each([
  ["nothing", [], /not WebAssembly/],
  ["half a preamble", [0, 0x61, 0x73, 0x6d, 1, 0], /not WebAssembly/],
  ["a program", [0x7f, 0x45, 0x4c, 0x46, 1, 0, 0, 0], /not WebAssembly/],
  ["text", [...Buffer.from("(module)")], /not WebAssembly/],
  ["a module of version 2", [0, 0x61, 0x73, 0x6d, 2, 0, 0, 0], /2\.0\.0\.0.*core module of version 1/],
  ["a component of an older draft", [0, 0x61, 0x73, 0x6d, 0x0a, 0, 1, 0], /10\.0\.1\.0/],
])("SEC-193: %s is refused as no WebAssembly that rclaw knows", (_what, bytes, reason) => {
  expect(() => kindOf(Uint8Array.from(bytes))).toThrow(refused(reason));
});

test("imports and exports are read without compiling, as the engine would read them", () => {
  const bytes = wasm(
    list("type", signature(), signature([types.i32], [types.i64])),
    list(
      "import",
      imported("extism:host/env", "alloc", "function", [1]),
      imported("env", "größe", "global", [types.i32, 0]),
      imported("env", "memory", "memory", limits(1, 2)),
      imported("env", "table", "table", table(0)),
    ),
    list("function", [0]),
    list("export", exported("run", "function", 1), exported("memory", "memory"), exported("größe", "global")),
    list("code", build.body()),
  );
  const module = new build.engine.Module(bytes);
  expect(importsOf(bytes)).toEqual(build.engine.Module.imports(module));
  expect(exportsOf(bytes)).toEqual(build.engine.Module.exports(module));
  expect([importsOf(wasm()), exportsOf(wasm())]).toEqual([[], []]);
});

test("a component has no imports of a core module", () => {
  expect(() => importsOf(Uint8Array.from(build.componentPreamble))).toThrow(refused(/this is a component/));
});

test("numbers may be padded to five bytes, as linkers do, and no further", () => {
  const read = (...bytes: number[]): number => new Reader(Uint8Array.from(bytes), 0, bytes.length).u32();
  expect(read(0x05)).toBe(5);
  expect(read(0x85, 0x80, 0x80, 0x80, 0x00)).toBe(5);
  expect(read(0xff, 0xff, 0xff, 0xff, 0x0f)).toBe(2 ** 32 - 1);
  expect(() => read(0xff, 0xff, 0xff, 0xff, 0x1f)).toThrow(refused(/does not fit/));
  expect(() => read(0x85, 0x80, 0x80, 0x80, 0x80, 0x00)).toThrow(refused(/does not fit/));
  expect(() => read(0x85, 0x80)).toThrow(refused(/ends in the middle/));
});

test.each([
  ["a section longer than the file", raw(1, []).with(1, 5), /size leads past the end at byte 10/],
  ["a name longer than its section", raw(section.custom, u32(9)), /size leads past the end/],
  ["a name of 100 KB and more", raw(section.custom, u32(bounds.nameBytes + 1)), /bytes in a name/],
  ["a name that is not UTF-8", raw(section.import, [1, 1, 0xff, 0, 0, 0]), /not UTF-8/],
  ["bytes left over in a section", raw(section.import, [0, 0]), /bytes left over/],
  ["an import of an unknown kind", raw(section.import, [1, 0, 0, 9, 0]), /unknown kind \(9\)/],
  ["more imports than anybody needs", raw(section.import, u32(10_001)), /10001 imports/],
  ["a byte after the last section", [7], /ends in the middle/],
])("SEC-193: %s is refused", (_what, bytes, reason) => {
  expect(() => importsOf(wasm(bytes))).toThrow(refused(reason));
});

test.each([
  ["an unknown section", wasm(raw(14, [])), /unknown kind \(14\)/],
  ["a section twice", wasm(list("type"), list("type")), /stands there twice/],
  ["sections out of order", wasm(list("export"), list("import")), /wrong place/],
  ["a data count behind the code", wasm(list("code"), raw(section.dataCount, [0])), /wrong place/],
  ["tags behind the globals", wasm(list("global"), list("tag")), /wrong place/],
])("SEC-193: %s is refused", (_what, bytes, reason) => {
  expect(() => sectionsOf(bytes)).toThrow(refused(reason));
});

test("custom sections may stand anywhere, up to a thousand", () => {
  const customs = (count: number): Uint8Array =>
    wasm(build.custom("name"), list("type"), ...Array.from({ length: count - 1 }, () => build.custom("x")));
  expect(sectionsOf(customs(1_000)).map(({ id }) => id)).toEqual([section.type]);
  expect(() => sectionsOf(customs(1_001))).toThrow(refused(/custom sections/));
});

test("a module of more than 32 MiB is refused, and one of that size made of the smallest sections within a second", () => {
  expect(() => sectionsOf(new Uint8Array(bounds.moduleBytes + 1))).toThrow(refused(/33554433 bytes/));
  const bytes = new Uint8Array(bounds.moduleBytes);
  bytes.set(build.preamble);
  Buffer.from(bytes.buffer).fill(Uint8Array.of(0, 1, 0), 8);
  const start = performance.now();
  expect(() => sectionsOf(bytes)).toThrow(refused(/custom sections/));
  expect(performance.now() - start).toBeLessThan(1_000);
});
