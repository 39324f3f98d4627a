const maxLines = 2000;
const maxBytes = 50 * 1024;

/** One page of a text with a line that says how to get the next one. */
export function pageOf(
  text: string,
  { offset = 1, limit = maxLines }: { offset?: number | undefined; limit?: number | undefined },
): string {
  const lines = text.split("\n");
  // The newline that ends the last line does not begin another one.
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  if (offset > lines.length)
    return `[Line ${offset} is past the end: the file has ${counted(lines.length, "line")}.]`;
  const wanted = lines.slice(offset - 1, offset - 1 + Math.min(limit, maxLines));
  const { taken, cut } = fit(wanted);
  const end = offset - 1 + taken.length;
  const page = taken.join("\n");
  if (cut)
    return `${page}\n[Line ${end} is longer than ${maxBytes / 1024} KB and was cut.${more(end, lines.length)}]`;
  if (offset === 1 && end === lines.length) return page;
  return `${page}\n[Lines ${offset}-${end} of ${lines.length}.${more(end, lines.length)}]`;
}

function more(end: number, total: number): string {
  return end < total ? ` Continue with offset ${end + 1}.` : "";
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

const signatures: readonly (readonly [string, readonly number[]])[] = [
  ["PNG image", [0x89, 0x50, 0x4e, 0x47]],
  ["JPEG image", [0xff, 0xd8, 0xff]],
  ["GIF image", [0x47, 0x49, 0x46, 0x38]],
  ["PDF document", [0x25, 0x50, 0x44, 0x46]],
  ["zip archive (or an office document)", [0x50, 0x4b, 0x03, 0x04]],
  ["gzip archive", [0x1f, 0x8b]],
  ["ELF program", [0x7f, 0x45, 0x4c, 0x46]],
  ["SQLite database", [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65]],
];

/** What the bytes look like when they are no text; undefined for text. */
export function binaryKind(bytes: Uint8Array): string | undefined {
  const known = signatures.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte));
  if (known !== undefined) return known[0];
  if (bytes.includes(0)) return "binary file";
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return undefined;
  } catch {
    return "file that is not UTF-8 text";
  }
}
