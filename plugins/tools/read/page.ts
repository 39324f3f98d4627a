const maxLines = 2000;
const maxBytes = 50 * 1024;

export interface Wanted {
  readonly offset?: number | undefined;
  readonly limit?: number | undefined;
}

/** One page of a text with a line that says how to get the next one. */
export function pageOf(text: string, { offset = 1, limit = maxLines }: Wanted): string {
  const lines = linesOf(text);
  if (offset > lines.length) return pastTheEnd(offset, lines.length);
  return page(lines.slice(offset - 1), { offset, limit, total: lines.length });
}

/**
 * The same for a file that is too large to hold: it is read piece by piece up to the page.
 * `read` gives the bytes from a position on, and none at the end.
 */
export async function pageOfLarge(
  read: (from: number) => Promise<Uint8Array>,
  { offset = 1, limit = maxLines }: Wanted,
): Promise<string> {
  const newline = 0x0a;
  const pieces: Uint8Array[] = [];
  let [line, from, size, last] = [1, 0, 0, newline];
  let ended = false;
  while (size <= maxBytes) {
    const bytes = await read(from);
    ended = bytes.length === 0;
    if (ended) break;
    from += bytes.length;
    last = bytes.at(-1) ?? newline;
    let start = 0;
    while (line < offset && start < bytes.length) {
      const at = bytes.indexOf(newline, start);
      if (at !== -1) line += 1;
      start = at === -1 ? bytes.length : at + 1;
    }
    if (line < offset || start === bytes.length) continue;
    pieces.push(bytes.subarray(start));
    size += bytes.length - start;
  }
  if (size === 0) return pastTheEnd(offset, last === newline ? line - 1 : line);
  const lines = linesOf(new TextDecoder().decode(Buffer.concat(pieces)));
  if (ended) return page(lines, { offset, limit, total: offset - 1 + lines.length });
  // The last line may go on in what was not read.
  return page(lines.length > 1 ? lines.slice(0, -1) : lines, { offset, limit, total: undefined });
}

/** The newline that ends the last line does not begin another one. */
function linesOf(text: string): readonly string[] {
  const lines = text.split("\n");
  return lines.length > 1 && lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

interface Place {
  readonly offset: number;
  readonly limit: number;
  /** Lines of the file; undefined when nobody counted them. */
  readonly total: number | undefined;
}

/** `lines` begin at the line `offset` of the file. */
function page(lines: readonly string[], { offset, limit, total }: Place): string {
  const { taken, cut } = fit(lines.slice(0, Math.min(limit, maxLines)));
  const end = offset - 1 + taken.length;
  const more = total === undefined || end < total ? ` Continue with offset ${end + 1}.` : "";
  const text = taken.join("\n");
  if (cut) return `${text}\n[Line ${end} is longer than ${maxBytes / 1024} KB and was cut.${more}]`;
  const shown = /^\n*$/.test(text) ? `[${counted(taken.length, "empty line")}.]` : text;
  if (offset === 1 && more === "") return shown;
  return `${shown}\n[Lines ${offset}-${end} of ${total ?? "a very long file"}.${more}]`;
}

function pastTheEnd(offset: number, total: number): string {
  return `[Line ${offset} is past the end: the file has ${counted(total, "line")}.]`;
}

/** As many whole lines as fit; a first line that is too long alone is cut. */
function fit(lines: readonly string[]): { taken: readonly string[]; cut: boolean } {
  let bytes = 0;
  for (const [index, line] of lines.entries()) {
    bytes += Buffer.byteLength(line) + 1;
    if (bytes <= maxBytes + 1) continue;
    if (index > 0) return { taken: lines.slice(0, index), cut: false };
    return {
      taken: [
        Buffer.from(line)
          .subarray(0, maxBytes)
          .toString()
          .replace(/\uFFFD+$/, ""),
      ],
      cut: true,
    };
  }
  return { taken: lines, cut: false };
}

export const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? "" : "s"}`;
