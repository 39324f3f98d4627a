import type { CommandContext } from "@rclaw/plugin-sdk";

// Escape sequences in a title, a tool's output or an answer could move the cursor, rewrite what
// stands above, or set the clipboard; hidden characters make text read differently from what it is.
const unprintable =
  /(?![\t\n])[\p{Cc}\p{Zl}\p{Zp}\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

/** Text from elsewhere as a terminal may have it: what would act on the terminal is spelled out. */
export const printable = (text: string): string =>
  text
    .replaceAll("\r\n", "\n")
    .replaceAll(unprintable, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);

/** The same, on one line and no longer than `width`. */
export function oneLine(text: string, width: number): string {
  const line = printable(text.replaceAll(/\s+/g, " ").trim());
  const characters = Array.from(line);
  return characters.length <= width ? line : `${characters.slice(0, width - 1).join("")}…`;
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Colour = keyof typeof codes;

/** Colours text when the person wants colours. */
export const painter =
  ({ colour }: Pick<CommandContext, "colour">) =>
  (tint: Colour, text: string): string =>
    colour ? `\u001b[${codes[tint]}m${text}\u001b[0m` : text;

export function printJson({ out }: Pick<CommandContext, "out">, value: unknown): void {
  out(`${JSON.stringify(value, null, 2)}\n`);
}

const wide = /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]/u;
const columns = (text: string): number =>
  Array.from(text).reduce((sum, character) => sum + (wide.test(character) ? 2 : 1), 0);

export interface Cell {
  readonly text: string;
  readonly tint?: Colour;
}

/** Rows under headings, columns as wide as they need; the last one is not padded. */
export function table(
  context: Pick<CommandContext, "colour" | "width">,
  headings: readonly string[],
  body: readonly (readonly (string | Cell)[])[],
): string {
  const paint = painter(context);
  const head = headings.map((heading): Cell => ({ text: heading, tint: "dim" }));
  const lines = [
    head,
    ...body.map((row) => row.map((cell) => (typeof cell === "string" ? { text: cell } : cell))),
  ].map((row) => row.map((cell) => ({ ...cell, text: oneLine(cell.text, context.width ?? 1_000) })));
  const widths = headings.map((_, column) =>
    Math.max(...lines.map((row) => columns(row[column]?.text ?? ""))),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const left = Math.max(20, (context.width ?? Number.POSITIVE_INFINITY) - before);
  return lines
    .map((row) =>
      row
        .map(({ text, tint }, column) => {
          const isLast = column === row.length - 1;
          const words = isLast ? oneLine(text, left) : text;
          const shown = tint ? paint(tint, words) : words;
          return isLast ? shown : shown + " ".repeat((widths[column] ?? 0) - columns(text) + 2);
        })
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** `Label   value` lines, labels aligned. */
export function facts(
  context: Pick<CommandContext, "colour">,
  pairs: readonly (readonly [string, string])[],
): string {
  const width = Math.max(0, ...pairs.map(([label]) => label.length));
  const paint = painter(context);
  return pairs
    .map(([label, value]) => `${paint("dim", label.padEnd(width))}  ${printable(value)}\n`)
    .join("");
}

/** How long ago, in the largest unit that is at least one. */
export function ago(then: number | undefined, now = Date.now()): string {
  if (then === undefined || then <= 0) return "never";
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
