import { RclawError } from "@rclaw/plugin-sdk";
import { quoted } from "./text.ts";

const block = 512;
const maxPaxBytes = 65_536;
/** The longest path that any system opens; what a package may hold is far shorter, and judged later. */
const maxNameBytes = 4_096;

export interface TarEntry {
  readonly path: string;
  readonly isFolder: boolean;
  /** Empty for a folder. */
  readonly content: Uint8Array;
}

function bad(why: string): RclawError {
  return new RclawError(
    "INVALID_REQUEST",
    `the package's archive ${why}. Nothing was installed; make it anew with: rclaw plugin pack`,
  );
}

/** Reads pieces of any size as pieces of the size that is asked for. */
function createReader(source: AsyncIterable<Uint8Array>) {
  const pieces = source[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();

  async function more(): Promise<boolean> {
    const { done, value } = await pieces.next();
    if (done === true) return false;
    rest = value;
    return true;
  }

  return {
    /** Undefined at the end; a start without its end is refused. */
    async take(size: number): Promise<Buffer | undefined> {
      const parts: Uint8Array[] = [];
      let missing = size;
      while (missing > 0) {
        if (rest.length === 0 && !(await more())) break;
        const part = rest.subarray(0, missing);
        rest = rest.subarray(part.length);
        missing -= part.length;
        parts.push(part);
      }
      if (missing === size && size > 0) return undefined;
      if (missing > 0) throw bad("ends in the middle of a file");
      return Buffer.concat(parts);
    },
    /** Is everything up to the end zero? */
    async onlyZeros(): Promise<boolean> {
      do {
        if (rest.some((byte) => byte !== 0)) return false;
        rest = new Uint8Array();
      } while (await more());
      return true;
    },
    async close(): Promise<void> {
      await pieces.return?.();
    },
  };
}

type Reader = ReturnType<typeof createReader>;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw bad("holds a name that is no UTF-8");
  }
}

/** A field up to its first zero; what follows it must be zeros, or two readers would see two names. */
function textOf(field: Uint8Array): string {
  const end = field.indexOf(0);
  if (end === -1) return decode(field);
  if (field.subarray(end).some((byte) => byte !== 0)) throw bad("holds a name with a NUL in it");
  return decode(field.subarray(0, end));
}

function octal(field: Uint8Array, what: string): number {
  const text = Buffer.from(field).toString("latin1");
  const digits = /^ *([0-7]{1,12})[ \0]*$/.exec(text)?.[1];
  if (digits === undefined) throw bad(`holds a ${what} that is no octal number`);
  return Number.parseInt(digits, 8);
}

function checkSum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (const [at, byte] of header.entries()) if (at < 148 || at >= 156) sum += byte;
  if (sum !== octal(header.subarray(148, 156), "checksum")) throw bad("is damaged: a checksum does not fit");
}

/** The records of an extended header: `<length> <key>=<value>\n`, the length in bytes and its own digits included. */
function paxOf(content: Buffer): Map<string, string> {
  const result = new Map<string, string>();
  let rest = content;
  while (rest.length > 0) {
    const blank = rest.indexOf(0x20);
    const digits = blank > 0 && blank < 7 ? rest.toString("latin1", 0, blank) : "";
    const length = /^[1-9]\d*$/.test(digits) ? Number(digits) : 0;
    const record = rest.subarray(blank + 1, length);
    const equals = record.indexOf(0x3d);
    if (length > rest.length || equals < 1 || record.at(-1) !== 0x0a)
      throw bad("holds an extended header that cannot be read");
    const key = decode(record.subarray(0, equals));
    if (result.has(key)) throw bad(`says ${quoted(key)} of one file twice`);
    result.set(key, decode(record.subarray(equals + 1, -1)));
    rest = rest.subarray(length);
  }
  return result;
}

/** Only a name may be longer than its field. What would make two programs read two archives is refused. */
function longName(pax: Map<string, string>, size: number): string | undefined {
  for (const key of pax.keys())
    if (/^(?:linkpath|hdrcharset|GNU\..*)$/.test(key))
      throw bad(`uses ${quoted(key)}, which no package of npm does`);
  const told = pax.get("size");
  if (told !== undefined && told !== String(size)) throw bad("says two sizes of one file");
  return pax.get("path");
}

const kinds: Readonly<Record<string, string>> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a device",
  "4": "a device",
  "6": "a pipe",
  K: "a long link as GNU tar writes it",
  S: "a sparse file",
};

interface Header {
  /** Not read before it is needed: GNU tar cuts it off, in the middle of a letter too, after a long name. */
  name(): string;
  readonly size: number;
  readonly kind: string;
}

