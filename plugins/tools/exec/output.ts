import { StringDecoder } from "node:string_decoder";

const headBytes = 60_000;
const tailBytes = 140_000;
/** Reading on costs the gateway's own time, so endless output ends the command. */
const floodBytes = 64 * 1024 * 1024;
const updateMs = 100;

/** Keeps the beginning and the end of what a program prints, and reports it meanwhile. */
export class Output {
  // Copied into, never held: a program that prints two bytes at a time would leave a buffer for each.
  #head: Buffer = Buffer.alloc(0);
  #tail: Buffer = Buffer.alloc(0);
  #tailEnd = 0;
  #total = 0;
  #pending = "";
  #reported = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #decoder = new StringDecoder("utf8");
  readonly #flood: () => void;
  readonly #onUpdate: ((text: string) => void) | undefined;

  constructor({ flood, onUpdate }: { flood: () => void; onUpdate?: (text: string) => void }) {
    this.#flood = flood;
    this.#onUpdate = onUpdate;
  }

  get truncated(): boolean {
    return this.#total > headBytes + tailBytes;
  }

  push(chunk: Buffer): void {
    const before = this.#total;
    this.#total += chunk.length;
    if (this.#total > floodBytes) return this.#flood();
    this.#report(chunk);
    if (before < headBytes) {
      this.#head = grown(this.#head, Math.min(this.#total, headBytes), headBytes);
      chunk.copy(this.#head, before);
    }
    const rest = chunk.subarray(Math.max(0, headBytes - before));
    if (rest.length > 0) this.#keep(rest);
  }

  text(): string {
    const head = this.#head.subarray(0, Math.min(this.#total, headBytes));
    if (!this.truncated) return readable(Buffer.concat([head, this.#lastBytes()]), this.#total);
    // A character that the cut went through is dropped rather than shown as a wrong one.
    const first = new StringDecoder("utf8").write(head);
    const last = afterCut(this.#lastBytes());
    const left = this.#total - headBytes - last.length;
    const note = `\n[... ${left} bytes of output are left out here; redirect to a file to see all ...]\n`;
    return readable(Buffer.concat([Buffer.from(first + note), last]), this.#total);
  }

  close(): void {
    if (this.#timer !== undefined) this.#send();
  }

  /** The tail is a ring: `#tailEnd` counts on, and its remainder is where the next byte goes. */
  #keep(bytes: Buffer): void {
    const kept = bytes.subarray(Math.max(0, bytes.length - tailBytes));
    this.#tailEnd += bytes.length - kept.length;
    this.#tail = grown(this.#tail, Math.min(this.#tailEnd + kept.length, tailBytes), tailBytes);
    const at = this.#tailEnd % tailBytes;
    const fits = kept.copy(this.#tail, at);
    kept.copy(this.#tail, 0, fits);
    this.#tailEnd += kept.length;
  }

  #lastBytes(): Buffer {
    if (this.#tailEnd <= tailBytes) return this.#tail.subarray(0, this.#tailEnd);
    const at = this.#tailEnd % tailBytes;
    return Buffer.concat([this.#tail.subarray(at), this.#tail.subarray(0, at)]);
  }

  #report(chunk: Buffer): void {
    if (this.#onUpdate === undefined || this.#reported > headBytes + tailBytes) return;
    this.#reported += chunk.length;
    this.#pending += this.#decoder.write(chunk);
    this.#timer ??= setTimeout(() => this.#send(), updateMs).unref();
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#pending;
    this.#pending = "";
    if (text !== "") this.#onUpdate?.(plain(text));
  }
}

/** Doubled up to the limit, so that most commands cost a few kilobytes. */
function grown(buffer: Buffer, needed: number, limit: number): Buffer {
  if (needed <= buffer.length) return buffer;
  const larger = Buffer.allocUnsafe(Math.min(limit, Math.max(needed, 2 * buffer.length, 4096)));
  buffer.copy(larger);
  return larger;
}

function afterCut(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start);
}

const colours = /\u001B\[[0-9;?]*[ -/]*[@-~]/g;
const unprintable = /[\0-\u0008\u000B\u000C\u000E-\u001F\u007F]/g;

/** What no terminal draws would only confuse whoever reads it: colours go, the rest is marked. */
function plain(text: string): string {
  return text.replaceAll(colours, "").replaceAll(unprintable, "\uFFFD");
}

/** Text for a model; bytes that are no text are worth a sentence and no more. */
function readable(bytes: Buffer, total: number): string {
  const text = plain(bytes.toString());
  const marks = text.split("\uFFFD").length - 1;
  if (marks <= 0.3 * text.length) return text;
  return `[${total} bytes of binary output are not shown. Send them to a file, or through xxd or base64.]`;
}
