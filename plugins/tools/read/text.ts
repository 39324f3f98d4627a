const signatures: readonly (readonly [string, readonly number[]])[] = [
  ["a PNG image", [0x89, 0x50, 0x4e, 0x47]],
  ["a JPEG image", [0xff, 0xd8, 0xff]],
  ["a GIF image", [0x47, 0x49, 0x46, 0x38]],
  ["a PDF document", [0x25, 0x50, 0x44, 0x46]],
  ["a zip archive (or an office document)", [0x50, 0x4b, 0x03, 0x04]],
  ["a gzip archive", [0x1f, 0x8b]],
  ["an ELF program", [0x7f, 0x45, 0x4c, 0x46]],
  ["a SQLite database", [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65]],
];

export type Decoded = { readonly text: string } | { readonly binary: string };

/** The bytes as text, or what they look like when they are none; `partial` ones may end inside a character. */
export function decode(bytes: Uint8Array, { partial = false } = {}): Decoded {
  const known = signatures.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte));
  if (known !== undefined) return { binary: known[0] };
  const wide = wideEncoding(bytes);
  if (wide !== undefined && partial) return { binary: "UTF-16 text and too large for that" };
  if (wide !== undefined) return { text: new TextDecoder(wide).decode(bytes) };
  if (bytes.includes(0)) return { binary: "a binary file" };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: partial }) };
  } catch {
    return { binary: "no UTF-8 text" };
  }
}

/** Files of Windows programs say so in their first two bytes. */
function wideEncoding([first, second]: Uint8Array): string | undefined {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  return first === 0xfe && second === 0xff ? "utf-16be" : undefined;
}
