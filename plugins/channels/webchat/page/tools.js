import { copyButton, el, visible } from "./dom.js";

const shownArguments = ["command", "path", "file", "url", "query", "pattern", "message"];

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** What a tool answered, whichever of the shapes that exist it comes in. */
export function resultText(result) {
  if (result === undefined || result === null) return "";
  if (typeof result === "string") return result;
  const content = Array.isArray(result) ? result : result.content;
  if (typeof content === "string") return content;
  if (Array.isArray(content)) {
    return content
      .map((block) => (typeof block?.text === "string" ? block.text : `[${block?.type ?? "data"}]`))
      .join("\n");
  }
  if (typeof result.text === "string") return result.text;
  return pretty(result);
}

function summaryOf(args) {
  if (typeof args === "string") return args;
  if (typeof args !== "object" || args === null) return "";
  const key = shownArguments.find((name) => typeof args[name] === "string");
  if (key !== undefined) return args[key];
  return Object.keys(args).length === 0 ? "" : JSON.stringify(args);
}

function section(label) {
  const pre = el("pre", { tabindex: "0", dir: "ltr" });
  let raw = "";
  const node = el(
    "div",
    { class: "code", hidden: true },
    el(
      "div",
      { class: "code-bar" },
      el("span", {}, label),
      copyButton(() => raw, "Copy", `Copy ${label.toLowerCase()}`),
    ),
    pre,
  );
  return {
    node,
    get text() {
      return raw;
    },
    set(text) {
      if (text === raw) return;
      raw = text;
      node.hidden = text === "";
      pre.replaceChildren(...visible(text));
    },
  };
}

const words = { running: "running", ok: "done", error: "failed", stopped: "stopped", unknown: "no result" };

/**
 * One tool call: what is asked is shown raw, in full, in a fixed-width face and with hidden
 * characters spelled out, because people decide by it whether to press stop.
 */
export function toolCard({ name, args, startedAt }) {
  const status = el("span", { class: "tool-state" }, words.running);
  const preview = el("span", { class: "tool-preview", dir: "ltr" });
  const took = el("span", { class: "tool-time" });
  const asked = section("Arguments");
  const answered = section("Output");
  const node = el(
    "details",
    { class: "tool", "data-state": "running" },
    el(
      "summary",
      {},
      el("span", { class: "tool-icon", "aria-hidden": "true" }),
      el("b", {}, ...visible(name)),
      preview,
      took,
      status,
    ),
    asked.node,
    answered.node,
  );

  function ask(given) {
    preview.replaceChildren(...visible(summaryOf(given).slice(0, 400)));
    const alone = typeof given?.command === "string" && Object.keys(given).length === 1;
    asked.set(given === undefined ? "" : (pretty(alone ? given.command : given) ?? ""));
  }
  ask(args);

  return {
    node,
    get name() {
      return name;
    },
    get needsResult() {
      return answered.text === "";
    },
    get running() {
      return node.dataset.state === "running";
    },
    ask,
    output(text) {
      answered.set(text);
    },
    end(state, endedAt) {
      node.dataset.state = state;
      status.textContent = words[state];
      if (startedAt === undefined || endedAt === undefined) return;
      const seconds = Math.max(0, endedAt - startedAt) / 1000;
      if (seconds >= 0.1) took.textContent = `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    },
  };
}
