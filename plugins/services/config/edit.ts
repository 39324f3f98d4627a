import { isDeepStrictEqual } from "node:util";
import { RclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import {
  blanksAt,
  hasBreak,
  indentAt,
  isFirstOnLine,
  lineStart,
  print,
  printKey,
  type Style,
  styleOf,
} from "./print.ts";
import { type Comment, type Document, type Entry, entryOf, type Node, scan } from "./syntax.ts";
import { dotted, forbiddenKeys, isObject, valueIn } from "./values.ts";

type Path = readonly (string | number)[];

/** Every edit reads the text anew; a list of thousands is written as a whole instead. */
const maxEdits = 100;

/**
 * Puts a value at a path of a JSON5 text and leaves the rest as people wrote it:
 * comments, order, quotes, indentation. `undefined` removes. Missing parents are
 * made. An object or array that is already there is changed in place, item by item.
 */
export function setIn(text: string, path: Path, value: unknown): string {
  refuseUnsafe(path, value);
  const source = text.trim() === "" ? "{}\n" : text;
  const before = parse(source);
  const wanted = intended(before, path, plain(value), []);
  const removed = removedElement(before, path, value);
  const result = removed
    ? remove(source, removed.slice(0, -1), removed.at(-1) ?? 0)
    : reconcile(source, [], before, wanted);
  if (!isDeepStrictEqual(json5.parse(result), wanted)) {
    throw new Error(
      `editing the configuration at "${dotted(path)}" would have changed more than asked; nothing was written`,
    );
  }
  return result;
}

/** Among equal elements only the place says which one goes, and with it the comment beside it. */
function removedElement(root: unknown, path: Path, value: unknown): Path | undefined {
  const place = path.map((key, at) => (Array.isArray(valueIn(root, path.slice(0, at))) ? Number(key) : key));
  const list = valueIn(root, path.slice(0, -1));
  const isThere = Array.isArray(list) && Number(path.at(-1)) < list.length;
  return value === undefined && isThere ? place : undefined;
}

function parse(text: string): unknown {
  try {
    return json5.parse<unknown>(text);
  } catch (cause) {
    throw new RclawError(
      "CONFIG_INVALID",
      `the configuration file cannot be edited, because it is not valid JSON5 (${(cause as Error).message}); correct it by hand first`,
      { cause },
    );
  }
}

function refuseUnsafe(path: Path, value: unknown): void {
  const unsafe = path.find((key) => typeof key === "string" && forbiddenKeys.has(key));
  if (unsafe !== undefined) refuse(path, `the key "${unsafe}" is not allowed`);
  if (Array.isArray(value)) value.forEach((item, index) => refuseUnsafe([...path, index], item));
  else if (isObject(value))
    for (const [key, item] of Object.entries(value)) refuseUnsafe([...path, key], item);
}

function refuse(path: Path, reason: string): never {
  throw new RclawError("INVALID_REQUEST", `cannot set "${dotted(path)}": ${reason}`, {
    details: { path: dotted(path) },
  });
}

/** The value as a file can hold it: no undefined members, no shared parts. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => (item === undefined ? null : plain(item)));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, plain(item)]])),
  );
}

/** The document after the edit, as a value: what the text is held against. */
function intended(current: unknown, path: Path, value: unknown, done: Path): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value === undefined ? {} : value;
  const here = [...done, key];
  if (Array.isArray(current)) {
    const index = typeof key === "number" ? key : /^(?:0|[1-9]\d*)$/.test(key) ? Number(key) : -1;
    if (index < 0 || index > current.length) refuse(here, `the list has ${current.length} elements`);
    if (value === undefined && (index === current.length || rest.length === 0))
      return current.toSpliced(index, 1);
    return current.toSpliced(index, 1, intended(current[index], rest, value, here));
  }
  if (current === undefined) {
    if (value === undefined) return undefined;
    if (typeof key === "number" && key > 0) refuse(here, "the list has 0 elements");
    return typeof key === "number"
      ? [intended(undefined, rest, value, here)]
      : { [key]: intended(undefined, rest, value, here) };
  }
  if (!isObject(current))
    refuse(
      here,
      `"${dotted(done)}" is ${current === null ? "null" : `a ${typeof current}`}; remove it first`,
    );
  const name = String(key);
  const { [name]: child, ...others } = current;
  const next = value === undefined && rest.length === 0 ? undefined : intended(child, rest, value, here);
  return next === undefined ? others : { ...current, [name]: next };
}

