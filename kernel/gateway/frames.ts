import { wire } from "@rclaw/plugin-sdk/settled";
import type { Static } from "typebox";
import type { ProtocolError } from "../errors.ts";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { requestFrame } from "./frames.schema.ts";

export type RequestFrame = Static<typeof requestFrame>;

/**
 * What a message turned out to be. `bad` is JSON that is no request and is answered
 * with an error; `garbage` is not JSON at all.
 */
export type Parsed =
  | { readonly kind: "request"; readonly frame: RequestFrame }
  | { readonly kind: "bad"; readonly id: string; readonly message: string }
  | { readonly kind: "garbage" };

const request = compile(requestFrame);
const garbage: Parsed = { kind: "garbage" };
const maxDepth = 256;

export function parseFrame(text: string): Parsed {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return garbage;
  }
  const objection = unsafe(text, value);
  if (objection) return { kind: "bad", id: idOf(value), message: `invalid request frame: ${objection}` };
  if (request.valid(value)) return { kind: "request", frame: value as RequestFrame };
  return {
    kind: "bad",
    id: idOf(value),
    message: `invalid request frame: ${describeIssues(request.issues(value))}`,
  };
}

/** The frame's own id where it has a usable one, so that the client can tell which request failed. */
function idOf(value: unknown): string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "invalid";
  const id: unknown = Object.hasOwn(value, "id") ? (value as { id: unknown }).id : undefined;
  return typeof id === "string" && id.length > 0 && id.length <= 256 ? id : "invalid";
}

/**
 * Keys that reach `Object.prototype` once somebody merges them, and nesting that
 * overflows the stack of whoever recurses into it. JSON.parse itself accepts both, so
 * they are refused here, for every method. Short texts without a suspicious word
 * cannot hold either and skip the walk.
 */
function unsafe(text: string, root: unknown): string | undefined {
  const suspicious =
    text.length > 2 * maxDepth ||
    text.includes("__proto__") ||
    text.includes("prototype") ||
    text.includes("\\u");
  if (!suspicious) return undefined;
  const stack: { value: object; path: string; depth: number }[] = [];
  const push = (value: unknown, path: string, depth: number): void => {
    if (typeof value === "object" && value !== null) stack.push({ value, path, depth });
  };
  push(root, "", 0);
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { value, path, depth } = top;
    if (depth > maxDepth) return `nested deeper than ${maxDepth} levels`;
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) push(value[i], path, depth + 1);
      continue;
    }
    for (const key of Object.keys(value)) {
      const child = (value as Record<string, unknown>)[key];
      const isObject = typeof child === "object" && child !== null;
      if (key === "__proto__" || (key === "constructor" && isObject && Object.hasOwn(child, "prototype"))) {
        return `at ${path || "root"}: unexpected property '${key}'`;
      }
      // Paths are only worth their memory near the root; deeper ones name the part they are in.
      if (isObject) push(child, depth < 4 ? `${path}/${key.slice(0, 64)}` : path, depth + 1);
    }
  }
  return undefined;
}

/** JSON of a value, from the mark of `settled` where there is one. */
export function toJson(value: unknown): string {
  if (typeof value === "object" && value !== null && wire in value) return value[wire] as string;
  // undefined and functions have no JSON; the protocol's word for nothing is null.
  return JSON.stringify(value) ?? "null";
}

export function okFrame(id: string, payload: unknown): string {
  return `{"type":"res","id":${JSON.stringify(id)},"ok":true,"payload":${toJson(payload)}}`;
}

/** A message may quote what it refuses, and that may be of any length. */
const maxMessage = 2_000;

export function errorFrame(id: string, { payload, ...error }: ProtocolError): string {
  const told = payload === undefined ? "" : `"payload":${toJson(payload)},`;
  const { length } = error.message;
  const message = length > maxMessage ? `${error.message.slice(0, maxMessage - 1)}…` : error.message;
  return `{"type":"res","id":${JSON.stringify(id)},"ok":false,${told}"error":${JSON.stringify({ ...error, message })}}`;
}

export interface StateVersion {
  readonly presence: number;
  readonly health: number;
}

/** An event up to where the sequence number goes: it stands last, so that one prefix serves every receiver. */
export function eventPrefix(event: string, payload: unknown, stateVersion?: StateVersion): string {
  const versions = stateVersion ? `,"stateVersion":${JSON.stringify(stateVersion)}` : "";
  return `{"type":"event","event":${JSON.stringify(event)},"payload":${toJson(payload)}${versions}`;
}

/**
 * A whole text message as the bytes of one WebSocket frame: final, unmasked and
 * uncompressed, as a server sends. Building it here lets 10,000 sockets share one buffer.
 */
export function wsFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(head + length);
  frame[0] = 0x81;
  if (head === 2) {
    frame[1] = length;
  } else if (head === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(0, 2);
    frame.writeUInt32BE(length, 6);
  }
  frame.write(text, head, "utf8");
  return frame;
}

/** An empty ping, unmasked. */
export const pingFrame = Buffer.from([0x89, 0x00]);
