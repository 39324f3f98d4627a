import {
  bounds,
  type Limits,
  type ModuleImport,
  Reader,
  readExports,
  readImports,
  readLimits,
  readReferenceType,
  refuse,
  sectionsOf,
  type Section,
  skipGlobalType,
  skipTagType,
  skipValueType,
} from "./wasm-reader.ts";

/**
 * The engine's own limits do not hold a module: one `table.grow` or `memory.grow` can end the whole process. So every
 * module is rewritten before it is compiled, and nothing in it can grow past what is written there.
 */

export interface ModuleLimits {
  /** Bytes of linear memory. */
  readonly memoryBytes: number;
  /** Entries of all its tables together. */
  readonly tableEntries: number;
  /** A core module inside a component: it may use the memory and tables of its siblings, which are bounded there. */
  readonly internal?: boolean;
}

/** What an instance of a module may take. */
export interface Claim {
  readonly memoryBytes: number;
  readonly tableEntries: number;
}

const pageBytes = 65_536;
const mostPages = 65_536;
/** What engines accept at most as the maximum of a table. */
const mostEntries = 10_000_000;

interface Table extends Limits {
  readonly type: number;
}

/** What of a module decides about its size. */
interface Shape {
  readonly bytes: Uint8Array;
  readonly sections: readonly Section[];
  readonly tables: Table[];
  readonly memories: Limits[];
  imports: readonly ModuleImport[];
  /** Entries that its element segments may still have. */
  elementsLeft: number;
}

/** Refuses a module that may not run here, and answers one whose memory and tables cannot outgrow the limits. */
export function boundModule(bytes: Uint8Array, limits: ModuleLimits): Uint8Array {
  const [bounded = bytes] = boundModules([bytes], limits);
  return bounded;
}

/**
 * The same for the core modules of one component, which share the limits as long as each is instantiated once: whoever
 * instantiates one again has to count what `claimOf` says of it. A module that fits is answered as it is.
 */
export function boundModules(modules: readonly Uint8Array[], limits: ModuleLimits): Uint8Array[] {
  const pages = Math.min(Math.floor(limits.memoryBytes / pageBytes), mostPages);
  const entries = Math.min(limits.tableEntries, mostEntries);
  const shapes = modules.map((bytes) => shapeOf(bytes, limits.internal ?? false, entries));
  const memories = share(
    shapes.flatMap((shape) => shape.memories),
    pages,
    (sum) =>
      refuse(
        `the module wants ${mebibytes(sum)} MiB of memory from the start, and a plugin may have ${mebibytes(pages)} MiB. Build it with a smaller initial memory, or raise the plugin's limit memoryBytes`,
      ),
  );
  const tables = share(
    shapes.flatMap((shape) => shape.tables),
    entries,
    (sum) =>
      refuse(
        `the module wants ${sum} table entries, and a plugin may have ${entries}. Build it smaller, or raise the plugin's limit tableEntries`,
      ),
  );
  return shapes.map((shape) =>
    rewrite(shape, tables.splice(0, shape.tables.length), memories.splice(0, shape.memories.length)),
  );
}

/** What an instance of a module takes at most; infinite where the module sets no limit. */
export function claimOf(bytes: Uint8Array): Claim {
  const { memories, tables } = shapeOf(bytes, true, mostEntries);
  const sum = (all: readonly Limits[]): number => all.reduce((total, { max = Infinity }) => total + max, 0);
  return { memoryBytes: sum(memories) * pageBytes, tableEntries: sum(tables) };
}

const mebibytes = (pages: number): number => Math.ceil(pages / 16);

/**
 * Maxima that together stay within `room`. Everyone gets the minimum; what is left goes to those that can grow, in
 * proportion to what they start with: the modules around the main one of a component have small memories of their own.
 */
function share<T extends Limits>(
  wanted: readonly T[],
  room: number,
  tooMuch: (sum: number) => never,
): (T & { max: number })[] {
  const sum = wanted.reduce((total, { min }) => total + min, 0);
  if (sum > room) tooMuch(sum);
  const weight = ({ min, max = Infinity }: Limits): number => (max > min ? min + 1 : 0);
  const weights = wanted.reduce((total, each) => total + weight(each), 0) || 1;
  return wanted.map((each) => {
    const spare = Math.floor(((room - sum) * weight(each)) / weights);
    return { ...each, max: Math.min(each.max ?? Infinity, each.min + spare) };
  });
}

function shapeOf(bytes: Uint8Array, internal: boolean, entries: number): Shape {
  const sections = sectionsOf(bytes);
  const shape: Shape = { bytes, sections, tables: [], memories: [], imports: [], elementsLeft: entries };
  for (const { id, from, to } of sections) {
    const reader = new Reader(bytes, from, to);
    sectionReaders[id]?.(reader, shape);
    reader.finish(`section ${id}`);
  }
  const imported = (kind: string): ModuleImport[] => shape.imports.filter((each) => each.kind === kind);
  const [borrowed] = [...imported("memory"), ...imported("table")];
  if (borrowed && !internal) {
    refuse(
      `the module imports its ${borrowed.kind} (${borrowed.module}.${borrowed.name}), and rclaw has none to lend. Build it so that it defines and exports its own (no --import-memory, no --import-table)`,
    );
  }
  if (imported("memory").length + shape.memories.length > 1) {
    refuse("the module has more than one memory: build it without multi-memory");
  }
  if (imported("table").length + shape.tables.length > bounds.tables) {
    refuse(`the module has more than the ${bounds.tables} tables that rclaw accepts`);
  }
  return shape;
}

