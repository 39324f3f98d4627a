import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";

/** A longer line is neither written nor read: one line must not be able to fill the memory. */
export const maxLineBytes = 8 * 1_048_576;

// `,"crc":"xxxxxxxx"}`
const sealLength = 18;
const brace = Buffer.from("}");
const newline = 10;

/** Adds the checksum as the last member of a JSON object, so that any JSON tool still reads the line. */
export function seal(body: string): string {
  return `${body.slice(0, -1)},"crc":"${hex(crc32(body))}"}`;
}

/** The same for `head` with `value` as its last member. The value, a long one, is not copied for it. */
export function sealAround(head: string, value: string): string {
  return `${head}${value},"crc":"${hex(crc32("}", crc32(value, crc32(head))))}"}`;
}

/** Checks the bytes as they lie in the file: decoding them first would hide broken UTF-8. */
export function checkSeal(line: Buffer): "ok" | "bad" | "none" {
  const at = line.length - sealLength;
  if (at < 1) return "none";
  const end = line.toString("latin1", at);
  if (!end.startsWith(',"crc":"') || !end.endsWith('"}')) return "none";
  return end.slice(8, 16) === hex(crc32(brace, crc32(line.subarray(0, at)))) ? "ok" : "bad";
}

export type Opened =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly reason: string };

/** Reads one line; with `strict` a line without a checksum is refused. */
export function openLine(line: Buffer, strict: boolean): Opened {
  const state = checkSeal(line);
  if (state === "bad") return { ok: false, reason: "the checksum does not match" };
  if (state === "none" && strict) return { ok: false, reason: "there is no checksum" };
  try {
    const body =
      state === "ok"
        ? `${line.toString("utf8", 0, line.length - sealLength)}}`
        : line.toString("utf8").replace(/^\ufeff/, "");
    const value: unknown = JSON.parse(body);
    if (isRecord(value)) return { ok: true, value };
  } catch {
    // Reported below: what the parser says names the position, not the cause.
  }
  return { ok: false, reason: "not a JSON object" };
}

export interface Line {
  /** Without the newline. Undefined when the line is longer than `maxLineBytes`. Only valid during the visit. */
  readonly bytes: Buffer | undefined;
  readonly offset: number;
  readonly length: number;
  /** False only for a last line without its newline. */
  readonly terminated: boolean;
}

/** Visits the lines in `[from, to)`, first to last, in bounded memory. */
export async function scanForward(
  file: FileHandle,
  from: number,
  to: number,
  visit: (line: Line) => void,
): Promise<void> {
  const block = Buffer.allocUnsafe(Math.max(1, Math.min(256 * 1024, to - from)));
  const carry = new Carry();
  let start = from;
  for (let position = from; position < to;) {
    const { bytesRead } = await file.read(block, 0, Math.min(block.length, to - position), position);
    if (bytesRead === 0) break;
    const chunk = block.subarray(0, bytesRead);
    let at = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, at)) {
      const bytes = carry.take(chunk.subarray(at, end));
      visit({ bytes, offset: start, length: position + end - start, terminated: true });
      at = end + 1;
      start = position + at;
    }
    carry.append(chunk.subarray(at));
    position += bytesRead;
  }
  const rest = carry.size;
  if (rest > 0) visit({ bytes: carry.take(Buffer.alloc(0)), offset: start, length: rest, terminated: false });
}

/** Visits the lines before `end`, last to first, until `visit` answers false. */
export async function scanBackward(
  file: FileHandle,
  end: number,
  visit: (line: Line) => boolean,
): Promise<void> {
  const carry = new Carry();
  let terminated = false;
  for (let position = end; position > 0;) {
    const length = Math.min(64 * 1024, position);
    position -= length;
    const block = await readAt(file, position, length);
    let stop = block.length;
    while (stop > 0) {
      const at = block.lastIndexOf(newline, stop - 1);
      if (at === -1) break;
      const size = stop - at - 1 + carry.size;
      const bytes = carry.takeBefore(block.subarray(at + 1, stop));
      const isEnd = size === 0 && !terminated;
      if (!isEnd && !visit({ bytes, offset: position + at + 1, length: size, terminated })) return;
      terminated = true;
      stop = at;
    }
    carry.prepend(block.subarray(0, stop));
  }
  const size = carry.size;
  if (size > 0 || terminated)
    visit({ bytes: carry.takeBefore(Buffer.alloc(0)), offset: 0, length: size, terminated });
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** The part of a line that lies in other blocks; forgotten, but still counted, once the line is too long to keep. */
class Carry {
  #parts: Buffer[] = [];
  size = 0;

  append(part: Buffer): void {
    // The forward scan reuses its block.
    this.#grow(part.length, () => this.#parts.push(Buffer.from(part)));
  }

  prepend(part: Buffer): void {
    this.#grow(part.length, () => this.#parts.unshift(part));
  }

  take(last: Buffer): Buffer | undefined {
    return this.#finish(last.length, () => [...this.#parts, last]);
  }

  takeBefore(first: Buffer): Buffer | undefined {
    return this.#finish(first.length, () => [first, ...this.#parts]);
  }

  #grow(length: number, keep: () => void): void {
    this.size += length;
    if (this.size > maxLineBytes) this.#parts = [];
    else if (length > 0) keep();
  }

  #finish(length: number, parts: () => Buffer[]): Buffer | undefined {
    const total = this.size + length;
    const all = this.size === 0 ? undefined : parts();
    const whole = total > maxLineBytes ? undefined : all ? Buffer.concat(all) : parts().at(0);
    this.#parts = [];
    this.size = 0;
    return whole;
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}
