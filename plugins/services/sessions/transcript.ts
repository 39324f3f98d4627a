import fs from "node:fs";
import { mkdir, rename, unlink } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "@rclaw/plugin-sdk";
import { syncFolder } from "@rclaw/plugin-sdk/atomic";
import { closeFd, codeOf, datasync, isUnlinked, openFd, truncateFd, writeAll } from "./disk.ts";

const newline = Buffer.from("\n");

export interface TranscriptOptions {
  readonly file: string;
  /** Bytes of whole lines that are in the file. */
  readonly size: number;
  /** The file goes on after `size` with bytes that are not lines; they are cut off before the first write. */
  readonly torn: boolean;
  /** Lines without a checksum are refused. False for a file that OpenClaw wrote. */
  readonly strict: boolean;
  /** The first line again, for a file that somebody removed while we were running. */
  readonly header: () => string;
  readonly log: Logger;
}

/**
 * One transcript file and the lines that are durable in the journal but not yet in it.
 * Only the write-back touches the file, one call at a time.
 */
export class Transcript {
  readonly file: string;
  strict: boolean;
  /** Written, but not yet known to be on the disk. */
  unsynced = false;
  /** The file was made and its name may not be on the disk yet. */
  created = false;
  /** The write-back's turn on this file, when there is one. */
  turn: Promise<void> | undefined;
  /** Odd while the file is being replaced; afterwards another number than before, because offsets mean nothing any more. */
  edition = 0;
  #gate: Promise<void> | undefined;
  readonly #header: () => string;
  readonly #log: Logger;
  #size: number;
  #torn: boolean;
  #pending: string[] = [];
  #writing: string[] = [];
  #fd: number | undefined;

  constructor({ file, size, torn, strict, header, log }: TranscriptOptions) {
    this.file = file;
    this.strict = strict;
    this.#size = size;
    this.#torn = torn;
    this.#header = header;
    this.#log = log;
  }

  get size(): number {
    return this.#size;
  }

  /** Resolves when the file's name is free. Undefined when it is. */
  get gate(): Promise<void> | undefined {
    return this.#gate;
  }

  /** The predecessor under the same name has to be archived first; if it never is, nothing may be written. */
  waitFor(archived: Promise<boolean>): void {
    this.#gate = archived.then((done) => {
      if (!done) return new Promise<void>(() => undefined);
      this.#gate = undefined;
      return undefined;
    });
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  get hasPending(): boolean {
    return this.#pending.length > 0 || this.#writing.length > 0;
  }

  /** Puts another file in this one's place; `work` tells its size. */
  async replace(work: () => Promise<number>): Promise<void> {
    this.edition++;
    try {
      this.#size = await work();
    } finally {
      this.edition++;
    }
  }

  /** Whole lines with their newline, already durable in the journal. */
  push(lines: readonly string[]): void {
    for (const line of lines) this.#pending.push(line);
  }

  /** What a reader sees at this moment: the file up to `size`, then the lines. Taken together, so that no line is seen twice or missed. */
  snapshot(): {
    readonly file: string;
    readonly size: number;
    readonly strict: boolean;
    readonly lines: readonly string[];
  } {
    return {
      file: this.file,
      size: this.#size,
      strict: this.strict,
      lines: [...this.#writing, ...this.#pending],
    };
  }

  /** Writes what is pending. When it throws, all of that is pending again and the file is repaired by the next call. */
  async write(wrote: (chars: number) => void): Promise<void> {
    while (this.#pending.length > 0) {
      const fd = await this.#ready();
      this.#writing = this.#pending;
      this.#pending = [];
      const text = this.#writing.join("");
      const data = Buffer.from(text);
      try {
        await writeAll(fd, data);
      } catch (error) {
        this.#torn = true;
        this.#pending = [...this.#writing, ...this.#pending];
        this.#writing = [];
        throw error;
      }
      this.#size += data.length;
      this.#writing = [];
      this.unsynced = true;
      wrote(text.length);
    }
  }

  /** Resolves when what was written is on the disk. */
  async sync(): Promise<void> {
    if (!this.unsynced) return;
    const fd = await this.#open();
    this.unsynced = false;
    try {
      await datasync(fd);
    } catch (error) {
      this.unsynced = true;
      // The failed pages count as clean now: syncing again would succeed and prove nothing. A new file is written from the start.
      await this.#renew();
      this.#log.warn({ err: error, file: this.file }, "transcript could not be synced and was written anew");
    }
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) await closeFd(fd).catch(() => undefined);
  }

  /** Everything is written and synced; gives the file its last name, or removes it. */
  async archive(name: string | null): Promise<void> {
    await this.close();
    try {
      if (name === null) await unlink(this.file);
      else await rename(this.file, path.join(path.dirname(this.file), name));
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
    await syncFolder(path.dirname(this.file));
  }

  async #open(): Promise<number> {
    if (this.#fd !== undefined && !isUnlinked(this.#fd)) return this.#fd;
    await this.close();
    // Appending needs no position, and two writers by mistake would still not overwrite each other.
    const fd = await openFd(this.file, "a+", 0o600).catch(async (error: unknown) => {
      if (codeOf(error) !== "ENOENT") throw error;
      await mkdir(path.dirname(this.file), { recursive: true, mode: 0o700 });
      return openFd(this.file, "a+", 0o600);
    });
    this.#fd = fd;
    if (fs.fstatSync(fd).size === 0) this.created = true;
    return fd;
  }

  /** The file, ending where the next line goes. */
  async #ready(): Promise<number> {
    const fd = await this.#open();
    const { size } = fs.fstatSync(fd);
    if (size > this.#size && this.#torn) await truncateFd(fd, this.#size);
    else if (size !== this.#size) await this.#adopt(fd, size);
    this.#torn = false;
    return fd;
  }

  /** Somebody edited the file while it was in use: what they left stays, and our next line must not join half of one. */
  async #adopt(fd: number, size: number): Promise<void> {
    const facts = { file: this.file, bytes: size, expected: this.#size };
    if (size === 0) {
      this.#log.error(facts, "transcript was removed from outside; a new one is started");
      if (!this.#pending[0]?.startsWith('{"type":"session"')) this.#pending.unshift(this.#header());
    } else {
      this.#log.error(facts, "transcript was changed from outside; it goes on after what stands there now");
      const last = Buffer.alloc(1);
      fs.readSync(fd, last, 0, 1, size - 1);
      if (last[0] !== newline[0]) await writeAll(fd, newline);
    }
    this.#size = fs.fstatSync(fd).size;
  }

  async #renew(): Promise<void> {
    const temp = `${this.file}.renew`;
    const source = this.#fd;
    if (source === undefined) return;
    const target = await openFd(temp, "w", 0o600);
    try {
      const block = Buffer.allocUnsafe(256 * 1024);
      for (let position = 0; position < this.#size;) {
        const count = fs.readSync(source, block, 0, Math.min(block.length, this.#size - position), position);
        if (count === 0) throw new Error("the file ended early");
        await writeAll(target, block.subarray(0, count));
        position += count;
      }
      await datasync(target);
    } catch (error) {
      await unlink(temp).catch(() => undefined);
      throw error;
    } finally {
      await closeFd(target).catch(() => undefined);
    }
    await rename(temp, this.file);
    await syncFolder(path.dirname(this.file));
    await this.close();
    this.unsynced = false;
  }
}