/** One for each section that may occur; whatever has no row here was refused with its header. */
const sectionReaders: Record<number, (reader: Reader, shape: Shape) => void> = {
  1: each(bounds.types, "types", skipFunctionType),
  2: (reader, shape) => (shape.imports = readImports(reader)),
  3: each(bounds.functions, "functions", (reader) => void reader.u32()),
  4: each(bounds.tables, "tables", readTable),
  5: each(mostPages, "memories", (reader, shape) => void shape.memories.push(readLimits(reader, "memory"))),
  13: each(bounds.tags, "exception tags", skipTagType),
  6: each(bounds.globals, "globals", (reader) => {
    skipGlobalType(reader);
    skipConstant(reader);
  }),
  7: (reader) => void readExports(reader),
  8: (reader) => void reader.u32(),
  9: each(bounds.elementSegments, "element segments", readElements),
  12: (reader) => void reader.u32(),
  10: each(bounds.functions, "function bodies", (reader) =>
    reader.skip(reader.count(bounds.bodyBytes, "bytes in one function")),
  ),
  11: each(bounds.dataSegments, "data segments", skipData),
};

function each(most: number, what: string, read: (reader: Reader, shape: Shape) => void) {
  return (reader: Reader, shape: Shape): void => {
    for (let left = reader.count(most, what); left > 0; left -= 1) read(reader, shape);
  };
}

function skipFunctionType(reader: Reader): void {
  const form = reader.byte();
  if (form !== 0x60) {
    refuse(
      `the module declares a type that is no function (0x${form.toString(16)}): build it without garbage collection, stack switching and shared types`,
    );
  }
  for (const what of ["parameters", "results"]) {
    for (let left = reader.count(bounds.values, what); left > 0; left -= 1) skipValueType(reader);
  }
}

function readTable(reader: Reader, shape: Shape): void {
  const type = readReferenceType(reader);
  shape.tables.push({ type, ...readLimits(reader, "table") });
}

/** Bytes that follow the opcodes a constant may be computed with: how long a number may be, or how many bytes. */
const constantNumbers: Record<number, number> = { 0x41: 5, 0x42: 10, 0x23: 5, 0xd2: 5 };
const constantBytes: Record<number, number> = {
  0x43: 4,
  0x44: 8,
  0x6a: 0,
  0x6b: 0,
  0x6c: 0,
  0x7c: 0,
  0x7d: 0,
  0x7e: 0,
};

function skipConstant(reader: Reader): void {
  let instructions = 0;
  for (let opcode = reader.byte(); opcode !== 0x0b; opcode = reader.byte()) {
    instructions += 1;
    if (instructions > bounds.constantInstructions)
      refuse("the module computes a constant with too many instructions");
    const longest = constantNumbers[opcode];
    const length = constantBytes[opcode];
    if (longest !== undefined) reader.skipNumber(longest);
    else if (length !== undefined) reader.skip(length);
    else if (opcode === 0xd0) readReferenceType(reader);
    else if (opcode === 0xfd && reader.u32() === 0x0c) reader.skip(16);
    else
      refuse(
        `the module computes a constant with an instruction rclaw does not know (0x${opcode.toString(16)})`,
      );
  }
}

function readElements(reader: Reader, shape: Shape): void {
  const flags = reader.u32();
  if (flags > 7) reader.malformed("an element segment has unknown flags");
  const passive = flags & 1;
  const explicit = flags & 2;
  const expressions = flags & 4;
  if (!passive) {
    if (explicit) reader.u32();
    skipConstant(reader);
  }
  if (passive || explicit) {
    if (expressions) readReferenceType(reader);
    else if (reader.byte() !== 0) reader.malformed("an element segment does not hold functions");
  }
  // The engine keeps a segment on its heap, all at once, and what is larger than the tables fits into none.
  const count = reader.u32();
  if (count > shape.elementsLeft) {
    refuse(
      "the module has element segments with more entries than its tables may have. Build it smaller, or raise the plugin's limit tableEntries",
    );
  }
  shape.elementsLeft -= count;
  for (let left = count; left > 0; left -= 1) {
    if (expressions) skipConstant(reader);
    else reader.u32();
  }
}

function skipData(reader: Reader): void {
  const flags = reader.u32();
  if (flags > 2) reader.malformed("a data segment has unknown flags");
  if (flags === 2) reader.u32();
  if (flags !== 1) skipConstant(reader);
  reader.skip(reader.u32());
}

function rewrite(
  { bytes, sections, tables, memories }: Shape,
  boundTables: readonly (Table & { max: number })[],
  boundMemories: readonly { min: number; max: number }[],
): Uint8Array {
  const replaced = new Map<number, number[]>();
  if (boundTables.some(({ max }, index) => max !== tables[index]?.max)) {
    replaced.set(4, [
      ...u32(boundTables.length),
      ...boundTables.flatMap((each) => [each.type, ...limits(each)]),
    ]);
  }
  if (boundMemories.some(({ max }, index) => max !== memories[index]?.max)) {
    replaced.set(5, [...u32(boundMemories.length), ...boundMemories.flatMap(limits)]);
  }
  const pieces: (Uint8Array | number[])[] = [];
  let kept = 0;
  for (const { id, start, to } of sections) {
    const contents = replaced.get(id);
    if (!contents) continue;
    pieces.push(bytes.subarray(kept, start), [id, ...u32(contents.length), ...contents]);
    kept = to;
  }
  if (kept === 0) return bytes;
  pieces.push(bytes.subarray(kept));
  const result = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}

const limits = ({ min, max }: { min: number; max: number }): number[] => [1, ...u32(min), ...u32(max)];

function u32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
