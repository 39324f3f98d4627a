/** UTF-8 both ways, as the WHATWG Encoding standard has it. */

export class GuestTextEncoder {
  readonly encoding = "utf-8";

  encode(text: unknown = ""): Uint8Array {
    const source = String(text);
    // Three bytes a code unit is the most there can be.
    const bytes = new Uint8Array(source.length * 3);
    const { written } = this.encodeInto(source, bytes);
    return bytes.slice(0, written);
  }

  encodeInto(source: string, bytes: Uint8Array): { read: number; written: number } {
    let written = 0;
    let read = 0;
    while (read < source.length) {
      const point = scalar(source.codePointAt(read) ?? 0);
      const size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      if (written + size > bytes.length) break;
      if (size === 1) bytes[written++] = point;
      else {
        bytes[written++] = ((0xf00 >> size) & 0xff) | (point >> (6 * (size - 1)));
        for (let rest = size - 2; rest >= 0; rest--) bytes[written++] = 0x80 | ((point >> (6 * rest)) & 0x3f);
      }
      read += size === 4 ? 2 : 1;
    }
    return { read, written };
  }
}

const scalar = (point: number): number => (point >= 0xd800 && point <= 0xdfff ? 0xfffd : point);

const labels = new Set([
  "utf-8",
  "utf8",
  "unicode-1-1-utf-8",
  "unicode11utf8",
  "unicode20utf8",
  "x-unicode20utf8",
]);

type Bytes = ArrayBufferLike | ArrayBufferView;

export class GuestTextDecoder {
  readonly encoding = "utf-8";
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  #bomSeen = false;
  /** Of a character whose bytes are not all there yet. */
  #point = 0;
  #needed = 0;
  #lower = 0x80;
  #upper = 0xbf;

  constructor(label: unknown = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!labels.has(String(label).trim().toLowerCase()))
      throw new RangeError(`The "${String(label)}" encoding is not supported`);
    this.fatal = fatal;
    this.ignoreBOM = ignoreBOM;
  }

  decode(input?: Bytes, { stream = false }: { stream?: boolean } = {}): string {
    const bytes = toBytes(input);
    const parts: string[] = [];
    let units: number[] = [];
    const put = (point: number): void => {
      if (!this.#bomSeen) {
        this.#bomSeen = true;
        if (point === 0xfeff && !this.ignoreBOM) return;
      }
      units.push(point);
      if (units.length < 4096) return;
      parts.push(String.fromCodePoint(...units));
      units = [];
    };
    for (let at = 0; at < bytes.length; at++) this.#take(bytes[at] as number, put);
    if (!stream) {
      if (this.#needed > 0) {
        this.#needed = 0;
        this.#malformed(put);
      }
      this.#bomSeen = false;
    }
    return parts.join("") + String.fromCodePoint(...units);
  }

  #take(byte: number, put: (point: number) => void): void {
    if (this.#needed === 0) {
      if (byte < 0x80) return put(byte);
      if (byte < 0xc2 || byte > 0xf4) return this.#malformed(put);
      this.#needed = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      this.#point = byte & (0x3f >> this.#needed);
      // No overlong forms, no surrogates, nothing above U+10FFFF.
      this.#lower = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
      this.#upper = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
      return;
    }
    if (byte < this.#lower || byte > this.#upper) {
      this.#needed = 0;
      this.#malformed(put);
      // This byte did not belong to it: it begins something of its own.
      return this.#take(byte, put);
    }
    this.#lower = 0x80;
    this.#upper = 0xbf;
    this.#point = (this.#point << 6) | (byte & 0x3f);
    if (--this.#needed === 0) put(this.#point);
  }

  #malformed(put: (point: number) => void): void {
    if (this.fatal) {
      this.#needed = 0;
      this.#bomSeen = false;
      throw new TypeError("The encoded data was not valid for encoding utf-8");
    }
    put(0xfffd);
  }
}

/** The bytes of a buffer or of a view on one, not copied. */
export function toBytes(input: Bytes | undefined): Uint8Array {
  if (input === undefined) return new Uint8Array(0);
  if (input instanceof Uint8Array) return input;
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  return new Uint8Array(input);
}
