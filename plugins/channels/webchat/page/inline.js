import { el, visible } from "./dom.js";

// Bounds on look-ahead, so that a hostile message costs time in proportion to its length.
const longestLabel = 500;
const longestTarget = 2000;
const deepest = 8;

const punctuation = /[!-/:-@[-`{-~]/;
const wordCharacter = /[\p{L}\p{N}_]/u;
const lineBreak = /<br ?\/?>/iy;
const entity = /&(amp|lt|gt|quot|nbsp|#39);/y;
const entities = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0", "#39": "'" };
const bareUrl = /https?:\/\/[^\s<>"'`]{1,2000}/y;

/** The address of an http or https link, or undefined: anything else stays text. */
function safeUrl(target) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return undefined;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined;
  // A user name in an address only serves to make one host look like another.
  return url.username === "" && url.password === "" ? url : undefined;
}

function link(url, children, label) {
  const anchor = el(
    "a",
    { href: url.href, target: "_blank", rel: "noopener noreferrer", title: url.href },
    ...children,
  );
  const claims = /^\s*(?:https?:\/\/|www\.)/i.test(label) || /^[\w-]+(?:\.[\w-]+)+(?:[/:?#]|$)/.test(label);
  if (!claims || label.toLowerCase().includes(url.host.toLowerCase())) return [anchor];
  return [anchor, ` (${url.host})`];
}

/** `[label](target "title")` from its opening bracket, or undefined. */
function bracketed(text, start) {
  const limit = Math.min(text.length, start + longestLabel);
  let depth = 0;
  let close = start;
  for (; close < limit; close += 1) {
    if (text[close] === "\\") close += 1;
    else if (text[close] === "[") depth += 1;
    else if (text[close] === "]" && (depth -= 1) === 0) break;
  }
  if (text[close] !== "]" || text[close + 1] !== "(") return undefined;
  const last = Math.min(text.length, close + longestTarget);
  let parens = 0;
  let end = close + 1;
  for (; end < last; end += 1) {
    if (text[end] === "\n") return undefined;
    if (text[end] === "(") parens += 1;
    else if (text[end] === ")" && (parens -= 1) === 0) break;
  }
  if (text[end] !== ")") return undefined;
  const target = text
    .slice(close + 2, end)
    .trim()
    .replace(/\s+(?:"[^"]*"|'[^']*')$/, "")
    .replace(/^<(.*)>$/, "$1");
  return { label: text.slice(start + 1, close), target, end: end + 1 };
}

/** Where the marker that opens at `start` is closed, or -1. */
function closing(text, marker, start) {
  for (
    let at = text.indexOf(marker, start + marker.length + 1);
    at !== -1;
    at = text.indexOf(marker, at + 1)
  ) {
    if (/\s/.test(text[at - 1]) || text[at - 1] === "\\") continue;
    if (text[at - 1] === marker) continue;
    if (marker.length === 1 && text[at + 1] === marker) {
      at += 1;
      continue;
    }
    if (marker[0] === "_" && wordCharacter.test(text[at + marker.length] ?? " ")) continue;
    return at;
  }
  return -1;
}

const emphases = [
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "del"],
  ["*", "em"],
  ["_", "em"],
];

function emphasis(text, start, hopeless, depth) {
  for (const [marker, tag] of emphases) {
    if (!text.startsWith(marker, start)) continue;
    const after = text[start + marker.length];
    if (hopeless.has(marker) || after === undefined || /\s/.test(after)) return undefined;
    if (marker[0] === "_" && start > 0 && wordCharacter.test(text[start - 1])) return undefined;
    const end = closing(text, marker, start);
    if (end === -1) {
      // Nothing closes it from here on, so nothing will later either.
      hopeless.add(marker);
      return undefined;
    }
    const inner = text.slice(start + marker.length, end);
    return { nodes: [el(tag, {}, ...inline(inner, depth + 1))], end: end + marker.length };
  }
  return undefined;
}

function codeSpan(text, start, hopeless) {
  let ticks = 1;
  while (text[start + ticks] === "`") ticks += 1;
  const fence = "`".repeat(ticks);
  if (hopeless.has(fence)) return { nodes: [fence], end: start + ticks };
  for (let at = text.indexOf(fence, start + ticks); at !== -1;) {
    let end = at + ticks;
    while (text[end] === "`") end += 1;
    if (end - at === ticks) {
      const code = text.slice(start + ticks, at).replace(/^ (.*\S.*) $/s, "$1");
      return { nodes: [el("code", {}, ...visible(code))], end };
    }
    at = text.indexOf(fence, end);
  }
  hopeless.add(fence);
  return { nodes: [fence], end: start + ticks };
}

function image(text, start) {
  const found = bracketed(text, start + 1);
  const url = found && safeUrl(found.target);
  if (!url) return undefined;
  const label = `Image: ${found.label || url.pathname.split("/").pop() || url.host}`;
  // Never an <img>: fetching it would tell its server that, and what, somebody reads.
  return { nodes: [...link(url, [label], label), ` (${url.host})`], end: found.end };
}

function anchor(text, start, depth) {
  const found = bracketed(text, start);
  const url = found && safeUrl(found.target);
  if (!url) return undefined;
  return { nodes: link(url, inline(found.label, depth + 1, true), found.label), end: found.end };
}

function bare(text, start) {
  bareUrl.lastIndex = start;
  let target = bareUrl.exec(text)?.[0];
  if (target === undefined) return undefined;
  for (;;) {
    const unpaired = target.endsWith(")") && target.split("(").length < target.split(")").length;
    if (!unpaired && !/[.,;:!?*_~\]]$/.test(target)) break;
    target = target.slice(0, -1);
  }
  const url = safeUrl(target);
  return url && { nodes: link(url, visible(target), target), end: start + target.length };
}

/** The little HTML that models write where Markdown has no word for it. */
function html(text, at) {
  lineBreak.lastIndex = at;
  if (lineBreak.test(text)) return { nodes: [el("br")], end: lineBreak.lastIndex };
  entity.lastIndex = at;
  const found = entity.exec(text);
  return found ? { nodes: [entities[found[1]]], end: entity.lastIndex } : undefined;
}

function special(text, at, hopeless, depth, inLink) {
  const character = text[at];
  if (character === "\\" && punctuation.test(text[at + 1] ?? ""))
    return { nodes: [text[at + 1]], end: at + 2 };
  if (character === "\n") return { nodes: [el("br")], end: at + 1 };
  if (character === "<" || character === "&") return html(text, at);
  if (character === "`") return codeSpan(text, at, hopeless);
  if (character === "!" && text[at + 1] === "[" && !inLink) return image(text, at);
  if (character === "[" && !inLink) return anchor(text, at, depth);
  if (character === "h" && !inLink && !wordCharacter.test(text[at - 1] ?? " ")) return bare(text, at);
  return emphasis(text, at, hopeless, depth);
}

/** Markdown within a paragraph, as DOM nodes. HTML has no meaning here but for line breaks: it stays text. */
export function inline(text, depth = 0, inLink = false) {
  if (depth > deepest) return [text];
  const nodes = [];
  const hopeless = new Set();
  const interesting = /[\\\n`![*_~]|https?:\/\/|<br|&/g;
  let from = 0;
  for (let match = interesting.exec(text); match; match = interesting.exec(text)) {
    const found = special(text, match.index, hopeless, depth, inLink);
    if (!found) {
      // One character on: `*` may still open what `**` did not.
      interesting.lastIndex = match.index + 1;
      continue;
    }
    if (match.index > from) nodes.push(text.slice(from, match.index));
    nodes.push(...found.nodes);
    from = found.end;
    interesting.lastIndex = from;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}
