/** Builds WebAssembly modules byte by byte, so that a test can write what no compiler would. */

type Bytes = readonly number[];

interface Engine {
  validate(bytes: Uint8Array): boolean;
  Module: {
    new (bytes: Uint8Array): object;
    imports(module: object): object[];
    exports(module: object): object[];
  };
  Instance: new (module: object, imports?: object) => { readonly exports: unknown };
  RuntimeError: new () => Error;
}

/** The part of the engine that the tests use; Node's types have none of it. */
export const engine = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly;

/** Compiles and starts a module. What it exports is only known to whoever built it. */
export const start = (bytes: Uint8Array, imports?: object): unknown =>
  new engine.Instance(new engine.Module(bytes), imports).exports;

/** What `grower` exports. */
export interface Grower {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly table: { readonly length: number };
  growMemory(pages: number): number;
  growTable(entries: number): number;
  fill(bytes: number): void;
}

export const preamble: Bytes = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
export const componentPreamble: Bytes = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];

export const types = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
  funcref: 0x70,
  externref: 0x6f,
} as const;

export const section = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

export function u32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

function i32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest < -64 || rest > 63; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

const name = (text: string): number[] => {
  const bytes = [...new TextEncoder().encode(text)];
  return [...u32(bytes.length), ...bytes];
};

export const vector = (items: readonly Bytes[]): number[] => [...u32(items.length), ...items.flat()];

/** A size from `min`, with or without a maximum; `flags` for the forms that are refused. */
export const limits = (min: number, max?: number, flags = 0): number[] => [
  flags | (max === undefined ? 0 : 1),
  ...u32(min),
  ...(max === undefined ? [] : u32(max)),
];

export const table = (min: number, max?: number, type: number = types.funcref): number[] => [
  type,
  ...limits(min, max),
];

export const signature = (parameters: Bytes = [], results: Bytes = []): number[] => [
  0x60,
  ...vector(parameters.map((each) => [each])),
  ...vector(results.map((each) => [each])),
];

/** The body of a function without locals: instructions, and the `end` after them. */
export const body = (...instructions: Bytes): number[] => {
  const code = [0, ...instructions, 0x0b];
  return [...u32(code.length), ...code];
};

const kinds = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

export const imported = (module: string, field: string, kind: keyof typeof kinds, type: Bytes): number[] => [
  ...name(module),
  ...name(field),
  kinds[kind],
  ...type,
];

export const exported = (field: string, kind: keyof typeof kinds, index = 0): number[] => [
  ...name(field),
  kinds[kind],
  ...u32(index),
];

export const constant = (value: number): number[] => [0x41, ...i32(value), 0x0b];

/** One section, whatever its contents. */
export const raw = (id: number, contents: Bytes): number[] => [id, ...u32(contents.length), ...contents];

/** A section that is a list. */
export const list = (kind: keyof typeof section, ...items: readonly Bytes[]): number[] =>
  raw(section[kind], vector(items));

export const custom = (title: string, contents: Bytes = []): number[] =>
  raw(section.custom, [...name(title), ...contents]);

/** A module of these sections, in this order. */
export const wasm = (...sections: readonly Bytes[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([...preamble, ...sections.flat()]);

/** A module that exports its memory and its table, and functions that grow and fill them without end. */
export const grower = (memory: Bytes, entries: Bytes): Uint8Array<ArrayBuffer> =>
  wasm(
    list("type", signature([types.i32], [types.i32]), signature([types.i32], [])),
    list("function", [0], [0], [1]),
    list("table", entries),
    list("memory", memory),
    list(
      "export",
      exported("memory", "memory"),
      exported("table", "table"),
      exported("growMemory", "function", 0),
      exported("growTable", "function", 1),
      exported("fill", "function", 2),
    ),
    list(
      "code",
      // memory.grow(n)
      body(0x20, 0, 0x40, 0),
      // table.grow(null, n)
      body(0xd0, types.funcref, 0x20, 0, 0xfc, 15, 0),
      // memory.fill(0, 1, n)
      body(0x41, 0, 0x41, 1, 0x20, 0, 0xfc, 11, 0),
    ),
  );
