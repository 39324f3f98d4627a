import {
  type Caller,
  isRclawError,
  RclawError,
  type Run,
  type Session,
  type SessionEntry,
} from "@rclaw/plugin-sdk";
import { createAnswers } from "./answers.ts";
import { longestTimer } from "./config.ts";
import { RunEvents, type StopReason } from "./events.ts";
import { LiveRun, type Outcome } from "./live-run.ts";
import { storedAssistant } from "./messages.ts";
import { reasonOf } from "./models.ts";
import { createOutbox } from "./outbox.ts";
import { ownLines } from "./own-lines.ts";
import { requestOf, type RunRequest, type Target } from "./request.ts";
import { lastTarget } from "./target.ts";
import { createTurnstile } from "./turnstile.ts";
import { runTurn, shutdown, type TurnParts, type TurnResult } from "./turn.ts";

export interface RunsOptions extends TurnParts {
  agentOf(sessionKey: string): string;
}

/** How a run ended, and whose it was: several principals may use the same id. */
interface Ended {
  readonly run: Pick<Run, "method" | "principal" | "id">;
  readonly outcome: Outcome;
}

interface Waiter {
  readonly principal: string;
  end(outcome: Outcome): void;
  /** This instance ends, and the run goes on in the next one. */
  drop(): void;
}

/** Kept in two halves of which the older is dropped: one by one, each would cost a search through the gaps before it. */
const maxFinished = 1_000;
const maxSameId = 8;
/** Measured: two more cost acknowledgements a third of their rate under load, two fewer cost the answers theirs. */
const runsAtOnce = 6;
const patienceMs = 2;
const typingEveryMs = 5_000;

export type Runs = ReturnType<typeof createRuns>;

