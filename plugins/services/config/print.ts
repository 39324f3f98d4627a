import type { Document, Node } from "./syntax.ts";

/** How a file is written, so that what is added looks like what is there. */
export interface Style {
  readonly unit: string;
  readonly eol: string;
  readonly quote: '"' | "'";
  /** Keys stand without quotes where they can. */
  readonly bareKeys: boolean;
  readonly trailingComma: boolean;
}

const lineBreak = /[\n\r\u2028\u2029]/;

export function styleOf(text: string, { root }: Document): Style {
  const nodes = [...walk(root)];
  const keys = nodes
    .filter((node) => node.kind === "object")
    .flatMap((node) => node.entries.map((entry) => text[entry.start]));
  const string = nodes.find((node) => node.kind === "string");
  const first = root.entries[0];
  const indented = first && hasBreak(text.slice(root.start, first.start)) ? indentAt(text, first.start) : "";
  const quoted =
    keys.find((char) => char === '"' || char === "'") ?? (string ? text[string.start] : undefined);
  const ends = nodes.flatMap((node) => node.entries.slice(-1).map((entry) => entry.comma !== undefined));
  return {
    unit: indented || "  ",
    eol: text.includes("\r\n") ? "\r\n" : "\n",
    quote: quoted === "'" ? "'" : '"',
    bareKeys: keys.length === 0 || keys.some((char) => char !== '"' && char !== "'"),
    trailingComma: ends.some(Boolean) || keys.length === 0,
  };
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const { value } of node.entries) yield* walk(value);
}

export function hasBreak(text: string): boolean {
  return lineBreak.test(text);
}

export function lineStart(text: string, offset: number): number {
  let start = offset;
  while (start > 0 && !lineBreak.test(text[start - 1] ?? "")) start--;
  return start;
}

/** How much white space stands at a place, without going to the next line. */
export function blanksAt(text: string, offset: number): number {
  const blanks = /[^\S\n\r\u2028\u2029]*/y;
  blanks.lastIndex = offset;
  blanks.exec(text);
  return Math.max(0, blanks.lastIndex - offset);
}

export function isFirstOnLine(text: string, offset: number): boolean {
  const start = lineStart(text, offset);
  return start + blanksAt(text, start) >= offset;
}

/** The white space a line begins with. */
export function indentAt(text: string, offset: number): string {
  const start = lineStart(text, offset);
  return text.slice(start, start + blanksAt(text, start));
}

/** A value as JSON5. Without `indent` it stays on one line. */
export function print(value: unknown, style: Style, indent: string | undefined): string {
  if (typeof value === "string") return printString(value, style.quote);
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (Array.isArray(value)) {
    const flat = value.every((item) => typeof item !== "object" || item === null);
    const inline = value.map((item) => print(item, style, undefined)).join(", ");
    if (indent === undefined || value.length === 0 || (flat && inline.length <= 72)) return `[${inline}]`;
    return block(
      "[",
      value.map((item) => print(item, style, indent + style.unit)),
      "]",
      style,
      indent,
    );
  }
  if (typeof value === "object" && value !== null) {
    const inner = indent === undefined ? undefined : indent + style.unit;
    const items = Object.entries(value).flatMap(([key, item]) =>
      item === undefined ? [] : [`${printKey(key, style)}: ${print(item, style, inner)}`],
    );
    if (items.length === 0) return "{}";
    return indent === undefined ? `{ ${items.join(", ")} }` : block("{", items, "}", style, indent);
  }
  return String(value);
}

function block(
  open: string,
  items: readonly string[],
  close: string,
  { eol, unit, trailingComma }: Style,
  indent: string,
): string {
  const lines = items.join(`,${eol}${indent}${unit}`);
  return `${open}${eol}${indent}${unit}${lines}${trailingComma ? "," : ""}${eol}${indent}${close}`;
}

export function printKey(key: string, { bareKeys, quote }: Style): string {
  return bareKeys && /^[A-Za-z_$][\w$]*$/.test(key) ? key : printString(key, quote);
}

export function printString(value: string, quote: '"' | "'"): string {
  // json5 warns on the console about these two when they stand unescaped.
  const json = JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
  if (quote === '"') return json;
  return `'${json.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
}