/** Turns the text's value into the wanted one with the smallest edits, one at a time. */
function reconcile(text: string, path: Path, before: unknown, wanted: unknown): string {
  if (isDeepStrictEqual(before, wanted)) return text;
  if (isObject(before) && isObject(wanted)) return reconcileObject(text, path, before, wanted);
  if (Array.isArray(before) && Array.isArray(wanted)) return reconcileArray(text, path, before, wanted);
  return replaceValue(text, path, wanted);
}

function reconcileObject(
  text: string,
  path: Path,
  before: Record<string, unknown>,
  wanted: Record<string, unknown>,
): string {
  const keys = new Set([...Object.keys(before), ...Object.keys(wanted)]);
  const isOther = (key: string): boolean => !isDeepStrictEqual(before[key], wanted[key]);
  if ([...keys].filter(isOther).length > maxEdits) return replaceValue(text, path, wanted);
  let result = text;
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(wanted, key)) result = remove(result, path, key);
  }
  for (const [key, value] of Object.entries(wanted)) {
    result = Object.hasOwn(before, key)
      ? reconcile(result, [...path, key], before[key], value)
      : insert(
          result,
          path,
          Number.POSITIVE_INFINITY,
          (style, indent) => `${printKey(key, style)}: ${print(value, style, indent)}`,
        );
  }
  return result;
}

/** Equal heads and tails stay, so that a comment keeps standing beside its element. */
function reconcileArray(
  text: string,
  path: Path,
  before: readonly unknown[],
  wanted: readonly unknown[],
): string {
  const shorter = Math.min(before.length, wanted.length);
  let head = 0;
  while (head < shorter && isDeepStrictEqual(before[head], wanted[head])) head++;
  let tail = 0;
  while (tail < shorter - head && isDeepStrictEqual(before.at(-1 - tail), wanted.at(-1 - tail))) tail++;
  if (Math.max(before.length, wanted.length) - head - tail > maxEdits)
    return replaceValue(text, path, wanted);
  let result = text;
  const changed = Math.min(before.length, wanted.length) - tail;
  for (let i = head; i < changed; i++) result = reconcile(result, [...path, i], before[i], wanted[i]);
  for (let i = before.length - tail - 1; i >= changed; i--) result = remove(result, path, i);
  for (let i = changed; i < wanted.length - tail; i++) {
    result = insert(result, path, i, (style, indent) => print(wanted[i], style, indent));
  }
  return result;
}

function locate(document: Document, path: Path): Entry | { value: Node; start: number } {
  let found: Entry | { value: Node; start: number } = { value: document.root, start: document.root.start };
  for (const key of path) {
    const entry = entryOf(found.value, key);
    if (!entry) throw new Error(`no entry at "${dotted(path)}"`);
    found = entry;
  }
  return found;
}

function replaceValue(text: string, path: Path, value: unknown): string {
  const document = scan(text);
  const { value: node, start } = locate(document, path);
  const indent = isFirstOnLine(text, start) ? indentAt(text, start) : undefined;
  const printed = print(value, styleOf(text, document), indent);
  return splice(text, [node.start, node.end, printed]);
}

/** Applies replacements given as [start, end, text], last first, so that offsets stay true. */
function splice(text: string, ...edits: readonly [number, number, string][]): string {
  return [...edits]
    .sort((a, b) => b[0] - a[0])
    .reduce((result, [start, end, by]) => result.slice(0, start) + by + result.slice(end), text);
}

type Printer = (style: Style, indent: string | undefined) => string;

function insert(text: string, path: Path, index: number, printer: Printer): string {
  const document = scan(text);
  const { value: node, start } = locate(document, path);
  const style = styleOf(text, document);
  const next = node.entries[index];
  if (next) return insertBefore(text, node, next, style, printer);
  const last = node.entries.at(-1);
  return last
    ? insertAfter(text, document, node, last, style, printer)
    : insertFirst(text, node, path.length === 0 ? undefined : start, style, printer);
}

function insertBefore(text: string, node: Node, next: Entry, style: Style, printer: Printer): string {
  const indent = startsLine(text, node, next) ? indentAt(text, next.start) : undefined;
  return splice(text, [
    next.start,
    next.start,
    `${printer(style, indent)},${indent === undefined ? " " : style.eol + indent}`,
  ]);
}

/** Whether an entry stands on another line than what is before it. */
function startsLine(text: string, node: Node, entry: Entry): boolean {
  return lineStart(text, entry.start) > node.start;
}

