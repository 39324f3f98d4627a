/**
 * Puts in place what every author takes for granted and the engine of a component lacks or cannot do here.
 * It is the first module of a guest: what comes after it finds a complete world.
 */
import {
  GuestAbortController,
  GuestAbortSignal,
  GuestEvent,
  GuestEventTarget,
  reportListenersTo,
} from "./abort.ts";
import { GuestRequest, GuestResponse } from "./body.ts";
import { cloneData } from "./clone.ts";
import { clock } from "./clock.ts";
import { GuestHeaders } from "./headers.ts";
import { log } from "./outbox.ts";
import { GuestPromise, queueJob } from "./promise.ts";
import { GuestReadableStream } from "./stream.ts";
import { GuestTextDecoder, GuestTextEncoder } from "./text.ts";
import { clearGuestTimer, setGuestInterval, setGuestTimeout } from "./timers.ts";
import { GuestURL } from "./url.ts";
import { GuestURLSearchParams } from "./url-search-params.ts";

function define(target: object, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values))
    Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

const words = (parts: readonly unknown[]): string =>
  parts
    .map((part) => {
      if (typeof part === "string") return part;
      if (part instanceof Error) return describe(part);
      try {
        return JSON.stringify(part) ?? String(part);
      } catch {
        return String(part);
      }
    })
    .join(" ");

/** An error with the place it came from, for the log. */
export const describe = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}`.trimEnd() : words([error]);

const line =
  (level: "debug" | "info" | "warn" | "error") =>
  (...parts: unknown[]): void =>
    log(level, words(parts));

const NativeDate = Date;
/** The engine asks WASI for the time, which is not there. */
function GuestDate(this: unknown, ...args: unknown[]): unknown {
  if (new.target === undefined) return new NativeDate(clock.nowMs()).toString();
  return Reflect.construct(NativeDate, args.length > 0 ? args : [clock.nowMs()], new.target);
}
GuestDate.prototype = NativeDate.prototype;
define(GuestDate, { now: () => Math.floor(clock.nowMs()), UTC: NativeDate.UTC, parse: NativeDate.parse });

let chance: DataView = new DataView(new ArrayBuffer(0));
let used = 0;
/** Every copy of a component would begin with the same numbers otherwise. */
function random(): number {
  if (used + 8 > chance.byteLength) {
    const bytes = clock.randomBytes(512);
    chance = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    used = 0;
  }
  const high = chance.getUint32(used) >>> 5;
  const low = chance.getUint32(used + 4) >>> 6;
  used += 8;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

const crypto = {
  getRandomValues<View extends ArrayBufferView>(view: View): View {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (bytes.length > 65_536)
      throw new DOMException("at most 65,536 random bytes can be had at once", "QuotaExceededError");
    bytes.set(clock.randomBytes(bytes.length));
    return view;
  },
  randomUUID(): string {
    const bytes = clock.randomBytes(16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  },
};

async function fromAsync(
  items: AsyncIterable<unknown> | Iterable<unknown> | ArrayLike<unknown>,
  map?: (value: unknown, index: number) => unknown,
): Promise<unknown[]> {
  const whole: unknown[] = [];
  const source = Symbol.asyncIterator in items || Symbol.iterator in items ? items : Array.from(items);
  for await (const item of source) whole.push(map ? await map(item, whole.length) : item);
  return whole;
}

function named(names: Readonly<Record<string, new (...args: never[]) => unknown>>): void {
  for (const [name, value] of Object.entries(names))
    Object.defineProperty(value, "name", { value: name, configurable: true });
  define(globalThis, names);
}

named({
  Promise: GuestPromise,
  Date: GuestDate as unknown as new () => unknown,
  TextEncoder: GuestTextEncoder,
  TextDecoder: GuestTextDecoder,
  URL: GuestURL,
  URLSearchParams: GuestURLSearchParams,
  Event: GuestEvent,
  EventTarget: GuestEventTarget,
  AbortController: GuestAbortController,
  AbortSignal: GuestAbortSignal,
  Headers: GuestHeaders,
  Request: GuestRequest,
  Response: GuestResponse,
  ReadableStream: GuestReadableStream,
});
define(NativeDate.prototype, { constructor: GuestDate });
define(Math, { random });
define(Array, { fromAsync });
define(globalThis, {
  self: globalThis,
  crypto,
  performance: { now: () => clock.monotonicMs(), timeOrigin: 0 },
  console: {
    debug: line("debug"),
    trace: line("debug"),
    log: line("info"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  },
  queueMicrotask: queueJob,
  setTimeout: setGuestTimeout,
  setInterval: setGuestInterval,
  setImmediate: (callback: () => unknown, ...args: unknown[]) => setGuestTimeout(callback, 0, ...args),
  clearTimeout: clearGuestTimer,
  clearInterval: clearGuestTimer,
  clearImmediate: clearGuestTimer,
  structuredClone: cloneData,
  // It would make promises that this guest's loop does not know.
  AsyncDisposableStack: undefined,
});
reportListenersTo((error) => log("error", `a listener failed: ${describe(error)}`));
