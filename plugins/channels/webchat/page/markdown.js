import { copyButton, el, visible } from "./dom.js";
import { inline } from "./inline.js";

const fence = /^ {0,3}(`{3,}|~{3,})\s*([^`]{0,100})$/;
const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const item = /^(\s{0,40})([-*+]|\d{1,9}[.)])(?:\s+(.*))?$/;
const task = /^\[([ xX])\] /;
const deepest = 6;

const isRule = (line) => /^(?:-{3,}|\*{3,}|_{3,})$/.test(line.replaceAll(/\s/g, ""));
const isQuote = (line) => /^ {0,3}>/.test(line);
const isBlank = (line) => line.trim() === "";
const isDivider = (line) =>
  line.length < 1000 && line.includes("-") && line.includes("|") && /^[\s|:-]+$/.test(line);
const startsBlock = (line) =>
  fence.test(line) || /^ {0,3}#{1,6}\s/.test(line) || isRule(line) || isQuote(line);

const cells = (line) =>
  line
    .trim()
    .replace(/^\|/, "")
    .replace(/\|$/, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));

/** Lines from `start` on that belong to the list item which starts there. */
function itemEnd(lines, start, indent) {
  let end = start + 1;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    if (isBlank(line)) {
      const next = lines[end + 1];
      if (next === undefined || isBlank(next) || next.length - next.trimStart().length <= indent) break;
      continue;
    }
    const depth = line.length - line.trimStart().length;
    if (depth > indent) continue;
    if (item.test(line) || startsBlock(line) || isBlank(lines[end - 1])) break;
  }
  return end;
}

function takeList(lines, start) {
  const [, space, marker] = item.exec(lines[start]);
  const ordered = /\d/.test(marker);
  const items = [];
  let at = start;
  while (at < lines.length) {
    const match = item.exec(lines[at]);
    if (!match || match[1].length > space.length + 1 || /\d/.test(match[2]) !== ordered || isRule(lines[at]))
      break;
    const end = itemEnd(lines, at, match[1].length);
    const inner = lines.slice(at + 1, end);
    const indents = inner
      .filter((line) => !isBlank(line))
      .map((line) => line.length - line.trimStart().length);
    const indent = Math.min(match[1].length + match[2].length + 1, ...indents);
    items.push([match[3] ?? "", ...inner.map((line) => line.slice(indent))]);
    at = end;
    while (at + 1 < lines.length && isBlank(lines[at]) && item.test(lines[at + 1])) at += 1;
  }
  return { kind: ordered ? "ol" : "ul", items, first: Number.parseInt(marker, 10), end: at };
}

function takeFence(lines, start) {
  const [, ticks, info] = fence.exec(lines[start]);
  let end = start + 1;
  while (end < lines.length) {
    const line = lines[end].trim();
    if (line.length >= ticks.length && line === ticks[0].repeat(line.length)) break;
    end += 1;
  }
  return {
    kind: "code",
    language: info.trim().split(/\s/)[0],
    code: lines.slice(start + 1, end).join("\n"),
    end: end + 1,
  };
}

function takeTable(lines, start) {
  let end = start + 2;
  while (end < lines.length && lines[end].includes("|") && !isBlank(lines[end])) end += 1;
  const align = cells(lines[start + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left",
  );
  return {
    kind: "table",
    head: cells(lines[start]),
    align,
    rows: lines.slice(start + 2, end).map(cells),
    end,
  };
}

function takeQuote(lines, start) {
  let end = start;
  while (end < lines.length && isQuote(lines[end])) end += 1;
  return { kind: "quote", lines: lines.slice(start, end).map((line) => line.replace(/^ {0,3}> ?/, "")), end };
}

function takeParagraph(lines, start) {
  let end = start + 1;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end]) && !item.test(lines[end]))
    end += 1;
  return { kind: "p", text: lines.slice(start, end).join("\n").trim(), end };
}

