import { RclawError } from "@rclaw/plugin-sdk";

/**
 * Reads the binary format of WebAssembly as far as rclaw has to know it before the engine sees a stranger's bytes.
 * It is stricter than the engine and never laxer: what it does not know, it refuses.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** More than any compiler's output that was seen, and far less than an engine may be made to choke on. */
export const bounds = {
  moduleBytes: 32 * MiB,
  bodyBytes: MiB,
  nameBytes: 100_000,
  customSections: 1_000,
  types: 10_000,
  values: 1_000,
  imports: 10_000,
  functions: 100_000,
  tables: 100,
  tags: 1_000,
  globals: 20_000,
  constantInstructions: 16,
  exports: 20_000,
  elementSegments: 10_000,
  dataSegments: 100_000,
} as const;

/** Says no to an artefact, with a reason its author understands. */
export function refuse(reason: string): never {
  throw new RclawError("ARTEFACT_REFUSED", reason);
}

function malformed(what: string, at: number): never {
  throw new RclawError(
    "ARTEFACT_REFUSED",
    `the WebAssembly is malformed: ${what} at byte ${at}. Build it again, or copy it again if it was cut short`,
    { details: { offset: at } },
  );
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A position in a stretch of bytes; it cannot leave the stretch. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, from: number, to: number) {
    this.bytes = bytes;
    this.at = from;
    this.end = to;
  }

  byte(): number {
    const value = this.at < this.end ? this.bytes[this.at] : undefined;
    if (value === undefined) malformed("it ends in the middle of something", this.at);
    this.at += 1;
    return value;
  }

  /** An unsigned number of 32 bits. Padding up to five bytes is legal, and linkers use it. */
  u32(): number {
    const start = this.at;
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.byte();
    if (last > 0x0f) malformed("a number does not fit in 32 bits", start);
    return (value | (last << 28)) >>> 0;
  }

  /** Passes over a number of which only the length matters. */
  skipNumber(longest: number): void {
    const start = this.at;
    for (let length = 0; length < longest; length += 1) {
      if (this.byte() < 0x80) return;
    }
    malformed("a number is too long", start);
  }

  skip(length: number): void {
    if (length > this.end - this.at) malformed("a size leads past the end", this.at);
    this.at += length;
  }

  count(most: number, what: string): number {
    const count = this.u32();
    if (count > most) refuse(`the module has ${count} ${what}, more than the ${most} that rclaw accepts`);
    return count;
  }

  skipName(): void {
    this.skip(this.count(bounds.nameBytes, "bytes in a name"));
  }

  name(): string {
    const start = this.at;
    this.skipName();
    try {
      // The length was just read, so what stands before the name is not part of it.
      const head = new Reader(this.bytes, start, this.end);
      head.u32();
      return utf8.decode(this.bytes.subarray(head.at, this.at));
    } catch {
      return malformed("a name is not UTF-8", start);
    }
  }

  finish(what: string): void {
    if (this.at !== this.end) malformed(`${what} has bytes left over`, this.at);
  }

  malformed(what: string): never {
    return malformed(what, this.at);
  }
}

/** Tells a core module from a component by the preamble; refuses everything else. */
export function kindOf(bytes: Uint8Array): "module" | "component" {
  const [nul, a, s, m, ...version] = bytes.subarray(0, 8);
  if (nul !== 0 || a !== 0x61 || s !== 0x73 || m !== 0x6d || version.length < 4) {
    refuse("it is not WebAssembly: it does not begin with the WebAssembly preamble. Name a .wasm file");
  }
  const [low, high, layer, rest] = version;
  if (low === 1 && high === 0 && layer === 0 && rest === 0) return "module";
  if (low === 0x0d && high === 0 && layer === 1 && rest === 0) return "component";
  const numbers = version.join(".");
  return refuse(
    `it is WebAssembly of a version that rclaw does not know (${numbers}). Build it as a core module of version 1 or as a component`,
  );
}

/** Where the known sections stand in the order the format wants; a tag section between memories and globals. */
const order = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

export interface Section {
  readonly id: number;
  /** Where its header begins. */
  readonly start: number;
  /** Where its contents begin and end. */
  readonly from: number;
  readonly to: number;
}

