import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import v8 from "node:v8";
import { generate } from "@bytecodealliance/jco/component";
import { loadCompiler } from "../../support/asc.ts";
import { componentize } from "componentize-qjs";
import { beforeAll, expect, test } from "vitest";
import { boundModule, boundModules, claimOf } from "../../../plugins/services/lanes/limits.ts";
import { exportsOf, importsOf, kindOf } from "../../../plugins/services/lanes/wasm-reader.ts";
import { engine, start } from "../../support/wasm-module.ts";

// What QuickJS components compute their constants with is behind a flag on Node 20.
if (Number(process.versions.node.split(".")[0]) < 22)
  v8.setFlagsFromString("--experimental-wasm-extended-const");

const limits = { memoryBytes: 32 * 2 ** 20, tableEntries: 10_000 };
const quick = 10;

/** Milliseconds of the fastest of many runs: what the machine does besides is not measured. */
function fastest(run: () => unknown): number {
  const times = Array.from({ length: 25 }, () => {
    const began = performance.now();
    run();
    return performance.now() - began;
  });
  return Math.min(...times);
}

async function assemblyScript(source: string): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const asc = await loadCompiler();
  const { error } = await asc.main(["plugin.ts", "--outFile", "plugin.wasm", "--exportTable"], {
    readFile: (name) => (name === "plugin.ts" ? source : null),
    writeFile: (_name, contents) => void (binary = contents as Uint8Array),
    listFiles: () => [],
  });
  if (error || !binary) throw new Error("the AssemblyScript does not compile", { cause: error });
  return binary;
}

test("SEC-174: a module from AssemblyScript runs as before, and its allocations stop at the limit", async () => {
  const bytes = await assemblyScript(`
    const kept: StaticArray<u8>[] = [];
    export function double(n: i32): i32 { return [n].map<i32>((each) => each * 2)[0]; }
    export function hoard(): void { while (true) kept.push(new StaticArray<u8>(1 << 20)); }
    export function grow(pages: i32): i32 { return memory.grow(pages); }
  `);
  const result = boundModule(bytes, limits);
  expect([importsOf(result), exportsOf(result)]).toEqual([importsOf(bytes), exportsOf(bytes)]);
  const guest = start(result, { env: { abort: () => undefined } }) as {
    memory: { buffer: ArrayBuffer };
    table: { length: number; grow(entries: number): number };
    double(n: number): number;
    hoard(): void;
    grow(pages: number): number;
  };
  expect(guest.double(21)).toBe(42);
  expect(() => guest.hoard()).toThrow(engine.RuntimeError);
  expect(guest.memory.buffer.byteLength).toBeLessThanOrEqual(limits.memoryBytes);
  expect(guest.grow(512)).toBe(-1);
  expect(() => guest.table.grow(limits.tableEntries)).toThrow(RangeError);
});

/** The JavaScript that jco writes around the core modules of a component. */
interface Glue {
  instantiate(
    core: (file: string) => object,
    imports: object,
    instantiateCore: (module: object, imports: object) => object,
  ): Promise<{ greet(name: string): string; hoard(): number }>;
}

let component: Uint8Array;
/** The core modules, and the JavaScript around them. */
let files: ReadonlyMap<string, Uint8Array>;
const cores = (): Uint8Array[] =>
  [...files].filter(([name]) => name.endsWith(".wasm")).map(([, bytes]) => bytes);

beforeAll(async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "rclaw-limits-"));
  try {
    const witPath = path.join(folder, "guest.wit");
    await writeFile(
      witPath,
      "package test:guest; world guest { export greet: func(name: string) -> string; export hoard: func() -> u32; }",
    );
    const jsSource = `
      const kept = [];
      export const greet = (name) => "hello " + name;
      export function hoard() { for (;;) kept.push(new Uint8Array(1 << 20)); }
    `;
    const built = await componentize({
      witPath,
      jsSource,
      world: "guest",
      stubWasi: true,
      optSize: true,
      sync: true,
    });
    component = built.component;
    const transpiled = await generate(component, {
      name: "guest",
      instantiation: { tag: "async" },
      noTypescript: true,
      noNodejsCompat: true,
    });
    files = new Map(transpiled.files);
  } finally {
    await rm(folder, { recursive: true });
  }
}, 120_000);

test("SEC-174: a QuickJS component runs in bounded core modules, and what it hoards stops at the limit", async () => {
  expect(kindOf(component)).toBe("component");
  expect(() => boundModule(component, limits)).toThrow(expect.objectContaining({ code: "ARTEFACT_REFUSED" }));
  const modules = cores();
  expect(modules.map(kindOf)).toEqual(modules.map(() => "module"));
  const bounded = boundModules(modules, { ...limits, internal: true });
  expect(bounded.every((bytes) => engine.validate(bytes))).toBe(true);
  const claims = bounded.map(claimOf);
  // The modules around the interpreter's have memories of their own, which hardly need any.
  expect(Math.max(...claims.map(({ memoryBytes }) => memoryBytes))).toBeGreaterThan(
    (limits.memoryBytes * 7) / 8,
  );
  expect(claims.reduce((sum, claim) => sum + claim.memoryBytes, 0)).toBeLessThanOrEqual(limits.memoryBytes);
  expect(claims.reduce((sum, claim) => sum + claim.tableEntries, 0)).toBeLessThanOrEqual(limits.tableEntries);

  const names = [...files.keys()].filter((name) => name.endsWith(".wasm"));
  const glue = new TextDecoder().decode(files.get("guest.js"));
  const { instantiate } = (await import(`data:text/javascript,${encodeURIComponent(glue)}`)) as Glue;
  const memories: { buffer: ArrayBuffer }[] = [];
  const guest = await instantiate(
    (file) => new engine.Module(bounded[names.indexOf(file)] ?? new Uint8Array()),
    {},
    (module, imports) => {
      const instance = new engine.Instance(module, imports);
      const { memory } = instance.exports as { memory?: { buffer: ArrayBuffer } };
      if (memory) memories.push(memory);
      return instance;
    },
  );
  expect(guest.greet("Ada")).toBe("hello Ada");
  expect(() => guest.hoard()).toThrow();
  const bytes = memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  expect(bytes).toBeGreaterThan(limits.memoryBytes / 2);
  expect(bytes).toBeLessThanOrEqual(limits.memoryBytes);
});

test("a component's modules are bounded within ten milliseconds", () => {
  const modules = cores();
  expect(modules.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(1_000_000);
  expect(fastest(() => boundModules(modules, { ...limits, internal: true }))).toBeLessThan(quick);
});

test("large modules of other compilers are bounded within ten milliseconds, and still validate", async () => {
  const folder = path.resolve(
    import.meta.dirname,
    "../../../node_modules/@bytecodealliance/jco-transpile/vendor",
  );
  const names = (await readdir(folder)).filter((name) => name.endsWith(".wasm"));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const bytes = new Uint8Array(await readFile(path.join(folder, name)));
    const bound = (): Uint8Array => boundModule(bytes, { ...limits, internal: true });
    expect(claimOf(bound()).memoryBytes).toBeLessThanOrEqual(limits.memoryBytes);
    expect(engine.validate(bound())).toBe(true);
    expect(fastest(bound)).toBeLessThan(quick);
  }
});
