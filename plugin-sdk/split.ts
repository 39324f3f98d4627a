/** Cuts Markdown into parts of at most `limit` characters: between paragraphs, else lines, else words. */
export function split(markdown: string, limit: number): readonly string[] {
  const parts: string[] = [];
  let rest = markdown.trim();
  let reopen = "";
  while (rest.length > 0) {
    const whole = reopen + rest;
    if (whole.length <= limit) {
      parts.push(whole);
      break;
    }
    // Room to close a code block that has to be cut.
    const room = limit - reopen.length - 4;
    const cut = cutAt(rest, room);
    const head = rest.slice(0, cut);
    const open = openFence(reopen + head);
    parts.push(`${reopen}${head.trimEnd()}${open === undefined ? "" : "\n```"}`);
    reopen = open === undefined ? "" : `${open}\n`;
    rest = rest.slice(cut).replace(open === undefined ? /^\s+/ : /^\n/, "");
  }
  return parts;
}

function cutAt(text: string, room: number): number {
  const head = text.slice(0, room);
  for (const [mark, least] of [
    ["\n\n", room / 3],
    ["\n", 0],
    [" ", room / 2],
  ] as const) {
    const at = head.lastIndexOf(mark);
    if (at > least) return at;
  }
  // Not between the two halves of a character.
  const code = text.charCodeAt(room - 1);
  return code >= 0xd8_00 && code <= 0xdb_ff ? room - 1 : room;
}

/** The first line of the code block that is still open at the end. */
function openFence(text: string): string | undefined {
  let open: string | undefined;
  for (const line of text.split("\n")) {
    if (!line.startsWith("```")) continue;
    open = open === undefined ? line.slice(0, 40) : undefined;
  }
  return open;
}