function takeBlock(lines, start) {
  const line = lines[start];
  if (fence.test(line)) return takeFence(lines, start);
  const title = heading.exec(line);
  if (title) return { kind: "heading", level: title[1].length, text: title[2], end: start + 1 };
  if (isRule(line)) return { kind: "rule", end: start + 1 };
  if (isQuote(line)) return takeQuote(lines, start);
  if (item.test(line)) return takeList(lines, start);
  if (line.includes("|") && isDivider(lines[start + 1] ?? "")) return takeTable(lines, start);
  return takeParagraph(lines, start);
}

function blocksOf(lines) {
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const block = takeBlock(lines, at);
    blocks.push({ ...block, source: lines.slice(at, block.end).join("\n") });
    at = block.end;
  }
  return blocks;
}

function codeBlock({ language, code }) {
  return el(
    "div",
    { class: "code" },
    el(
      "div",
      { class: "code-bar" },
      el("span", {}, ...visible(language || "text")),
      copyButton(() => code, "Copy", "Copy code"),
    ),
    el("pre", { tabindex: "0", dir: "ltr" }, el("code", {}, ...visible(code))),
  );
}

function table({ head, align, rows }) {
  const row = (tag, texts) =>
    el(
      "tr",
      {},
      ...texts.map((text, at) => el(tag, { class: `to-${align[at] ?? "left"}` }, ...inline(text))),
    );
  return el(
    "div",
    { class: "table", tabindex: "0" },
    el(
      "table",
      { dir: "auto" },
      el("thead", {}, row("th", head)),
      el("tbody", {}, ...rows.map((texts) => row("td", texts))),
    ),
  );
}

function list({ kind, items, first }, depth) {
  const start = kind === "ol" && first !== 1 ? String(first) : undefined;
  return el(kind, { start, dir: "auto" }, ...items.map((lines) => listItem(lines, depth)));
}

function listItem([first, ...rest], depth) {
  const box = task.exec(first);
  if (!box) return el("li", {}, ...itemNodes([first, ...rest], depth));
  const words = first.slice(box[0].length);
  const sign = box[1] === " " ? "\u2610 " : "\u2611 ";
  return el("li", { class: "task" }, sign, ...itemNodes([words, ...rest], depth));
}

/** A short item is a line, not a paragraph: the list stays tight. */
function itemNodes(lines, depth) {
  const blocks = blocksOf(lines);
  return blocks.flatMap((block, at) =>
    at === 0 && block.kind === "p" ? [el("span", {}, ...inline(block.text))] : [blockNode(block, depth + 1)],
  );
}

function blockNode(block, depth) {
  if (depth > deepest) return el("p", {}, block.source);
  if (block.kind === "code") return codeBlock(block);
  // The page has one h1; a message's headings start below it.
  if (block.kind === "heading")
    return el(`h${Math.min(block.level + 1, 6)}`, { dir: "auto" }, ...inline(block.text));
  if (block.kind === "rule") return el("hr");
  if (block.kind === "quote")
    return el("blockquote", {}, ...blocksOf(block.lines).map((inner) => blockNode(inner, depth + 1)));
  if (block.kind === "table") return table(block);
  if (block.kind === "p") return el("p", { dir: "auto" }, ...inline(block.text));
  return list(block, depth);
}

/**
 * Makes `element` show `text`. Blocks that did not change since the last call are
 * left alone: streaming must not take away a selection or the focus of a button.
 */
export function renderMarkdown(element, text) {
  const blocks = blocksOf(text.replaceAll("\r\n", "\n").split("\n"));
  const before = element.markdownSources ?? [];
  let same = 0;
  while (same < blocks.length && same < before.length && blocks[same].source === before[same]) same += 1;
  while (element.childNodes.length > same) element.lastChild.remove();
  element.append(...blocks.slice(same).map((block) => blockNode(block, 0)));
  element.markdownSources = blocks.map((block) => block.source);
}
