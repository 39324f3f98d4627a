import { copyButton, el } from "./dom.js";
import { renderMarkdown } from "./markdown.js";
import { toolCard } from "./tools.js";

function clock(at) {
  if (typeof at !== "number") return undefined;
  const time = new Date(at);
  const today = new Date().toDateString() === time.toDateString();
  const shown = today
    ? time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : time.toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  return el("time", { datetime: time.toISOString() }, shown);
}

/** What somebody wrote. `waiting` is one that will be sent when the answer before it is done. */
export function userTurn({ text, at, waiting = false }) {
  const bubble = el("div", { class: "bubble", dir: "auto" }, text);
  const node = el("article", { class: "turn user", "aria-label": "You" }, bubble, clock(at));
  if (waiting) node.dataset.waiting = "";
  return {
    node,
    sent() {
      delete node.dataset.waiting;
    },
    failed(reason) {
      node.dataset.failed = "";
      node.append(el("p", { class: "problem" }, reason));
    },
  };
}

/**
 * An answer in the making. Text comes as snapshots that may or may not start again after a
 * tool call, depending on who sends them, so what earlier pieces hold is subtracted.
 */
export function assistantTurn() {
  const body = el("div", { class: "answer" });
  const busy = el(
    "p",
    { class: "busy", hidden: true },
    el("span", { class: "dots", "aria-hidden": "true" }),
    el("span", {}, "Thinking"),
  );
  const actions = el(
    "div",
    { class: "actions", hidden: true },
    copyButton(() => said.join("\n\n"), "Copy answer"),
  );
  const node = el("article", { class: "turn assistant", "aria-label": "Rusty Claw" }, body, busy, actions);
  const tools = new Map();
  const said = [];
  let piece;
  let closed = "";
  let painted = 0;

  const setBusy = (text) => {
    busy.lastChild.textContent = text;
  };

  function paint() {
    painted = 0;
    if (piece) renderMarkdown(piece.node, piece.text);
  }

  function openPiece() {
    if (piece) return;
    piece = { node: el("div", { class: "text" }), text: "", slot: said.length };
    said.push("");
    body.append(piece.node);
  }

  function closePiece() {
    if (!piece) return;
    cancelAnimationFrame(painted);
    paint();
    closed += piece.text;
    piece = undefined;
  }

  /** Snapshots join pieces with and without blank lines between; compare without them. */
  function rest(snapshot) {
    if (closed === "") return snapshot;
    let at = 0;
    for (const character of closed) {
      if (/\s/.test(character)) continue;
      while (at < snapshot.length && /\s/.test(snapshot[at])) at += 1;
      if (!snapshot.startsWith(character, at)) return snapshot;
      at += character.length;
    }
    return snapshot.slice(at).trimStart();
  }

  function text(snapshot, { now = false, anew = false } = {}) {
    // The sender says that its text does not go on from what it sent before.
    if (anew) closed = "";
    const own = rest(snapshot);
    if (own === "") return;
    openPiece();
    piece.text = own;
    said[piece.slot] = own;
    setBusy("Writing");
    if (now) {
      cancelAnimationFrame(painted);
      paint();
    } else if (painted === 0) painted = requestAnimationFrame(paint);
  }

  function tool({ id, name, args, at }) {
    const known = tools.get(id);
    if (known) {
      if (args !== undefined) known.ask(args);
      return known;
    }
    closePiece();
    const card = toolCard({ name: String(name ?? "tool"), args, startedAt: at });
    tools.set(id, card);
    body.append(card.node);
    setBusy(`Running ${String(name ?? "a tool").slice(0, 64)}`);
    return card;
  }

  function result({ id, name, text: output, isError = false, at }) {
    const card = tool({ id, name });
    if (output) card.output(output);
    card.end(isError ? "error" : "ok", at);
    setBusy("Thinking");
  }

  /** A piece of its own, complete as it is. */
  function append(content) {
    closePiece();
    openPiece();
    piece.text = content;
    said[piece.slot] = content;
    closePiece();
  }

  return {
    node,
    tools,
    text,
    tool,
    result,
    get empty() {
      return body.childElementCount === 0;
    },
    /** What a history tells of this answer; returns how it ended. */
    fill(parts) {
      const ending = { unfinished: "unknown" };
      for (const part of parts) {
        if (part.kind === "text") append(part.text);
        else if (part.kind === "tool") tool(part);
        else if (part.kind === "result") result(part);
        else if (part.kind === "note") ending.note = part.text;
        else ending.problem = part.text;
      }
      return ending;
    },
    /** It is being written: calls that have no result yet are running. */
    goOn() {
      busy.hidden = false;
      actions.hidden = true;
      for (const card of tools.values()) if (card.node.dataset.state === "unknown") card.end("running");
    },
    /** Says to what end the answer came; `live` signs disappear. */
    end({ note, problem, unfinished = "ok" } = {}) {
      closePiece();
      busy.hidden = true;
      for (const card of tools.values()) if (card.running) card.end(note || problem ? "stopped" : unfinished);
      if (note) body.append(el("p", { class: "aside" }, note));
      if (problem) body.append(el("p", { class: "problem" }, problem));
      actions.hidden = !said.some((part) => part !== "");
    },
    get said() {
      return said.join("\n\n");
    },
  };
}

/** A turn of the history. */
export function historyTurn(turn) {
  if (turn.who === "user") return userTurn(turn);
  const view = assistantTurn();
  view.end(view.fill(turn.parts));
  return { node: view.node, view };
}

/** What stands above a history that is longer than what was read of it. */
export function earlier(onMore) {
  return el(
    "p",
    { class: "earlier" },
    onMore
      ? el("button", { class: "quiet", type: "button", on: { click: onMore } }, "Show earlier messages")
      : "Earlier messages are in the transcript.",
  );
}
