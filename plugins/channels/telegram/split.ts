import { closesFence, openFence } from "./markup.ts";

interface Block {
  readonly text: string;
  /** The opening line, when the block is code. */
  readonly fence?: string;
}

/**
 * Cuts Markdown into messages of at most `limit` UTF-16 units, which is how Telegram
 * counts: between paragraphs where possible, then lines, then words. A code block
 * that has to be cut is closed and opened again, and no character is cut in half.
 */
export function split(markdown: string, limit: number): readonly string[] {
  const parts: string[] = [];
  let current = "";
  const flush = (): void => {
    if (current.trim()) parts.push(current.replace(/^\n+|\s+$/g, ""));
    current = "";
  };
  for (const block of blocks(markdown)) {
    if (current.length + block.text.trimEnd().length > limit) flush();
    if (block.text.trimEnd().length <= limit) {
      current += block.text;
      continue;
    }
    for (const piece of block.fence === undefined
      ? cut(block.text, limit)
      : cutCode(block.text, block.fence, limit)) {
      flush();
      current = piece;
    }
    current += "\n\n";
  }
  flush();
  return parts;
}

/** Paragraphs and code blocks, each with the blank lines that follow it. */
function blocks(markdown: string): Block[] {
  const result: Block[] = [];
  const lines = markdown.split("\n");
  let text: string[] = [];
  const add = (block: string[], fence?: string): void => {
    if (block.length > 0)
      result.push({ text: `${block.join("\n")}\n`, ...(fence !== undefined && { fence }) });
  };
  for (let i = 0; i < lines.length; i++) {
    const fence = openFence(lines[i]!);
    if (fence) {
      add(text.splice(0));
      let end = i + 1;
      while (end < lines.length && !closesFence(lines[end]!, fence.mark)) end++;
      add(lines.slice(i, end + 1), lines[i]);
      i = end;
      continue;
    }
    text.push(lines[i]!);
    if (!lines[i]!.trim()) add(text.splice(0));
  }
  add(text);
  return result;
}

function cutCode(block: string, opening: string, limit: number): string[] {
  const { mark, language } = openFence(opening)!;
  const head = `${mark}${language.slice(0, 32)}\n`;
  const tail = `\n${mark}`;
  const lines = block.trimEnd().split("\n").slice(1);
  if (closesFence(lines.at(-1) ?? "", mark)) lines.pop();
  return cut(lines.join("\n"), limit - head.length - tail.length).map((piece) => `${head}${piece}${tail}`);
}

function cut(text: string, limit: number): string[] {
  const pieces: string[] = [];
  let rest = text;
  while (rest.trimEnd().length > limit) {
    const head = rest.slice(0, limit + 1);
    const newline = head.lastIndexOf("\n");
    const space = head.lastIndexOf(" ");
    const at = newline > 0 ? newline : space > limit / 2 ? space : whole(rest, limit);
    pieces.push(rest.slice(0, at));
    rest = rest.slice(at).replace(/^[ \n]/, "");
  }
  pieces.push(rest.trimEnd());
  return pieces.filter((piece) => piece.trim());
}

/** One less when the cut would part the two halves of a character. */
function whole(text: string, at: number): number {
  const code = text.charCodeAt(at - 1);
  return code >= 0xd800 && code <= 0xdbff ? at - 1 : at;
}
