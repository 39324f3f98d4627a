/** A client's own words as they may stand in a log: one line, no control characters, not long. */
export function printable(value: unknown, limit = 200): string {
  const text = typeof value === "string" ? value : "";
  // Cut first: the pattern must not run over a megabyte.
  const cut = text.slice(0, limit);
  // Control characters, and the format and separator characters that reorder or break a line.
  const clean = cut.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
  return text.length > limit ? `${clean}…` : clean;
}

/** The longest start of `text` that fits into `limit` bytes of UTF-8. */
export function cutBytes(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return text;
  let end = limit;
  // A byte 10xxxxxx continues a character: cutting in front of it would leave half of one.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}
