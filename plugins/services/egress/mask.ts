import { isRclawError, RclawError } from "@rclaw/plugin-sdk";

/** Puts handles where secrets are in what comes back from a host that was told some. Costs nothing before it knows one. */
export interface Mask {
  isActive(): boolean;
  /** The secret as it is, and as URLs, forms, JSON and base64 write it. */
  hideSecret(secret: string, handle: string): void;
  /** Something that was made of a secret, and what the plugin had written there. */
  hide(text: string, original: string): void;
  text(value: string): string;
  /** Of a header or a status line, whose characters are bytes. */
  header(value: string): string;
  bytes(value: Uint8Array): Uint8Array;
  /** Finds a secret also where it is cut in two. Holds back no more than what may be the beginning of one. */
  stream(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void>;
}

interface Needle {
  readonly bytes: Buffer;
  readonly original: Buffer;
}

export function createMask(): Mask {
  const needles = new Map<string, Needle>();
  let longestFirst: readonly Needle[] = [];
  const firstBytes = new Uint8Array(256);

  function add(bytes: Buffer, original: string): void {
    const key = bytes.toString("latin1");
    if (bytes.length === 0 || needles.has(key)) return;
    needles.set(key, { bytes, original: Buffer.from(original) });
    longestFirst = [...needles.values()].sort((a, b) => b.bytes.length - a.bytes.length);
    firstBytes[bytes[0]!] = 1;
  }

  function hide(text: string, original: string): void {
    for (const form of writtenForms(text)) add(Buffer.from(form), original);
    // Headers are sent a byte a character.
    if (/^[\0-\xff]*$/.test(text)) add(Buffer.from(text, "latin1"), original);
  }

  /** The first place from `at` on where the end of the bytes may be the beginning of a secret. */
  function openEnd(buffer: Buffer, at: number): number {
    const longest = longestFirst[0]?.bytes.length ?? 0;
    for (let from = Math.max(at, buffer.length - longest + 1); from < buffer.length; from++) {
      if (firstBytes[buffer[from]!] === 0) continue;
      const left = buffer.length - from;
      if (longestFirst.some(({ bytes }) => bytes.length > left && buffer.compare(bytes, 0, left, from) === 0))
        return from;
    }
    return buffer.length;
  }

  /** What is certain to hold no secret, with handles in it, and the rest that needs more bytes to tell. */
  function scan(buffer: Buffer, isLast: boolean): { done: Buffer; rest: Buffer } {
    const out: Buffer[] = [];
    // Sought by the engine: a loop over the bytes takes ten times as long.
    const ahead = longestFirst.map((needle) => ({ ...needle, next: buffer.indexOf(needle.bytes) }));
    let at = 0;
    let end = isLast ? buffer.length : openEnd(buffer, 0);
    for (;;) {
      let found: (typeof ahead)[number] | undefined;
      for (const candidate of ahead) {
        if (candidate.next !== -1 && candidate.next < at)
          candidate.next = buffer.indexOf(candidate.bytes, at);
        if (candidate.next !== -1 && candidate.next < (found?.next ?? end)) found = candidate;
      }
      if (!found) break;
      out.push(buffer.subarray(at, found.next), found.original);
      at = found.next + found.bytes.length;
      if (at > end) end = openEnd(buffer, at);
    }
    out.push(buffer.subarray(at, end));
    return { done: out.length === 1 ? out[0]! : Buffer.concat(out), rest: buffer.subarray(end) };
  }

  const whole = (buffer: Buffer): Buffer => (needles.size === 0 ? buffer : scan(buffer, true).done);
  return {
    isActive: () => needles.size > 0,
    hideSecret(secret, handle) {
      hide(secret, handle);
      for (const coding of ["base64", "base64url"] as const) {
        const text = Buffer.from(secret).toString(coding);
        hide(text, handle);
        hide(text.replace(/=+$/, ""), handle);
      }
    },
    hide,
    text: (value) => (needles.size === 0 ? value : whole(Buffer.from(value)).toString()),
    header: (value) => (needles.size === 0 ? value : whole(Buffer.from(value, "latin1")).toString("latin1")),
    bytes: (value) => whole(Buffer.from(value.buffer, value.byteOffset, value.byteLength)),
    async *stream(pieces) {
      let rest: Buffer = Buffer.alloc(0);
      for await (const piece of pieces) {
        if (needles.size === 0) {
          yield piece;
          continue;
        }
        const view = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
        const scanned = scan(rest.length === 0 ? view : Buffer.concat([rest, view]), false);
        rest = scanned.rest;
        if (scanned.done.length > 0) yield scanned.done;
      }
      if (rest.length > 0) yield scan(rest, true).done;
    },
  };
}

function writtenForms(text: string): Set<string> {
  const encoded = encodeURIComponent(text);
  const lower = (value: string): string => value.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  const inPath = encodeSegment(text);
  const inForm = String(new URLSearchParams([["", text]])).slice(1);
  const inJson = JSON.stringify(text).slice(1, -1);
  const inHtml = text.replaceAll(/[&<>"']/g, (character) => htmlNames[character] ?? character);
  return new Set([
    text,
    ...[encoded, inPath, inForm].flatMap((form) => [form, lower(form)]),
    inJson,
    inJson.replaceAll("/", String.raw`\/`),
    inHtml,
  ]);
}

const htmlNames: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** For a segment of a path: what RFC 3986 lets stand there does, as servers compare `/bot1:a/` without decoding it. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:3A|40|24|26|2B|2C|3B|3D)/g, (code) =>
    decodeURIComponent(code),
  );
}

/** What may be told of a failure: its cause can hold the bytes that were sent or received. */
export function maskError(error: unknown, mask: Mask, signal: AbortSignal | undefined): unknown {
  if (!mask.isActive() || !(error instanceof Error) || (signal?.aborted && error === signal.reason))
    return error;
  if (!isRclawError(error)) {
    return new RclawError("UNAVAILABLE", `the request failed: ${mask.text(error.message)}`);
  }
  const { code, message, retryable, details } = error;
  return new RclawError(code, mask.text(message), {
    retryable,
    ...(details && { details: JSON.parse(mask.text(JSON.stringify(details))) as Record<string, unknown> }),
  });
}
