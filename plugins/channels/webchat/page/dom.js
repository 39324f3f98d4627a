/**
 * Builds an element. Text only ever becomes a text node, and attributes come from
 * this page's own code: there is no way for a message to turn into markup.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name === "on")
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== undefined));
  return node;
}

// What makes a command read differently from what would run: controls but tab and newline, and all
// that Unicode calls ignorable, bidirectional marks included. Emoji may keep what builds them.
const deceptive =
  /(?![\t\n])[\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\ufff9-\ufffb](?<!(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\ufe0f)(?:\u200d|\ufe0f))/gu;

/** The text as nodes, with every character that could hide or reorder others spelled out. */
export function visible(text) {
  const nodes = [];
  let from = 0;
  // Not matchAll: that copies the expression, and compiling this one takes longer than most texts.
  deceptive.lastIndex = 0;
  for (let match = deceptive.exec(text); match; match = deceptive.exec(text)) {
    if (match.index > from) nodes.push(text.slice(from, match.index));
    const code = match[0].codePointAt(0).toString(16).padStart(4, "0");
    nodes.push(el("span", { class: "escape" }, `\\u{${code}}`));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

/** Copies, also on plain http where the clipboard interface does not exist. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = el("textarea", { class: "sr", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused to copy");
}

export function copyButton(text, label = "Copy", name = label) {
  const button = el("button", { class: "copy", type: "button", "aria-label": name }, label);
  const say = (what, said = what) => {
    button.textContent = what;
    button.setAttribute("aria-label", said);
  };
  button.addEventListener("click", async () => {
    try {
      await copy(text());
      say("Copied");
    } catch {
      say("Not copied");
    }
    button.focus();
    setTimeout(() => say(label, name), 1500);
  });
  return button;
}

/** Unlike crypto.randomUUID this also works on plain http to another machine. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Storage that a browser may forbid; the page then works until it is reloaded. */
export const stored = {
  get(area, key) {
    try {
      return globalThis[area].getItem(key) ?? undefined;
    } catch {
      return undefined;
    }
  },
  set(area, key, value) {
    try {
      if (value === undefined) globalThis[area].removeItem(key);
      else globalThis[area].setItem(key, value);
    } catch {}
  },
};
