/** Markdown as the HTML that Matrix clients show. What is not known here stays text. */
export function toHtml(markdown: string): string {
  return markdown
    .split(/(```[^\n]*\n[\s\S]*?(?:\n```|$))/)
    .map((part, index) => (index % 2 === 1 ? codeBlock(part) : inline(part)))
    .join("");
}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

function codeBlock(part: string): string {
  const [, language = "", body = ""] = /^```([^\n]*)\n([\s\S]*?)(?:\n```|$)/.exec(part) ?? [];
  const name = /^[\w+#.-]+/.exec(language.trim())?.[0];
  return `<pre><code${name ? ` class="language-${name}"` : ""}>${escape(body)}</code></pre>`;
}

function inline(text: string): string {
  return text
    .split(/(`[^`\n]+`)/)
    .map((part, index) =>
      index % 2 === 1 ? `<code>${escape(part.slice(1, -1))}</code>` : marks(escape(part)),
    )
    .join("");
}

const marks = (text: string): string =>
  text
    .replaceAll(/\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g, '<a href="$2">$1</a>')
    .replaceAll(/\*\*(\S(?:[^\n]*?\S)?)\*\*/g, "<strong>$1</strong>")
    .replaceAll(/(?<![\w*])\*(\S(?:[^*\n]*?\S)?)\*(?![\w*])/g, "<em>$1</em>")
    .replaceAll(/~~(\S(?:[^\n]*?\S)?)~~/g, "<del>$1</del>")
    .replaceAll(/^#{1,6} +(.+)$/gm, "<strong>$1</strong>")
    .replaceAll("\n", "<br>");