function headerOf(header: Buffer): Header {
  checkSum(header);
  const magic = header.toString("latin1", 257, 263);
  if (magic !== "ustar\0" && magic !== "ustar ") throw bad("is no tar archive of the ustar kind");
  // GNU tar keeps times where ustar keeps the start of a long name.
  const prefix = magic === "ustar\0" ? textOf(header.subarray(345, 500)) : "";
  return {
    name() {
      const name = textOf(header.subarray(0, 100));
      return prefix === "" ? name : `${prefix}/${name}`;
    },
    size: octal(header.subarray(124, 136), "size"),
    kind: header.toString("latin1", 156, 157).replace("\0", "0"),
  };
}

async function contentOf(reader: Reader, size: number): Promise<Buffer> {
  const padded = Math.ceil(size / block) * block;
  const content = padded === 0 ? Buffer.alloc(0) : await reader.take(padded);
  if (!content) throw bad("ends in the middle of a file");
  return content.subarray(0, size);
}

/** What GNU tar writes before a file whose name has more than 100 bytes: the name, as an entry's content. */
async function gnuName(reader: Reader, size: number): Promise<string> {
  if (size > maxNameBytes) throw bad(`holds a name of ${size} bytes`);
  const name = textOf(await contentOf(reader, size));
  if (name === "") throw bad("holds a long name that is empty");
  return name;
}

/**
 * The regular files and folders of a tar archive, as npm makes them: ustar with extended headers for long names; or as
 * GNU tar does, with entries for them. Links, devices and everything else is refused, and so is what comes after the end. Names are not judged here.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<TarEntry> {
  const reader = createReader(source);
  let pax: Map<string, string> | undefined;
  let gnu: string | undefined;
  try {
    for (;;) {
      const bytes = await reader.take(block);
      if (!bytes) throw bad("has no end");
      if (bytes.every((byte) => byte === 0)) {
        if (pax || gnu !== undefined) throw bad("ends after the header of a file");
        if (!(await reader.onlyZeros())) throw bad("goes on after its end");
        return;
      }
      const { name, size, kind } = headerOf(bytes);
      if (size > maxBytes) throw new RclawError("TOO_LARGE", `the package holds a file of ${size} bytes`);
      if (kind === "L" && pax) throw bad("holds an extended header that no file follows");
      if (gnu !== undefined && /[Lxg]/.test(kind)) throw bad("holds a long name that no file follows");
      if (kind === "L") {
        gnu = await gnuName(reader, size);
        continue;
      }
      if (kind === "x" || kind === "g") {
        if (size > maxPaxBytes || pax) throw bad("holds an extended header that is too large or doubled");
        const records = paxOf(await contentOf(reader, size));
        // One for all files: git writes its commit there. Anything that changes a file is refused.
        if (kind === "x") pax = records;
        else if ([...records.keys()].some((key) => key !== "comment"))
          throw bad("holds a header that speaks for all files");
        continue;
      }
      const path = (pax && longName(pax, size)) ?? gnu ?? name();
      pax = undefined;
      gnu = undefined;
      if (kind !== "0" && kind !== "5")
        throw bad(
          `holds ${quoted(path)} as ${kinds[kind] ?? "something unknown"}; only files and folders are taken`,
        );
      const isFolder = kind === "5" || path.endsWith("/");
      if (isFolder && size > 0) throw bad(`holds the folder ${quoted(path)} with content`);
      yield {
        path: path.replace(/^(?:\.\/)+/, "").replace(/\/+$/, ""),
        isFolder,
        content: await contentOf(reader, size),
      };
    }
  } finally {
    await reader.close();
  }
}

function field(text: string, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.write(text, "utf8");
  return bytes;
}

const octalField = (value: number, size: number): Buffer =>
  field(`${value.toString(8).padStart(size - 1, "0")}\0`, size);

function writeHeader(name: string, size: number, kind: string): Buffer {
  const header = Buffer.concat([
    field(name, 100),
    octalField(0o644, 8),
    octalField(0, 8),
    octalField(0, 8),
    octalField(size, 12),
    octalField(0, 12),
    field("        ", 8),
    field(kind, 1),
    field("", 100),
    field("ustar\0", 6),
    field("00", 2),
    Buffer.alloc(block - 265),
  ]);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function padded(content: Uint8Array): Buffer {
  return Buffer.concat([content, Buffer.alloc((block - (content.length % block)) % block)]);
}

function paxRecord(key: string, value: string): Buffer {
  const body = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(body);
  let length = bytes + String(bytes).length;
  if (bytes + String(length).length > length) length += 1;
  return Buffer.from(`${length}${body}`);
}

/** An archive that is the same for the same files: no times, no owners. */
export function writeTar(files: readonly { readonly path: string; readonly content: Uint8Array }[]): Buffer {
  const parts = files.flatMap(({ path, content }) => {
    const isLong = Buffer.byteLength(path) > 100;
    const record = isLong ? paxRecord("path", path) : Buffer.alloc(0);
    const long = isLong ? [writeHeader("PaxHeader", record.length, "x"), padded(record)] : [];
    return [...long, writeHeader(isLong ? "long" : path, content.length, "0"), padded(content)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}