function insertAfter(
  text: string,
  { comments }: Document,
  node: Node,
  last: Entry,
  style: Style,
  printer: Printer,
): string {
  // A comment behind the last entry on its line belongs to it.
  const from = last.comma === undefined ? last.end : last.comma + 1;
  const { end: at, closed } = restOfLine(text, comments, from);
  const indent = startsLine(text, node, last) || closed ? indentAt(text, last.start) : undefined;
  const lead = indent === undefined ? " " : style.eol + indent;
  const added = `${lead}${printer(style, indent)}${last.comma === undefined ? "" : ","}`;
  if (last.comma !== undefined) return splice(text, [at, at, added]);
  // Both edits may fall on the same spot; then the comma comes first.
  return at === last.end
    ? splice(text, [at, at, `,${added}`])
    : splice(text, [last.end, last.end, ","], [at, at, added]);
}

/** `start` is where the entry begins whose empty value this is; undefined for the whole document. */
function insertFirst(
  text: string,
  node: Node,
  start: number | undefined,
  style: Style,
  printer: Printer,
): string {
  const inside = text.slice(node.start + 1, node.end - 1);
  const ownLine = start === undefined || lineStart(text, start) > 0;
  const isBlock = hasBreak(inside) || (inside === "" && ownLine && isFirstOnLine(text, start ?? node.start));
  const at = node.start + 1 + inside.trimEnd().length;
  if (!isBlock) {
    const pad = node.kind === "object" ? " " : "";
    return splice(text, [
      at,
      node.end - 1,
      `${at > node.start + 1 ? " " : pad}${printer(style, undefined)}${pad}`,
    ]);
  }
  const outer = indentAt(text, start ?? node.start);
  const indent = outer + style.unit;
  const comma = style.trailingComma ? "," : "";
  return splice(text, [
    at,
    node.end - 1,
    `${style.eol}${indent}${printer(style, indent)}${comma}${style.eol}${outer}`,
  ]);
}

/** Where the comments that follow on the same line end; `closed` when nothing may follow them there. */
function restOfLine(
  text: string,
  comments: readonly Comment[],
  from: number,
): { end: number; closed: boolean } {
  let end = from;
  for (;;) {
    const at = end + blanksAt(text, end);
    const comment = comments.find((item) => item.start === at);
    if (!comment) return { end, closed: false };
    end = comment.end;
    if (comment.isLine) return { end, closed: true };
  }
}

function remove(text: string, path: Path, key: string | number): string {
  let result = text;
  // json5 takes the last of equal keys; removing only that one would bring an earlier one back.
  for (;;) {
    const document = scan(result);
    const { value: node } = locate(document, path);
    const entry = entryOf(node, key);
    if (!entry) return result;
    result = removeEntry(result, document, node, entry);
    if (typeof key === "number") return result;
  }
}

function removeEntry(text: string, { comments }: Document, node: Node, entry: Entry): string {
  const previous = node.entries[node.entries.indexOf(entry) - 1];
  // Without a trailing comma of its own, the one before it would become one that nobody wrote.
  const orphan = entry === node.entries.at(-1) && entry.comma === undefined ? previous?.comma : undefined;
  const stop = entry.comma === undefined ? entry.end : entry.comma + 1;
  const behind = restOfLine(text, comments, stop).end;
  const endOfLine = behind + blanksAt(text, behind);
  const after = text.startsWith("\r\n", endOfLine) ? endOfLine + 2 : endOfLine + 1;
  const isLine =
    hasBreak(text.slice(endOfLine, after)) &&
    isFirstOnLine(text, entry.start) &&
    startsLine(text, node, entry);
  const edits: [number, number, string][] = [];
  const isAlone =
    node.entries.length === 1 && !comments.some(({ start }) => start > node.start && start < node.end);
  if (isAlone) return splice(text, [node.start + 1, node.end - 1, ""]);
  if (isLine) {
    edits.push([lineStart(text, entry.start), after, ""]);
    if (orphan !== undefined) edits.push([orphan, orphan + 1, ""]);
  } else if (orphan !== undefined && text.slice(orphan + 1, entry.start).trim() === "") {
    edits.push([orphan, stop, ""]);
  } else {
    edits.push([entry.start, orphan === undefined ? stop + blanksAt(text, stop) : stop, ""]);
    if (orphan !== undefined) edits.push([orphan, orphan + 1, ""]);
  }
  return splice(text, ...edits);
}
