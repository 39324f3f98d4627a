/**
 * Text in lines of at most `width` columns, all but the first behind `indent`. A word that is
 * longer stays whole, since it may be a path or an address to copy. Without a width nothing is broken.
 */
export function wrap(text: string, width: number | undefined, indent: string): string {
  if (width === undefined) return text;
  const room = Math.max(20, width - indent.length);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line === "" || Array.from(longer).length <= room) line = longer;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line].join(`\n${indent}`);
}
