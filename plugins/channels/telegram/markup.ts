type Tag = "b" | "i" | "s" | "a";

/**
 * Markdown to the HTML that Telegram's parser knows. The output is always well
 * formed, whatever the model wrote: an opening mark without its partner stays text.
 * No character is ever added, so a text within the limit is within it afterwards.
 */
export function toHtml(markdown: string): string {
  const out: string[] = [];
  const lines = markdown.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const fence = openFence(lines[i]!);
    if (fence) {
      let end = i + 1;
      while (end < lines.length && !closesFence(lines[end]!, fence.mark)) end++;
      out.push(codeBlock(lines.slice(i + 1, end).join("\n"), fence.language));
      i = end;
      continue;
    }
    const rows = tableRows(lines, i);
    if (rows > 0) {
      out.push(codeBlock(lines.slice(i, i + rows).join("\n"), ""));
      i += rows - 1;
      continue;
    }
    if (lines[i]!.startsWith(">")) {
      const quoted: string[] = [];
      for (; i < lines.length && lines[i]!.startsWith(">"); i++)
        quoted.push(line(lines[i]!.replace(/^> ?/, "")));
      out.push(`<blockquote>${quoted.join("\n")}</blockquote>`);
      i--;
      continue;
    }
    out.push(line(lines[i]!));
  }
  return out.join("\n");
}

export interface Fence {
  readonly mark: string;
  readonly language: string;
}

/** The opening line of a code block, or undefined. */
export function openFence(text: string): Fence | undefined {
  const parts = /^ {0,3}(`{3,}|~{3,}) *([^\s`]*)[^`]*$/.exec(text);
  return parts ? { mark: parts[1]!, language: parts[2]! } : undefined;
}

export function closesFence(text: string, mark: string): boolean {
  const trimmed = text.trim();
  return trimmed.length >= mark.length && trimmed === mark[0]!.repeat(trimmed.length);
}

/** How many lines of a table begin here. Telegram knows none, and only in letters of one width do columns line up. */
function tableRows(lines: readonly string[], at: number): number {
  const isRule = /^\|?(?: *:?-+:? *\|)+(?: *:?-+:?)?$/.test(lines[at + 1]?.trim() ?? "");
  if (!isRule || !lines[at]!.includes("|")) return 0;
  let end = at + 2;
  while (lines[end]?.includes("|")) end++;
  return end - at;
}

function codeBlock(code: string, language: string): string {
  if (!code) return "";
  const name = /^[\w+#.-]{1,32}$/.test(language) ? ` class="language-${escape(language)}"` : "";
  return name ? `<pre><code${name}>${escape(code)}</code></pre>` : `<pre>${escape(code)}</pre>`;
}

function line(text: string): string {
  const heading = /^ {0,3}#{1,6} +(.*)$/.exec(text);
  if (heading) return wrap("b", heading[1]!.replace(/ +#+ *$/, ""), new Set());
  const bullet = /^( *)[-*+] +/.exec(text);
  if (bullet) return `${bullet[1]}• ${inline(text.slice(bullet[0].length), new Set())}`;
  return inline(text, new Set());
}

function wrap(tag: Tag, text: string, active: ReadonlySet<Tag>, attributes = ""): string {
  if (active.has(tag) || !text) return inline(text, active);
  return `<${tag}${attributes}>${inline(text, new Set([...active, tag]))}</${tag}>`;
}

const marks: readonly (readonly [mark: string, tag: Tag])[] = [
  ["**", "b"],
  ["__", "b"],
  ["~~", "s"],
  ["*", "i"],
  ["_", "i"],
];

function inline(text: string, active: ReadonlySet<Tag>): string {
  let out = "";
  for (let i = 0; i < text.length;) {
    const span = escaped(text, i) ?? codeSpan(text, i) ?? link(text, i, active) ?? emphasis(text, i, active);
    if (span) {
      out += span.html;
      i = span.end;
      continue;
    }
    out += escape(text[i]!);
    i++;
  }
  return out;
}

interface Span {
  readonly html: string;
  readonly end: number;
}

function escaped(text: string, at: number): Span | undefined {
  const next = text[at + 1];
  if (text[at] !== "\\" || next === undefined || !/[!-/:-@[-`{-~]/.test(next)) return undefined;
  return { html: escape(next), end: at + 2 };
}