/** The runs that are alive, how they end, and what is still known of those that did. */
export function createRuns(options: RunsOptions) {
  const { context, settings, conversations, now, agentOf } = options;
  const { log, gateway } = context;
  const live = new Map<string, LiveRun>();
  const bySession = new Map<string, Set<LiveRun>>();
  let finished = new Map<string, readonly Ended[]>();
  let before = finished;
  const waiting = new Map<string, Set<Waiter>>();
  /** Sessions that a run of ours writes. */
  const held = new Map<string, Session>();
  /** Requests that are being written down. */
  const entering = new Set<Promise<unknown>>();
  let isClosing = false;
  let isClosed = false;
  const turnstile = createTurnstile(runsAtOnce, patienceMs);
  const send = createOutbox(context, settings);
  const answer = createAnswers({
    ...options,
    running: (sessionKey) =>
      [...(bySession.get(sessionKey) ?? [])].filter(({ request }) => !request.command).length,
  });

  function start(
    run: Run,
    { request, caller, resumed = false }: { request: RunRequest; caller?: Caller; resumed?: boolean },
  ): LiveRun {
    const started = new LiveRun({ run, request, resumed }, follow);
    if (caller) watch(started, caller);
    live.set(keyOf(run), started);
    const inSession = bySession.get(run.sessionKey);
    if (inSession) inSession.add(started);
    else bySession.set(run.sessionKey, new Set([started]));
    // It is written down already, and those before it in its session go on later as well.
    if (isClosing) started.controller.abort(shutdown);
    return started;
  }

  /** Writes a request down. Whoever takes up what was left finds it there, or it was refused. */
  async function enter<T>(write: () => Promise<T>): Promise<T> {
    if (isClosed) throw startsAnew();
    const entered = write();
    entering.add(entered);
    try {
      return await entered;
    } finally {
      entering.delete(entered);
    }
  }

  async function follow(started: LiveRun): Promise<Outcome> {
    // A turn of the event loop later, so that the caller's answer leaves before the run's first event.
    const leave = await turnstile();
    const outcome = await execute(started);
    leave();
    settle(started, outcome);
    return outcome;
  }

  const endedAs = (runId: string): readonly Ended[] => [
    ...(finished.get(runId) ?? []),
    ...(before.get(runId) ?? []),
  ];

  /** How this very request ended, not somebody else's under the same id. */
  function outcomeOf(run: Ended["run"]): Outcome | undefined {
    return endedAs(run.id).find((ended) => keyOf(ended.run) === keyOf(run))?.outcome;
  }

  const isLive = (runId: string, principal?: string): boolean =>
    [...live.values()].some(
      ({ run }) => run.id === runId && (principal === undefined || run.principal === principal),
    );

  /** The caller's own run of that id, or else the last that anybody had. */
  function endOf(runId: string, principal: string): Outcome | undefined {
    const ended = endedAs(runId);
    const own = ended.find(({ run }) => run.principal === principal);
    return own?.outcome ?? (isLive(runId, principal) ? undefined : ended[0]?.outcome);
  }

  function settle(ended: LiveRun, outcome: Outcome): void {
    const { run } = ended;
    live.delete(keyOf(run));
    const inSession = bySession.get(run.sessionKey);
    inSession?.delete(ended);
    if (inSession?.size === 0) bySession.delete(run.sessionKey);
    if (outcome.status === "interrupted") return;
    if (finished.size >= maxFinished / 2) {
      before = finished;
      finished = new Map();
    }
    const { method, principal, id } = run;
    const others = (finished.get(id) ?? []).slice(0, maxSameId - 1);
    finished.set(id, [{ run: { method, principal, id }, outcome }, ...others]);
    for (const waiter of waiting.get(id) ?? [])
      if (waiter.principal === principal || !isLive(id, waiter.principal)) waiter.end(outcome);
  }

  /** Never rejects: however a run ends, its end is an outcome. */
  async function execute(alive: LiveRun): Promise<Outcome> {
    const { run, request, controller } = alive;
    const startedAt = now();
    const typing = request.target && startTyping(request.target, controller.signal);
    let timer: NodeJS.Timeout | undefined;
    let outcome: Outcome;
    try {
      const timeoutMs = Math.min(request.timeoutMs ?? settings.timeoutMs, longestTimer);
      const begin = (): void => {
        if (timeoutMs > 0) timer = setTimeout(() => stop(alive, "timeout"), timeoutMs).unref();
      };
      const result = await perform(alive, begin);
      outcome = { status: "ok", startedAt, endedAt: now(), texts: result.texts, result };
    } catch (error) {
      outcome = failed(alive, error, startedAt);
    } finally {
      clearTimeout(timer);
      typing?.[Symbol.dispose]();
    }
    if (outcome.status === "interrupted") return outcome;
    return finish(run, request, outcome);
  }

  /** Delivers what there is to say and writes down how it ended. */
  async function finish(run: Run, { target }: RunRequest, outcome: Outcome): Promise<Outcome> {
    const text = wordsFor(outcome);
    try {
      let current = run;
      if (target && text !== "") {
        let isLeaving = false;
        try {
          await send(target, text, async () => {
            // Written before the message leaves: after a crash in between it is not sent a second time.
            current = await context.runs.mark(current, "replying");
            isLeaving = true;
          });
        } catch (error) {
          if (!isLeaving) throw error;
          log.error(
            { err: error, runId: run.id, channel: target.channel },
            `the answer to run ${run.id} could not be delivered through ${target.channel}`,
          );
          await context.runs.mark(current, "error", `not delivered: ${reasonOf(error)}`);
          return {
            ...outcome,
            status: "error",
            error: `The answer could not be delivered through ${target.channel}: ${reasonOf(error)}`,
          };
        }
      }
      if (outcome.status !== "interrupted") await context.runs.mark(current, outcome.status, outcome.error);
    } catch (error) {
      // The run stays unsettled and is looked at again after a restart; the transcript says that it was answered.
      log.error({ err: error, runId: run.id }, `the end of run ${run.id} could not be stored`);
    }
    return outcome;
  }

  function failed(alive: LiveRun, error: unknown, startedAt: number): Outcome {
    const { run, controller, stopReason } = alive;
    const base = { startedAt, endedAt: now(), texts: [] };
    if (stopReason) return { ...base, status: "aborted", stopReason, error: `stopped (${stopReason})` };
    if (controller.signal.reason === shutdown && controller.signal.aborted) {
      alive.events?.silence();
      return { ...base, status: "interrupted" };
    }
    const level = isRclawError(error) ? "warn" : "error";
    log[level]({ err: error, runId: run.id, sessionKey: run.sessionKey }, `run ${run.id} failed`);
    const message = reasonOf(error);
    const errorKind = isRclawError(error) ? error.details?.["kind"] : undefined;
    eventsOf(alive).fail(message, errorKind);
    return { ...base, status: "error", error: message, errorKind };
  }

  function eventsOf(alive: LiveRun, entry?: SessionEntry): RunEvents {
    const { run, watchers } = alive;
    alive.events ??= new RunEvents({
      gateway,
      runId: run.id,
      sessionKey: run.sessionKey,
      watchers,
      fullTools: (entry?.verboseLevel ?? settings.verbose) === "full",
      now,
    });
    return alive.events;
  }

  async function perform(alive: LiveRun, begin: () => void): Promise<TurnResult> {
    const { run, request, controller, resumed } = alive;
    const { command } = request;
    const { signal } = controller;
    let { text } = request;
    if (command?.name === "new" || command?.name === "reset") {
      text = command.rest;
      if (!resumed || !(await isWritten(run))) await reset(run.sessionKey, command.name, signal);
      if (text === "") return reply(alive, "Started a new session.");
    } else if (command) {
      return reply(alive, await answer(command, { sessionKey: run.sessionKey, request, signal }));
    }
    const session = await context.sessions.open(run.sessionKey, signal);
    held.set(run.sessionKey, session);
    try {
      signal.throwIfAborted();
      begin();
      const events = eventsOf(alive, session.entry);
      events.start(now());
      const agentId = agentOf(run.sessionKey);
      const result = await runTurn(
        session,
        { run, request, text, agentId, isOwner: request.isOwner, resumed, events, signal },
        options,
      );
      await remember(session, result, alive);
      return result;
    } catch (error) {
      if (alive.stopReason && session.entry.abortedLastRun !== true)
        await note(session, { abortedLastRun: true });
      throw error;
    } finally {
      held.delete(run.sessionKey);
      await session[Symbol.asyncDispose]();
    }
  }

  /** The session's accounting. Written only when something changed, since every run passes here. */
  async function remember(session: Session, result: TurnResult, { run, request }: LiveRun): Promise<void> {
    const { from, usage, lastUsage, contextTokens } = result;
    const prompt = lastUsage.input + lastUsage.cacheRead + lastUsage.cacheWrite;
    const wanted: Record<string, unknown> = {
      systemSent: true,
      abortedLastRun: false,
      ...(from && { modelProvider: from.provider, model: from.model }),
      ...(from && {
        inputTokens: usage.input,
        outputTokens: usage.output,
        totalTokens: prompt,
        totalTokensFresh: true,
        contextTokens: contextTokens ?? null,
      }),
      ...(request.channel &&
        request.target && {
          channel: request.channel,
          lastChannel: request.target.channel,
          lastTo: request.target.to,
          lastAccountId: request.target.accountId,
          lastThreadId: request.target.threadId ?? null,
        }),
      // Who chats over the protocol reads along there; a channel that was used before stays the place to reach them.
      ...(run.method === "chat.send" &&
        session.entry["lastChannel"] === undefined && { lastChannel: "webchat" }),
    };
    const changed = Object.entries(wanted).filter(([key, value]) => (session.entry[key] ?? null) !== value);
    if (changed.length > 0) await note(session, Object.fromEntries(changed));
  }

  async function note(session: Session, fields: Record<string, unknown>): Promise<void> {
    try {
      await session.patch(fields);
    } catch (error) {
      log.warn({ err: error, sessionKey: session.key }, "the session's accounting could not be stored");
    }
  }

  async function isWritten(run: Run): Promise<boolean> {
    return (await context.sessions.tail(run.sessionKey, 200)).some(ownLines(run));
  }

  async function reset(sessionKey: string, reason: "new" | "reset", signal: AbortSignal): Promise<void> {
    const before = await context.sessions.find(sessionKey);
    const agentId = agentOf(sessionKey);
    const known = before && conversations.find(sessionKey, before.sessionId, before["compactionCount"]);
    const messages = before && (known?.messages ?? []);
    const file = before?.["sessionFile"];
    if (before && messages) {
      const place = { agentId, sessionKey, sessionId: before.sessionId };
      await context.hooks.run(
        "before_reset",
        { messages, reason, ...(typeof file === "string" && { sessionFile: file }) },
        place,
      );
    }
    await context.sessions.reset(sessionKey, reason, signal);
    if (!before || !messages) return;
    const ended = { sessionId: before.sessionId, messageCount: messages.length };
    void context.hooks.run("session_end", ended, { agentId, sessionId: before.sessionId });
  }

  /** Answered by the gateway itself, without a model and without waiting for the session's writer. */
  async function reply(alive: LiveRun, text: string): Promise<TurnResult> {
    const usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
    const from = { provider: "rclaw", model: "gateway-injected" };
    const entry = await context.sessions.find(alive.run.sessionKey);
    eventsOf(alive).reply(
      storedAssistant([{ type: "text", text }], { from, usage, stopReason: "stop", timestamp: now() }),
    );
    return { sessionId: entry?.sessionId ?? "", texts: [text], from: undefined, usage, lastUsage: usage };
  }

  function startTyping(target: Target, signal: AbortSignal): Disposable {
    const show = (): void =>
      void context.channels.typing(target.channel, target, signal).catch(() => undefined);
    show();
    const timer = setInterval(show, typingEveryMs).unref();
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  function stop(alive: LiveRun, reason: StopReason): boolean {
    if (alive.stopReason || alive.controller.signal.aborted) return false;
    alive.stopReason = reason;
    eventsOf(alive).abort(reason);
    alive.controller.abort(new RclawError("ABORTED", `run ${alive.run.id} was stopped (${reason})`));
    return true;
  }

  /** The configuration may have changed since; an agent that is gone gets no folder again. */
  function refuseUnknownAgent({ sessionKey }: Run): void {
    const agentId = agentOf(sessionKey);
    if (agentId === agentOf("") || settings.agents.has(agentId)) return;
    throw new RclawError("INVALID_REQUEST", `agent "${agentId}" is no longer in agents.list`);
  }

  /** What was asked of a process that is gone. */
  async function requestAgain(run: Run): Promise<RunRequest> {
    const request = requestOf(run, log);
    if (run.method !== "agent" || !request.wantsDelivery || request.target) return request;
    return { ...request, target: await lastTarget(context.sessions, run) };
  }

  function watch(alive: LiveRun, { connId, caps }: Caller): void {
    if (connId !== undefined && caps.includes("tool-events")) alive.watchers.add(connId);
  }

  return {
    start,
    enter,
    find: (run: Pick<Run, "method" | "principal" | "id">): LiveRun | undefined => live.get(keyOf(run)),
    finished: outcomeOf,
    endOf,
    watch,
    /** The session as the run that writes it holds it. */
    held: (sessionKey: string): Session | undefined => held.get(sessionKey),
    /** Stops one run of a session, or all of them. */
    abort(sessionKey: string, runId: string | undefined, reason: StopReason): readonly string[] {
      const all = [...(bySession.get(sessionKey) ?? [])].filter(
        ({ run }) => runId === undefined || run.id === runId,
      );
      return all.filter((alive) => stop(alive, reason)).map(({ run }) => run.id);
    },
    isLiveElsewhere: (sessionKey: string, runId: string): boolean =>
      [...live.values()].some(({ run }) => run.id === runId && run.sessionKey !== sessionKey),

    /** Resolves with how the run ended, or undefined when it has not within the time. It may not exist yet. */
    wait(
      runId: string,
      principal: string,
      { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
    ): Promise<Outcome | undefined> {
      const known = endOf(runId, principal);
      if (known && !isLive(runId)) return Promise.resolve(known);
      if (isClosing) return Promise.reject(startsAnew());
      return new Promise((resolve, reject) => {
        const leave = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", onAbort);
          const waiters = waiting.get(runId);
          waiters?.delete(waiter);
          if (waiters?.size === 0) waiting.delete(runId);
        };
        const end = (outcome: Outcome | undefined): void => (leave(), resolve(outcome));
        const drop = (): void => (leave(), reject(startsAnew()));
        const waiter: Waiter = { principal, end, drop };
        const onAbort = (): void => end(undefined);
        const timer = setTimeout(end, Math.min(timeoutMs, longestTimer), undefined).unref();
        signal.addEventListener("abort", onAbort, { once: true });
        const waiters = waiting.get(runId);
        if (waiters) waiters.add(waiter);
        else waiting.set(runId, new Set([waiter]));
      });
    },

    /** What a crash or a shutdown left: accepted runs go on, and one whose answer may have left is only settled. */
    async resume(): Promise<void> {
      const over: (() => Promise<Run>)[] = [];
      for (const run of context.runs.unsettled()) {
        if (live.has(keyOf(run))) continue;
        if (run.state === "replying") {
          over.push(() => context.runs.mark(run, "ok"));
          continue;
        }
        try {
          refuseUnknownAgent(run);
          start(run, { request: await requestAgain(run), resumed: true });
        } catch (error) {
          over.push(() => context.runs.mark(run, "error", reasonOf(error)));
        }
      }
      // The disk comes last: what is said meanwhile must not overtake what was said before.
      for (const settleNow of over) await settleNow();
    },

    /** Lets go of everything at once; what was accepted goes on when this plugin is active again. */
    async close(): Promise<void> {
      isClosing = true;
      for (const { controller, events } of live.values()) {
        events?.silence();
        controller.abort(shutdown);
      }
      while (live.size + entering.size > 0)
        await Promise.allSettled([...entering, ...[...live.values()].map(({ done }) => done)]);
      for (const waiters of [...waiting.values()]) for (const waiter of [...waiters]) waiter.drop();
      isClosed = true;
    },
  };
}

const startsAnew = (): RclawError =>
  new RclawError("UNAVAILABLE", "the agent starts anew; ask again in a moment", { retryable: true });

/** What goes to the channel. A person who pressed stop knows why nothing came; one who ran into the time limit does not. */
function wordsFor({ status, texts, error, stopReason }: Outcome): string {
  if (status === "error") return `I could not answer: ${error}`;
  if (status === "aborted")
    return stopReason === "timeout"
      ? "I ran out of time before I could answer. Ask again, perhaps for less at once."
      : "";
  return texts.join("\n\n");
}

const keyOf = ({ method, principal, id }: Pick<Run, "method" | "principal" | "id">): string =>
  `${method}\n${principal}\n${id}`;