/** The sections of a core module, custom ones left out, in the one order they may have. */
export function sectionsOf(bytes: Uint8Array): readonly Section[] {
  if (bytes.length > bounds.moduleBytes) {
    refuse(`the module has ${bytes.length} bytes, more than the ${bounds.moduleBytes} that rclaw accepts`);
  }
  if (kindOf(bytes) !== "module") refuse("a core module was expected, and this is a component");
  const sections: Section[] = [];
  const reader = new Reader(bytes, 8, bytes.length);
  let custom = 0;
  let last = -1;
  while (reader.at < reader.end) {
    const start = reader.at;
    const id = reader.byte();
    const size = reader.u32();
    const from = reader.at;
    reader.skip(size);
    if (id === 0) {
      new Reader(bytes, from, reader.at).skipName();
      custom += 1;
      if (custom > bounds.customSections) {
        refuse(`the module has more than the ${bounds.customSections} custom sections that rclaw accepts`);
      }
      continue;
    }
    const rank = order.indexOf(id);
    if (rank < 0) refuse(`the module has a section of an unknown kind (${id}) at byte ${start}`);
    if (rank === last) malformed(`section ${id} stands there twice`, start);
    if (rank < last) malformed(`section ${id} stands in the wrong place`, start);
    last = rank;
    sections.push({ id, start, from, to: reader.at });
  }
  return sections;
}

/** A size with the most it may grow to, in pages or entries. */
export interface Limits {
  readonly min: number;
  readonly max: number | undefined;
}

export function readLimits(reader: Reader, what: "memory" | "table"): Limits {
  const flags = reader.byte();
  if (flags > 0x0f) reader.malformed(`a ${what} has unknown flags`);
  if (flags & 2) {
    refuse(`the module has a shared ${what}: plugins have no threads. Build it without threads and atomics`);
  }
  if (flags & 4) {
    refuse(`the module has a 64-bit ${what}: build it for 32 bits (wasm32, without ${what}64)`);
  }
  if (flags & 8)
    refuse(`the module has a ${what} with pages of its own size: build it without custom page sizes`);
  const min = reader.u32();
  const max = flags & 1 ? reader.u32() : undefined;
  if (max !== undefined && max < min) reader.malformed(`a ${what} is larger than its own maximum`);
  return { min, max };
}

const numbersAndVectors = { low: 0x7b, high: 0x7f };

export function readReferenceType(reader: Reader): number {
  const type = reader.byte();
  if (type === 0x70 || type === 0x6f) return type;
  return refuse(
    `the module uses a reference type (0x${type.toString(16)}) beyond funcref and externref: build it without garbage collection, typed function references and the like`,
  );
}

export function skipValueType(reader: Reader): void {
  const type = reader.bytes[reader.at];
  if (type !== undefined && type >= numbersAndVectors.low && type <= numbersAndVectors.high) reader.skip(1);
  else readReferenceType(reader);
}

export function skipGlobalType(reader: Reader): void {
  skipValueType(reader);
  if (reader.byte() > 1) reader.malformed("a global is neither constant nor variable");
}

export function skipTagType(reader: Reader): void {
  if (reader.byte() !== 0) reader.malformed("a tag is no exception");
  reader.u32();
}

const kinds = ["function", "table", "memory", "global", "tag"] as const;

export interface ModuleExport {
  readonly name: string;
  readonly kind: (typeof kinds)[number];
}

export interface ModuleImport extends ModuleExport {
  readonly module: string;
}

function readKind(reader: Reader): ModuleExport["kind"] {
  const at = reader.at;
  const number = reader.byte();
  return (
    kinds[number] ??
    refuse(`the module imports or exports something of an unknown kind (${number}) at byte ${at}`)
  );
}

export function readImports(reader: Reader): ModuleImport[] {
  const count = reader.count(bounds.imports, "imports");
  return Array.from({ length: count }, () => {
    const module = reader.name();
    const name = reader.name();
    const kind = readKind(reader);
    if (kind === "function") reader.u32();
    else if (kind === "global") skipGlobalType(reader);
    else if (kind === "tag") skipTagType(reader);
    else {
      if (kind === "table") readReferenceType(reader);
      readLimits(reader, kind);
    }
    return { module, name, kind };
  });
}

export function readExports(reader: Reader): ModuleExport[] {
  const count = reader.count(bounds.exports, "exports");
  return Array.from({ length: count }, () => {
    const name = reader.name();
    const kind = readKind(reader);
    reader.u32();
    return { name, kind };
  });
}

function listOf<T>(bytes: Uint8Array, id: number, read: (reader: Reader) => T[]): T[] {
  const section = sectionsOf(bytes).find((each) => each.id === id);
  if (!section) return [];
  const reader = new Reader(bytes, section.from, section.to);
  const list = read(reader);
  reader.finish(`section ${id}`);
  return list;
}

/** What a core module wants from outside, without compiling it. */
export function importsOf(bytes: Uint8Array): ModuleImport[] {
  return listOf(bytes, 2, readImports);
}

/** What a core module offers, without compiling it. */
export function exportsOf(bytes: Uint8Array): ModuleExport[] {
  return listOf(bytes, 7, readExports);
}
