import { types } from "node:util";
import { RclawError } from "@rclaw/plugin-sdk";

/** What a guest hands over is judged before anything of rclaw looks into it. */

export interface ValueLimits {
  readonly maxBytes: number;
  /** Levels of nesting. Default 64. */
  readonly maxDepth?: number;
}

/** With these a value that is merged into another one reaches what all objects have in common. */
const isPoisonous = (key: string): boolean =>
  key === "__proto__" || key === "constructor" || key === "prototype";

/** A place in memory, for whatever has no length of its own. */
const wordBytes = 8;

function refuse(
  reason: string,
  cause?: unknown,
  code: "PLUGIN_FAILED" | "TOO_LARGE" = "PLUGIN_FAILED",
): never {
  throw new RclawError(code, reason, { cause });
}

const tooLarge = (maxBytes: number): never =>
  refuse(
    `what the plugin handed over is larger than ${maxBytes} bytes. Hand over less at once`,
    undefined,
    "TOO_LARGE",
  );

const tooDeep = (maxDepth: number): never =>
  refuse(`what the plugin handed over is nested deeper than ${maxDepth} levels. Make it flatter`);

/** Removes what could change all objects, on every level of a value that `JSON.parse` made. */
function clean(value: unknown, depth: number, maxDepth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth >= maxDepth) tooDeep(maxDepth);
  if (Array.isArray(value)) {
    for (const item of value) clean(item, depth + 1, maxDepth);
    return;
  }
  const members = value as Record<string, unknown>;
  for (const key of Object.keys(members)) {
    if (isPoisonous(key)) Reflect.deleteProperty(members, key);
    else clean(members[key], depth + 1, maxDepth);
  }
}

/**
 * The value of a JSON text from a guest, without keys that could change all objects. Throws TOO_LARGE above
 * `maxBytes`, PLUGIN_FAILED for what is no JSON or nested too deeply.
 */
export function parseGuestJson(text: string, { maxBytes, maxDepth = 64 }: ValueLimits): unknown {
  if (text.length > maxBytes || Buffer.byteLength(text) > maxBytes) tooLarge(maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The parser's message quotes the text, which may hold what nobody else should read.
    refuse("what the plugin handed over is no JSON", error);
  }
  clean(value, 0, maxDepth);
  return value;
}

/**
 * Checks a value that a worker thread sent: plain data and bytes only, not too large, not too deep. Drops the same keys
 * as `parseGuestJson`. A value that stands in several places counts several times, as it would in JSON.
 */
export function checkGuestValue(value: unknown, { maxBytes, maxDepth = 64 }: ValueLimits): void {
  let left = maxBytes;
  const spend = (bytes: number): void => {
    left -= bytes;
    if (left < 0) tooLarge(maxBytes);
  };
  const check = (item: unknown, depth: number): void => {
    if (typeof item === "string") return spend(Buffer.byteLength(item));
    spend(wordBytes);
    if (item === null || item === undefined) return;
    if (typeof item === "number" || typeof item === "boolean") return;
    if (types.isUint8Array(item)) {
      // A small view may come with a large buffer, and both are kept.
      if (types.isSharedArrayBuffer(item.buffer)) refuseKind("shared memory");
      return spend(item.buffer.byteLength);
    }
    if (typeof item !== "object") return refuseKind(typeof item);
    if (depth >= maxDepth) tooDeep(maxDepth);
    for (const child of childrenOf(item, spend)) check(child, depth + 1);
  };
  check(value, 0);
}

const isIndex = (key: string, length: number): boolean => {
  const index = Number(key) >>> 0;
  return index < length && String(index) === key;
};

function childrenOf(item: object, spend: (bytes: number) => void): readonly unknown[] {
  if (Array.isArray(item)) {
    // Paid before it is walked: an array with a length and nothing in it costs its sender nothing.
    spend(item.length * wordBytes);
    // Indexes come first among the keys, so the last one tells whether there are others.
    const last = Object.keys(item).at(-1);
    if (last !== undefined && !isIndex(last, item.length)) refuseKind("an array with names");
    return Array.from(item as unknown[]);
  }
  const prototype: unknown = Object.getPrototypeOf(item);
  if (prototype !== Object.prototype && prototype !== null) {
    refuseKind(Object.prototype.toString.call(item).slice(8, -1));
  }
  const members = item as Record<string, unknown>;
  return Object.keys(members).map((key) => {
    spend(Buffer.byteLength(key));
    if (!isPoisonous(key)) return members[key];
    Reflect.deleteProperty(members, key);
    return undefined;
  });
}

const refuseKind = (kind: string): never =>
  refuse(
    `what the plugin handed over is not plain data: it holds ${kind}. Hand over what JSON can say, or bytes`,
  );
