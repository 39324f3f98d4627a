import { randomId } from "./dom.js";
import { plainError, textOf, turnsOf } from "./messages.js";
import { resultText } from "./tools.js";
import { assistantTurn, historyTurn, userTurn } from "./transcript.js";

/**
 * One session as it is on the screen: its history, the runs that are under way and the
 * messages waiting for them. The gateway's history is the truth; this is a live edge on it.
 */
export function createConversation({ gateway, log, on }) {
  let key;
  /** Runs by id; `own` ones were sent from here and have their question on the screen. */
  let runs = new Map();
  let queue = [];
  /** Runs that have ended: what still arrives about them is late. */
  const settled = new Set();
  let generation = 0;
  let loaded = 0;
  let stale = false;

  const changed = () =>
    on.change({ running: runs.size > 0, empty: log.childElementCount === 0 && loaded === generation });

  function show(node) {
    log.append(node);
    on.grow();
    changed();
  }

  function run(id, own) {
    const known = runs.get(id);
    if (known) return known;
    const entry = { id, own, view: assistantTurn({ live: true }) };
    runs.set(id, entry);
    show(entry.view.node);
    return entry;
  }

  /** The history, up to the question that a live answer of ours belongs to: from there on the screen knows more. */
  async function load() {
    const mine = (generation += 1);
    stale = false;
    try {
      const history = await gateway.request("chat.history", { sessionKey: key, limit: 200 });
      if (mine !== generation) return;
      let turns = turnsOf(Array.isArray(history?.messages) ? history.messages : []);
      for (const { own, text } of runs.values()) {
        const asked = own ? turns.findLastIndex((turn) => turn.who === "user" && turn.text === text) : -1;
        if (asked !== -1) turns = turns.slice(0, asked);
      }
      const live = [...runs.values()].flatMap(({ question, view }) => [question?.node, view.node]);
      const waiting = queue.map(({ bubble }) => bubble.node);
      log.replaceChildren(...turns.map(historyTurn), ...[...live, ...waiting].filter(Boolean));
      on.jump();
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
    if (stale || !entry.own) void load();
    else void fillResults(entry.view);
    if (ending.note || ending.problem) giveBack();
    else next();
  }

  function giveBack() {
    for (const { text, bubble } of queue.splice(0)) {
      bubble.node.remove();
      on.giveBack(text);
    }
  }

  function next() {
    if (runs.size > 0 || queue.length === 0) return;
    const { text, bubble } = queue.shift();
    bubble.sent();
    void start(text, bubble);
  }

  /** Sending again under the same id is how one asks what became of a message: it is taken once. */
  async function submit(entry) {
    const answer = await gateway.request("chat.send", {
      sessionKey: key,
      message: entry.text,
      idempotencyKey: entry.id,
    });
    if (answer?.status === "started" || answer?.status === "in_flight" || answer?.status === "accepted")
      return;
    // It had ended before this answer: the events are gone, the history has it.
    stale = true;
    settle(entry, {});
  }

  async function start(text, bubble) {
    log.append(bubble.node);
    const entry = run(randomId(), true);
    // The assistant's own commands for a new session: nothing from before them stays.
    if (/^\/(?:new|reset)\b/.test(text)) stale = true;
    Object.assign(entry, { text, question: bubble });
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
      changed();
    }
  }

  function chat({ runId, state, message, deltaText, errorMessage, errorKind, stopReason }) {
    if (state === "delta") {
      const entry = run(runId, false);
      const snapshot = textOf(message);
      goesOn(entry);
      entry.view.text(snapshot || entry.view.said + (deltaText ?? ""));
      on.grow();
      return;
    }
    const known = runs.get(runId);
    if (!known && state === "final") {
      void load();
      return;
    }
    const entry = known ?? run(runId, false);
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

  return {
    get key() {
      return key;
    },
    get running() {
      return runs.size > 0;
    },
    /** Shows another session, from its history. */
    open(next) {
      key = next;
      runs = new Map();
      queue = [];
      log.replaceChildren();
      return load();
    },
    /** Events were missed: what happened is read, and unanswered messages are asked about. */
    async resume() {
      for (const entry of runs.values()) if (!entry.own) runs.delete(entry.id);
      await load();
      for (const entry of runs.values()) {
        // What this answer did meanwhile is only in the history.
        stale = true;
        submit(entry).catch((error) => {
          if (error.code !== "CONNECTION_LOST")
            settle(entry, { problem: plainError(error.code, error.message) });
        });
      }
    },
    send(text) {
      const bubble = userTurn({ text, at: Date.now(), waiting: runs.size > 0 });
      if (runs.size === 0) void start(text, bubble);
      else {
        queue.push({ text, bubble });
        show(bubble.node);
      }
    },
    async stop() {
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
    },
    async reset() {
      await gateway.request("sessions.reset", { key, reason: "new" });
      runs = new Map();
      queue = [];
      log.replaceChildren();
      await load();
    },
    event(name, payload) {
      if (payload.sessionKey !== key || settled.has(payload.runId)) return;
      if (name === "chat") chat(payload);
      else if (name === "agent") agent(payload);
    },
  };
}
