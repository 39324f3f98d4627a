import { StringDecoder } from "node:string_decoder";

const headBytes = 60_000;
const tailBytes = 140_000;
/** Reading on costs the gateway's own time, so endless output ends the command. */
const floodBytes = 64 * 1024 * 1024;
const updateMs = 100;

/** Keeps the beginning and the end of what a program prints, and reports it meanwhile. */
export class Output {
  #head: Buffer[] = [];
  #headSize = 0;
  #tail: Buffer[] = [];
  #tailSize = 0;
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
    this.#total += chunk.length;
    if (this.#total > floodBytes) return this.#flood();
    this.#report(chunk);
    const room = Math.min(headBytes - this.#headSize, chunk.length);
    if (room > 0) {
      this.#head.push(chunk.subarray(0, room));
      this.#headSize += room;
    }
    if (room === chunk.length) return;
    this.#tail.push(chunk.subarray(room));
    this.#tailSize += chunk.length - room;
    // Dropped in big steps: joining the tail for every chunk would cost more than the program.
    if (this.#tailSize > 4 * tailBytes) this.#trim();
  }

  text(): string {
    this.#trim();
    const [head, tail] = [Buffer.concat(this.#head).toString(), Buffer.concat(this.#tail).toString()];
    if (!this.truncated) return Buffer.concat([...this.#head, ...this.#tail]).toString();
    const left = this.#total - this.#headSize - this.#tailSize;
    return `${head}\n[... ${left} bytes of output are left out here; redirect to a file to see all ...]\n${tail}`;
  }

  close(): void {
    if (this.#timer !== undefined) this.#send();
  }

  #trim(): void {
    const all = Buffer.concat(this.#tail);
    const kept = all.subarray(Math.max(0, all.length - tailBytes));
    this.#tail = [Buffer.from(kept)];
    this.#tailSize = kept.length;
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
    if (text !== "") this.#onUpdate?.(text);
  }
}