function codeSpan(text: string, at: number): Span | undefined {
  const code = codeAt(text, at);
  if (!code) return undefined;
  const inner = text.slice(code.start, code.stop).replace(/^ (.*[^ ].*) $/, "$1");
  return inner ? { html: `<code>${escape(inner)}</code>`, end: code.end } : undefined;
}

/** A run of backticks closes at the next run of the same length. */
function codeAt(text: string, at: number): { start: number; stop: number; end: number } | undefined {
  if (text[at] !== "`" || text[at - 1] === "`") return undefined;
  let start = at;
  while (text[start] === "`") start++;
  const length = start - at;
  for (let i = start; i < text.length;) {
    if (text[i] !== "`") {
      i++;
      continue;
    }
    const stop = i;
    while (text[i] === "`") i++;
    if (i - stop === length) return { start, stop, end: i };
  }
  return undefined;
}

function link(text: string, at: number, active: ReadonlySet<Tag>): Span | undefined {
  const open = text[at] === "!" ? at + 1 : at;
  if (text[open] !== "[") return undefined;
  const close = matching(text, open, "[", "]");
  if (close === undefined || text[close + 1] !== "(") return undefined;
  const end = matching(text, close + 1, "(", ")");
  if (end === undefined) return undefined;
  const [address = ""] = text
    .slice(close + 2, end)
    .trim()
    .split(/\s/, 1);
  const url = address.replace(/^<(.*)>$/, "$1");
  if (!/^(?:https?:\/\/|tg:\/\/|mailto:|tel:)\S+$/i.test(url)) return undefined;
  const label = text.slice(open + 1, close) || url;
  return { html: wrap("a", label, active, ` href="${escape(url)}"`), end: end + 1 };
}

function matching(text: string, at: number, open: string, close: string): number | undefined {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === open) depth++;
    else if (text[i] === close && --depth === 0) return i;
  }
  return undefined;
}

function emphasis(text: string, at: number, active: ReadonlySet<Tag>): Span | undefined {
  for (const [mark, tag] of marks) {
    if (!text.startsWith(mark, at)) continue;
    const start = at + mark.length;
    // Neither `2 * 3` nor snake_case is emphasis.
    const opens = /\S/.test(text[start] ?? "") && !(mark[0] === "_" && isWord(text[at - 1]));
    const stop = opens ? closing(text, start, mark) : undefined;
    if (stop !== undefined)
      return { html: wrap(tag, text.slice(start, stop), active), end: stop + mark.length };
  }
  return undefined;
}

function closing(text: string, from: number, mark: string): number | undefined {
  for (let i = from; i < text.length; i++) {
    if (text[i] === "\\") {
      i++;
      continue;
    }
    const code = codeAt(text, i);
    if (code) {
      i = code.end - 1;
      continue;
    }
    if (text[i] !== mark[0]) continue;
    let run = i;
    while (text[run] === mark[0]) run++;
    const length = run - i;
    // In a longer run the outer mark is the last: `**a *b***`.
    const fits = mark.length === 1 ? length === 1 || length === 3 : length >= 2;
    const stop = mark.length === 1 ? i : run - mark.length;
    const isWordInside = mark[0] === "_" && isWord(text[run]);
    if (fits && stop > from && /\S/.test(text[i - 1] ?? "") && !isWordInside) return stop;
    i = run - 1;
  }
  return undefined;
}

function isWord(char: string | undefined): boolean {
  return char !== undefined && /[\p{L}\p{N}_]/u.test(char);
}

function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
