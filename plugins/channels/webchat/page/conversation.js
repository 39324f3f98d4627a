import { randomId } from "./dom.js";
import { plainError, textOf, turnsOf } from "./messages.js";
import { pending } from "./pending.js";
import { resultText } from "./tools.js";
import { assistantTurn, earlier, historyTurn, userTurn } from "./transcript.js";

/** How much of a history is read at first, and how much the gateway gives at most. */
const recent = 200;
const most = 1000;
const maxChars = 100_000;
const longestWait = 5000;
/** Reasons to read the history again that come so close together are one. */
const together = 100;

/**
 * One session as it is on the screen: its history, the runs that are under way and the
 * messages waiting for them. The gateway's history is the truth; this is a live edge on it.
 */
export function createConversation({ gateway, log, on }) {
  let key;
  /** Runs by id; `own` ones were sent from here and have their question on the screen. */
  let runs = new Map();
  let queue = [];
  /** Runs that have ended but may not stand in the history yet: the screen keeps what it has of them. */
  const ending = new Set();
  /** Runs that have ended: what still arrives about them is late. */
  const settled = new Set();
  let generation = 0;
  let loaded = 0;
  let stale = false;
  let soon;
  let limit = recent;
  /** The history's turns on the screen by what they say: what stayed the same keeps its node, and what was opened in it. */
  let shown = new Map();
  /** The last answer of the history when it was still under way there. */
  let underway;

  function changed() {
    if (key !== undefined)
      pending.write(
        key,
        [...runs.values()].filter(({ own }) => own),
        queue,
      );
    on.change({ running: runs.size > 0, empty: log.childElementCount === 0 && loaded === generation });
  }

  function show(node) {
    log.append(node);
    on.grow();
    changed();
  }

  function run(id, own) {
    const known = runs.get(id);
    if (known) return known;
    const found = own ? undefined : underway;
    const entry = { id, own, met: own || found !== undefined, view: found?.view ?? assistantTurn() };
    // From now on it says more than the history did.
    if (found) shown.delete(found.said);
    underway = undefined;
    entry.view.goOn();
    runs.set(id, entry);
    show(entry.view.node);
    return entry;
  }

  /** The history up to what a live answer shows; what had come of that before we looked is put into it. */
  function upTo({ own, text, view }, turns) {
    const asked = turns.findLastIndex((turn) => turn.who === "user" && (!own || turn.text === text));
    const answer = turns[asked + 1];
    // An answer that is complete is an earlier one, to the same words.
    if (asked === -1 || (answer && !answer.unfinished)) return turns;
    if (answer && view.empty) view.fill(answer.parts);
    return turns.slice(0, own ? asked : asked + 1);
  }

  function historyNodes(turns) {
    const before = shown;
    shown = new Map();
    underway = undefined;
    return turns.map((turn, at) => {
      let said = JSON.stringify(turn);
      while (shown.has(said)) said += "+";
      const made = before.get(said) ?? historyTurn(turn);
      shown.set(said, made);
      if (turn.unfinished && at === turns.length - 1) underway = { said, view: made.view };
      return made.node;
    });
  }

  async function load({ jump = false } = {}) {
    const mine = (generation += 1);
    stale = false;
    try {
      const history = await gateway.request("chat.history", { sessionKey: key, limit, maxChars });
      if (mine !== generation) return;
      const messages = Array.isArray(history?.messages) ? history.messages : [];
      let turns = turnsOf(messages);
      const entries = [...ending, ...runs.values()];
      for (const entry of entries) turns = upTo(entry, turns);
      const live = entries.flatMap(({ question, view }) => [question?.node, view.node]);
      const nodes = [
        ...(messages.length < limit ? [] : [earlier(limit < most && more)]),
        ...historyNodes(turns),
        ...live,
        ...queue.map(({ bubble }) => bubble.node),
      ].filter(Boolean);
      if (nodes.length !== log.childElementCount || nodes.some((node, at) => node !== log.children[at]))
        log.replaceChildren(...nodes);
      if (jump) on.jump();
      else on.grow();
    } catch (error) {
      if (mine !== generation || error.code === "CONNECTION_LOST") return;
      on.problem(`The conversation could not be loaded: ${error.message}`);
    } finally {
      if (mine === generation) {
        loaded = generation;
        changed();
      }
    }
  }

  /** As `load`, for everything that asks for it meanwhile. */
  function loadSoon() {
    soon ??= setTimeout(() => {
      soon = undefined;
      void load();
    }, together);
  }

  async function more() {
    limit = most;
    await on.keepPlace(() => load());
  }

  /** Loads when the gateway has written the run's end down: its last event is quicker than that. */
  async function loadAfter(entry) {
    const asked = key;
    ending.add(entry);
    const params = { runId: entry.id, timeoutMs: longestWait };
    await gateway.request("agent.wait", params).catch(() => undefined);
    ending.delete(entry);
    if (asked === key) loadSoon();
  }

  /** Puts the bodies of results that were not sent live where their calls are. */
  async function fillResults(view) {
    if (![...view.tools.values()].some((card) => card.needsResult)) return;
    const history = await gateway
      .request("chat.history", { sessionKey: key, limit: 50 })
      .catch(() => undefined);
    for (const { parts = [] } of turnsOf(history?.messages ?? [])) {
      for (const part of parts) {
        if (part.kind === "result" && view.tools.get(part.id)?.needsResult)
          view.tools.get(part.id).output(part.text);
      }
    }
  }

  /** Results are in the history once the model goes on from them. */
  function goesOn(entry) {
    if (!entry.met) {
      // Somebody else asked; what they asked is in the history by now.
      entry.met = true;
      loadSoon();
    }
    if (!entry.owed) return;
    entry.owed = false;
    void fillResults(entry.view);
  }

  function settle(entry, ending) {
    if (runs.get(entry.id) !== entry) return;
    runs.delete(entry.id);
    settled.add(entry.id);
    entry.view.end(ending);
    changed();
    on.grow();
    on.said(ending.problem ?? ending.note ?? entry.view.said);
    if (stale || !entry.own) void loadAfter(entry);
    else void fillResults(entry.view);
    if (ending.note || ending.problem) giveBack();
    else next();
  }

  function giveBack() {
    for (const { text, bubble } of queue.splice(0)) {
      bubble.node.remove();
      on.giveBack(text);
    }
    changed();
  }

  function next() {
    if (runs.size > 0 || queue.length === 0) return;
    const message = queue.shift();
    message.bubble.sent();
    void start(message);
  }

  /** Sending again under the same id is how one asks what became of a message: it is taken once. */
  async function submit(entry) {
    const answer = await gateway
      .request("chat.send", { sessionKey: key, message: entry.text, idempotencyKey: entry.id })
      .catch((error) => {
        // It may have been taken all the same, so it is not for the person to send it again.
        if (error.code === "TIMEOUT" && runs.get(entry.id) === entry) return submit(entry);
        throw error;
      });
    if (["started", "in_flight", "accepted"].includes(answer?.status)) return;
    // It had ended before this answer: the events are gone, the history has it.
    stale = true;
    settle(entry, {});
  }

  function ask({ id, text, at, bubble }) {
    log.append(bubble.node);
    return Object.assign(run(id, true), { text, at, question: bubble });
  }

  async function start(message) {
    const { text, bubble } = message;
    const entry = ask(message);
    // The assistant's own commands for a new session: nothing from before them stays.
    if (/^\/(?:new|reset)\b/.test(text)) stale = true;
    changed();
    on.jump();
    try {
      await submit(entry);
    } catch (error) {
      // Without a connection the run stays; it is asked for again as soon as there is one.
      if (error.code === "CONNECTION_LOST") return;
      runs.delete(entry.id);
      entry.view.node.remove();
      bubble.failed(plainError(error.code, error.message));
      on.giveBack(text);
      giveBack();
    }
  }

  /** Asks what became of every message that has no answer yet, and reads what happened meanwhile. */
  async function catchUp(options) {
    await Promise.all(
      [...runs.values()].map(async (entry) => {
        try {
          await submit(entry);
          // What this answer did meanwhile is only in the history.
          stale = true;
        } catch (error) {
          if (error.code !== "CONNECTION_LOST")
            settle(entry, { problem: plainError(error.code, error.message) });
        }
      }),
    );
    const missed = stale;
    await load(options);
    stale = missed && runs.size > 0;
    next();
  }

  function chat({ runId, state, message, deltaText, replace, errorMessage, errorKind, stopReason }) {
    if (state === "delta") {
      const entry = run(runId, false);
      const snapshot = textOf(message);
      goesOn(entry);
      entry.view.text(snapshot || entry.view.said + (deltaText ?? ""), { anew: replace === true });
      on.grow();
      return;
    }
    const entry = run(runId, false);
    const text = textOf(message);
    if (text && text !== entry.view.said) entry.view.text(text, { now: true });
    if (state === "aborted")
      settle(entry, { note: stopReason === "timeout" ? "Stopped: it took too long." : "Stopped." });
    else if (state === "error") settle(entry, { problem: plainError(errorKind, errorMessage) });
    else if (state === "final") settle(entry, {});
  }

  function agent({ runId, stream, data = {}, ts }) {
    if (stream === "lifecycle" && data.phase === "start") run(runId, false);
    if (stream !== "tool" || !data.toolCallId) return;
    const entry = run(runId, false);
    const { view } = entry;
    const call = { id: data.toolCallId, name: data.name, at: ts };
    if (data.phase === "start") {
      goesOn(entry);
      view.tool({ ...call, args: data.args ?? {} });
    } else if (data.phase === "update") view.tool(call).output(resultText(data.partialResult));
    else if (data.phase === "result") {
      entry.owed = data.result === undefined;
      view.result({ ...call, text: resultText(data.result), isError: data.isError === true });
    }
    on.grow();
  }

  function clear() {
    runs = new Map();
    queue = [];
    ending.clear();
    shown.clear();
    underway = undefined;
    limit = recent;
    log.replaceChildren();
  }

  async function stop() {
    const ids = [...runs.keys()];
    try {
      for (const runId of ids) {
        const answer = await gateway.request("chat.abort", { sessionKey: key, runId });
        const entry = runs.get(runId);
        // Nothing was running under that id any more, so no event will come.
        if (entry && answer?.aborted === false) settle(entry, { note: "Stopped." });
      }
    } catch (error) {
      on.problem(`It could not be stopped: ${error.message}`);
    }
  }

  return {
    stop,
    get key() {
      return key;
    },
    get running() {
      return runs.size > 0;
    },
    /** Shows another session, from its history and what this tab has still to ask about. */
    async open(wanted) {
      giveBack();
      clear();
      key = wanted;
      const kept = pending.read(key);
      for (const { id, text, at } of kept.runs) ask({ id, text, at, bubble: userTurn({ text, at }) });
      for (const { id, text, at } of kept.queue) {
        const bubble = userTurn({ text, at, waiting: true });
        queue.push({ id, text, at, bubble });
        log.append(bubble.node);
      }
      await catchUp({ jump: true });
    },
    /** Events were missed: what happened is read, and unanswered messages are asked about. */
    async resume() {
      for (const entry of runs.values()) if (!entry.own) runs.delete(entry.id);
      await catchUp();
    },
    send(text) {
      const at = Date.now();
      const waiting = runs.size > 0;
      if (waiting && /^\/?stop[.!]?$/i.test(text)) return void stop();
      const message = { id: randomId(), text, at, bubble: userTurn({ text, at, waiting }) };
      if (!waiting) void start(message);
      else {
        queue.push(message);
        show(message.bubble.node);
        on.jump();
      }
    },
    async reset() {
      await gateway.request("sessions.reset", { key, reason: "new" });
      clear();
      await load({ jump: true });
    },
    event(name, payload) {
      if (payload.sessionKey !== key || settled.has(payload.runId)) return;
      if (name === "chat") chat(payload);
      else if (name === "agent") agent(payload);
    },
  };
}
