import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { FileHandle } from "node:fs/promises";
import type { SessionEntry } from "@rclaw/plugin-sdk";
import { changed, isEntryChange, mayBeEntryChange, readLine, timeOf } from "./entries.ts";
import { checkSeal, type Line, openLine, scanForward } from "./lines.ts";
import type { BadLine } from "./quarantine.ts";

const braces = [123, 125] as const;

/** What the next append has to know about a transcript. */
export interface Head {
  readonly strict: boolean;
  /** Of the last line; the next id follows from it. */
  readonly lastId: string | undefined;
  /** The parent of the next entry: the last line that is not a change of the session's own entry. */
  readonly leaf: string | null;
  readonly hasEntries: boolean;
  /** It says whose it is. OpenClaw's do not: what we add to them does. */
  readonly named: boolean;
}

export interface Identity {
  readonly strict: boolean;
  readonly sessionId: string | undefined;
  readonly key: string | undefined;
}

/** Whose transcript this is, from its first two lines; either may be damaged. */
export async function identify(handle: FileHandle, size: number): Promise<Identity> {
  const first: {
    seal: ReturnType<typeof checkSeal>;
    value: Readonly<Record<string, unknown>> | undefined;
  }[] = [];
  await scanForward(handle, 0, Math.min(size, 65_536), ({ bytes }) => {
    if (first.length > 1) return;
    const opened = bytes && openLine(bytes, false);
    first.push({ seal: bytes ? checkSeal(bytes) : "none", value: opened?.ok ? opened.value : undefined });
  });
  const [header, second] = first;
  const isHeader = header?.value?.["type"] === "session";
  // OpenClaw writes no checksums. One damaged header of ours must not switch them off for the lines below it.
  const foreign =
    header?.seal === "none" && (second ? second.seal === "none" && second.value !== undefined : isHeader);
  const change = second?.value && isEntryChange(second.value) ? second.value["data"] : undefined;
  const source = isHeader ? header.value : undefined;
  return {
    strict: !foreign,
    sessionId: text(source?.["id"]) ?? (isRecord(change) ? text(change["sessionId"]) : undefined),
    key: text(source?.["key"]) ?? (isRecord(change) ? text(change["key"]) : undefined),
  };
}

/** Rebuilds a session's entry from its transcript, line by line, parsing only what matters. */
export class EntryFold {
  entry: SessionEntry;
  /** As a change of the entry says it; the header may as well. */
  key: string | undefined;
  hasEntries: boolean;
  readonly bad: BadLine[] = [];
  readonly #strict: boolean;
  readonly #parseFrom: number;
  readonly #named: boolean;
  #lastId: string | undefined;
  #leaf: string | null;
  #last: Line | undefined;

  /** Lines without a checksum are only looked at closely beyond `parseFrom`, and whenever they are shown to somebody. */
  constructor(entry: SessionEntry, head: Head, parseFrom: number) {
    this.entry = entry;
    this.#parseFrom = parseFrom;
    this.#named = head.named;
    this.hasEntries = head.hasEntries;
    this.#strict = head.strict;
    this.#lastId = head.lastId;
    this.#leaf = head.leaf;
  }

  add(line: Line): void {
    const { bytes } = line;
    if (bytes && this.#looksRight(line, bytes) && !mayBeEntryChange(bytes)) {
      // The header is sealed too, but it is the first line and another one always follows it.
      this.#last = { ...line, bytes: Buffer.from(bytes) };
      this.hasEntries ||= !bytes.toString("latin1", 0, 18).startsWith('{"type":"session"');
      return;
    }
    this.#read(line);
  }

  head(): Head {
    this.#settle();
    return {
      strict: this.#strict,
      lastId: this.#lastId,
      leaf: this.#leaf,
      hasEntries: this.hasEntries,
      named: this.#named || this.key !== undefined,
    };
  }

  #looksRight({ offset, length }: Line, bytes: Buffer): boolean {
    if (this.#strict) return checkSeal(bytes) === "ok";
    const isEarly = offset >= 0 && offset + length < this.#parseFrom;
    return isEarly && bytes[0] === braces[0] && bytes.lastIndexOf(braces[1]) >= bytes.length - 2;
  }

  #read(line: Line): void {
    const read = readLine(line, this.#strict);
    if (read.kind === "bad") {
      this.bad.push(read.bad);
      return;
    }
    this.#last = undefined;
    if (read.kind === "header") {
      this.#touch(read.value);
    } else if (read.kind === "entry") {
      this.hasEntries = true;
      this.#lastId = read.entry.id;
      this.#leaf = read.entry.id;
      this.#touch(read.entry);
    } else {
      const { value } = read;
      this.#lastId = text(value["id"]);
      this.#leaf = text(value["parentId"]) ?? null;
      const data = isRecord(value["data"]) ? value["data"] : {};
      this.key = text(data["key"]) ?? this.key;
      const explicit = data["updatedAt"];
      const updatedAt = typeof explicit === "number" ? explicit : (timeOf(value) ?? this.entry.updatedAt);
      this.entry = changed(this.entry, data, updatedAt);
    }
  }

  /** Of the lines that were only skimmed, the last one counts. */
  #settle(): void {
    const last = this.#last;
    if (last) this.#read(last);
    this.#last = undefined;
  }

  #touch(value: Readonly<Record<string, unknown>>): void {
    this.entry = { ...this.entry, updatedAt: timeOf(value) ?? this.entry.updatedAt };
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
