import { RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";

/** A value's place in a JSON5 text. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** One `key: value` of an object, or one element of an array. */
export interface Entry extends Span {
  readonly key: string | number;
  readonly value: Node;
  /** Where its comma stands, if it has one. */
  comma: number | undefined;
}

export interface Node extends Span {
  readonly kind: "object" | "array" | "string" | "other";
  readonly entries: readonly Entry[];
}

export interface Comment extends Span {
  /** Ends with its line, so nothing may be put behind it. */
  readonly isLine: boolean;
}

export interface Document {
  readonly root: Node;
  readonly comments: readonly Comment[];
}

export const maxDepth = 64;

/**
 * Where everything stands in a JSON5 text. json5 has read the text before and says
 * what it means; this only finds the places, so it may take correct syntax for granted.
 */
export function scan(text: string): Document {
  const comments: Comment[] = [];
  let at = 0;

  const skip = (pattern: RegExp): void => {
    pattern.lastIndex = at;
    pattern.exec(text);
    at = Math.max(at, pattern.lastIndex);
  };
  const trivia = (): void => {
    for (;;) {
      skip(/\s*/y);
      if (text[at] !== "/") return;
      const start = at;
      const isLine = text[at + 1] === "/";
      skip(isLine ? /\/\/[^\n\r\u2028\u2029]*/y : /\/\*[^]*?\*\//y);
      comments.push({ start, end: at, isLine });
    }
  };
  const string = (): void => {
    const quote = text[at++];
    while (at < text.length && text[at] !== quote) at += text[at] === "\\" ? 2 : 1;
    at++;
  };
  const key = (): string => {
    const start = at;
    if (text[at] === '"' || text[at] === "'") string();
    else skip(/[^\s:/]+/y);
    return decodeKey(text.slice(start, at));
  };

  const value = (depth: number): Node => {
    if (depth > maxDepth) {
      throw new RclawError(
        "CONFIG_INVALID",
        `the configuration is nested deeper than ${maxDepth} levels; flatten it`,
      );
    }
    const start = at;
    switch (text[at]) {
      case "{":
        return { kind: "object", start, entries: entries("}", depth), end: at };
      case "[":
        return { kind: "array", start, entries: entries("]", depth), end: at };
      case '"':
      case "'":
        string();
        return { kind: "string", start, end: at, entries: [] };
      default:
        skip(/[^\s,\]}/]+/y);
        return { kind: "other", start, end: at, entries: [] };
    }
  };
  const entries = (close: string, depth: number): Entry[] => {
    const found: Entry[] = [];
    at++;
    for (trivia(); at < text.length && text[at] !== close; trivia()) {
      if (text[at] === ",") {
        const last = found.at(-1);
        if (last) last.comma = at;
        at++;
        continue;
      }
      const start = at;
      let name: string | number = found.length;
      if (close === "}") {
        name = key();
        trivia();
        at++;
        trivia();
      }
      const item = value(depth + 1);
      found.push({ key: name, start, end: item.end, value: item, comma: undefined });
    }
    at++;
    return found;
  };

  trivia();
  const root = value(1);
  trivia();
  return { root, comments };
}

/** json5's reading of a key: quoted, or an identifier that may hold `\u` escapes. */
function decodeKey(source: string): string {
  if (!/["'\\]/.test(source)) return source;
  return Object.keys(json5.parse<object>(`{${source}:0}`))[0] ?? source;
}

/** The entry that counts: json5 takes the last of several equal keys. */
export function entryOf(node: Node, key: string | number): Entry | undefined {
  return node.entries.findLast((entry) => entry.key === key);
}
