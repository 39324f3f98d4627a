import { randomUUID } from "node:crypto";
import {
  type Caller,
  defineMethod,
  isRclawError,
  type Method,
  type PluginContext,
  RclawError,
  type Run,
} from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { agentIdOf } from "@rclaw/plugin-sdk/services/agents";
import { createChatPages } from "./chat-page.ts";
import { commandList, isStop, isStopCommand } from "./commands.ts";
import type { Settings } from "./config.ts";
import { messageOf } from "./messages.ts";
import {
  agentParams,
  agentWaitParams,
  chatAbortParams,
  chatHistoryParams,
  chatSendParams,
  commandsListParams,
  modelsListParams,
  noParams,
  wakeParams,
} from "./methods.schema.ts";
import { type Models, noModel } from "./models.ts";
import { refuseUnknownChannel } from "./named-channel.ts";
import { ownLines } from "./own-lines.ts";
import { invalid, isFromPlugin, requestOf, type RunRequest, withOwner } from "./request.ts";
import type { Outcome } from "./live-run.ts";
import type { Runs } from "./runs.ts";
import type { SystemLines } from "./system-lines.ts";
import { lastTarget } from "./target.ts";
import { cleanInput } from "./text.ts";

export interface MethodsOptions {
  readonly context: PluginContext;
  readonly settings: Settings;
  readonly models: Models;
  readonly runs: Runs;
  readonly systemLines: SystemLines;
  readonly mainKey: string;
  agentOf(sessionKey: string): string;
}

interface Accepted {
  readonly run: Run;
  readonly request: RunRequest;
  readonly duplicate: boolean;
}

const waitMs = 30_000;
const noTarget =
  "delivery channel is required: pass --channel/--reply-channel or use a main session with a previous channel";

/** The protocol's methods around conversations. */
export function agentMethods({
  context,
  settings,
  models,
  runs,
  systemLines,
  mainKey,
  agentOf,
}: MethodsOptions): readonly Method[] {
  const { sessions, log } = context;
  const page = createChatPages({ context, settings });

  function canonical(key: string, method: string): string {
    try {
      return sessions.canonical(key);
    } catch (error) {
      if (!isRclawError(error) || error.message.startsWith("invalid ")) throw error;
      // Clients of `agent` know the short form; the advice is for people, who type keys elsewhere.
      throw invalid(method, method === "agent" ? error.message.replace(/: use .*/, "") : error.message);
    }
  }

  /** Clients of protocol 4 name the agent beside a short key. */
  function keyFor({ sessionKey, agentId }: { sessionKey: string; agentId?: string }, method: string): string {
    const isShort = agentId !== undefined && !/^(?:agent:|global$|unknown$)/i.test(sessionKey.trim());
    const key = canonical(
      isShort ? `agent:${agentId.trim().toLowerCase()}:${sessionKey.trim()}` : sessionKey,
      method,
    );
    if (agentId === undefined || !key.startsWith("agent:") || agentOf(key) === agentIdOf(agentId)) return key;
    throw new RclawError("INVALID_REQUEST", "session key agent does not match agentId");
  }

  function knownAgent(asked: string | undefined): string {
    const agentId = asked?.trim() ? agentIdOf(asked) : settings.defaultAgent;
    if (settings.agents.has(agentId)) return agentId;
    throw new RclawError("INVALID_REQUEST", `unknown agent id "${asked}"`);
  }

  /** An agent that nobody configured gets no folder by being named. */
  function ofKnownAgent(key: string, method: string): string {
    const agentId = agentOf(key);
    if (settings.agents.has(agentId)) return key;
    throw invalid(method, `unknown agent id "${agentId}"`);
  }

  async function accept(
    asked: Omit<Run, "acceptedAt" | "state" | "principal">,
    { principal, isOwner }: Caller,
  ): Promise<Accepted> {
    const run = { ...asked, principal, params: withOwner(asked.params, { principal, isOwner }) };
    const request = requestOf(run, log);
    // A platform's message id is the message, though its sender may have another name by now.
    const known = isFromPlugin(principal) ? context.runs.find(run.method, principal, run.id) : undefined;
    if (known) return { run: known, request, duplicate: true };
    const { run: stored, duplicate } = await runs.enter(() => context.runs.accept(run));
    return { run: stored, request, duplicate };
  }

  /** The session a request means, with the agent it belongs to. */
  async function sessionFor(params: {
    sessionKey?: string;
    sessionId?: string;
    agentId?: string;
  }): Promise<string> {
    const { agentId, sessionKey, sessionId } = params;
    const agent = agentId?.trim() ? agentIdOf(agentId) : undefined;
    if (agent && !settings.agents.has(agent)) throw invalid("agent", `unknown agent id "${agentId}"`);
    if (sessionKey) {
      const key = canonical(sessionKey, "agent");
      if (agent && agentOf(key) !== agent)
        throw invalid("agent", `agent "${agentId}" does not match session key agent "${agentOf(key)}"`);
      return ofKnownAgent(key, "agent");
    }
    if (sessionId) {
      const found = (await sessions.list()).find((entry) => entry.sessionId === sessionId);
      if (found) return ofKnownAgent(found.key, "agent");
    }
    return agent ? canonical(`agent:${agent}:main`, "agent") : mainKey;
  }

  async function agent({ params, caller, accept: answer }: MethodCall<AgentCall>): Promise<unknown> {
    const sessionKey = await sessionFor(params);
    const fields = params as unknown as Record<string, unknown>;
    const { deliver, channel, replyChannel = channel } = fields;
    await refuseUnknownChannel(context, "agent", { deliver, channel: replyChannel, caller });
    if (channel !== replyChannel)
      await refuseUnknownChannel(context, "agent", { deliver: false, channel, caller });
    const { run, request, duplicate } = await accept(
      { id: params.idempotencyKey, sessionKey, method: "agent", params: fields },
      caller,
    );
    let { target } = request;
    if (request.wantsDelivery && !target && !duplicate) {
      target = await lastTarget(sessions, run);
      if (!target && fields["bestEffortDeliver"] !== true) {
        await context.runs.mark(run, "error", noTarget);
        throw new RclawError("INVALID_REQUEST", noTarget);
      }
    }
    const alive = duplicate ? runs.find(run) : undefined;
    if (duplicate && !alive) return settledAnswer(run);
    answer({ runId: run.id, status: "accepted", acceptedAt: run.acceptedAt });
    if (alive) runs.watch(alive, caller);
    // On a channel "wait" is a word like any other, unless there is something to stop.
    const count = !alive && isStop(params.message) ? runs.abort(sessionKey, undefined, "stop").length : 0;
    const stops = count > 0 || isStopCommand(params.message);
    const asked = { ...request, target };
    const wanted: RunRequest = stops ? { ...asked, command: { name: "stopped", count } } : asked;
    const { done } = alive ?? runs.start(run, { request: wanted, caller });
    return finalAnswer(run, await done);
  }

  /** The run ended before this process knew of it: what the store and the transcript still say. */
  async function settledAnswer(run: Run): Promise<unknown> {
    const outcome = runs.finished(run);
    if (outcome) return finalAnswer(run, outcome);
    if (run.state === "error" || run.state === "aborted") throw failure(run.id, run.error ?? run.state);
    const entries = await sessions.tail(run.sessionKey, 400);
    const texts = entries.filter(ownLines(run)).flatMap((entry) => {
      const message = messageOf(entry);
      if (message?.role !== "assistant" || !Array.isArray(message["content"])) return [];
      const text = message["content"]
        .map((block: Record<string, unknown>) => (block["type"] === "text" ? String(block["text"]) : ""))
        .join("");
      return text.trim() === "" ? [] : [text.trim()];
    });
    return {
      runId: run.id,
      status: "ok",
      summary: "completed",
      result: { payloads: payloads(texts), meta: { aborted: false } },
    };
  }

  async function chatSend({ params, caller }: MethodCall<ChatCall>): Promise<unknown> {
    const sessionKey = ofKnownAgent(keyFor(params, "chat.send"), "chat.send");
    if (isStop(params.message)) return aborted(runs.abort(sessionKey, undefined, "stop"));
    const fields = params as unknown as Record<string, unknown>;
    const { deliver, originatingChannel: channel } = fields;
    await refuseUnknownChannel(context, "chat.send", { deliver, channel, caller });
    const { run, request, duplicate } = await accept(
      { id: params.idempotencyKey, sessionKey, method: "chat.send", params: fields },
      caller,
    );
    if (!duplicate) {
      if (fields["queueMode"] === "interrupt") runs.abort(sessionKey, undefined, "rpc");
      runs.start(run, { request, caller });
      return { runId: run.id, status: "started" };
    }
    return duplicateChat(run, caller);
  }

  async function duplicateChat(run: Run, caller: Caller): Promise<unknown> {
    const alive = runs.find(run);
    if (alive) {
      runs.watch(alive, caller);
      if (!alive.events?.ended) return { runId: run.id, status: "in_flight" };
      await alive.done;
    }
    const outcome = runs.finished(run);
    const state = outcome?.status ?? run.state;
    if (state === "error") throw failure(run.id, outcome?.error ?? run.error ?? "the run failed");
    return { runId: run.id, status: state === "accepted" || state === "replying" ? "in_flight" : state };
  }

  async function chatAbort({
    params,
  }: MethodCall<{ sessionKey: string; runId?: string; agentId?: string }>): Promise<unknown> {
    const key = keyFor(params, "chat.abort");
    if (params.runId !== undefined && runs.isLiveElsewhere(key, params.runId)) {
      throw new RclawError("INVALID_REQUEST", "runId does not match sessionKey");
    }
    return aborted(runs.abort(key, params.runId, "rpc"));
  }

  async function wait({
    params,
    caller,
    signal,
  }: MethodCall<{ runId: string; timeoutMs?: number }>): Promise<unknown> {
    const { runId, timeoutMs = waitMs } = params;
    const stored = runs.endOf(runId, caller.principal) ? undefined : settledRun(runId, caller);
    if (stored) return waitAnswer(runId, stored);
    const ended = await runs.wait(runId, caller.principal, { timeoutMs, signal });
    return ended ? waitAnswer(runId, ended) : { runId, status: "timeout" };
  }

  /** Of a run that ended before this process started. */
  function settledRun(
    runId: string,
    { principal }: Caller,
  ): Pick<Outcome, "status" | "startedAt" | "endedAt" | "error"> | undefined {
    for (const method of ["agent", "chat.send"]) {
      const run = context.runs.find(method, principal, runId);
      if (!run || runs.find(run) || run.state === "accepted" || run.state === "replying") continue;
      const { state, acceptedAt, endedAt = acceptedAt, error } = run;
      return { status: state, startedAt: acceptedAt, endedAt, ...(error !== undefined && { error }) };
    }
    return undefined;
  }

  async function wake({ params, caller }: MethodCall<WakeCall>): Promise<unknown> {
    const text = cleanInput(params.text, "wake").trim();
    if (text === "") return { ok: false };
    const sessionKey = wokenSession(params);
    if (params.mode === "next-heartbeat") {
      await systemLines.add(sessionKey, text, Date.now());
      return { ok: true };
    }
    const { run, request } = await accept(
      { id: randomUUID(), sessionKey, method: "wake", params: { text, mode: params.mode } },
      caller,
    );
    runs.start(run, { request, caller });
    return { ok: true };
  }

  function wokenSession({ sessionKey, agentId }: WakeCall): string {
    const agent = agentId?.trim().toLowerCase();
    if (!sessionKey?.trim())
      return agent ? ofKnownAgent(canonical(`agent:${agent}:main`, "wake"), "wake") : mainKey;
    const key = canonical(sessionKey, "wake");
    if (/^agent:[^:]+:subagent:/.test(key))
      throw new RclawError("INVALID_REQUEST", "wake sessionKey cannot target a subagent session");
    if (agent && agentOf(key) !== agent) {
      const message =
        "wake agentId contradicts the agent that owns sessionKey; pass a single canonical wake target";
      throw new RclawError("INVALID_REQUEST", message);
    }
    return ofKnownAgent(key, "wake");
  }

  return [
    defineMethod({
      name: "agent",
      since: "2026.2.17",
      params: agentParams,
      handle: (call) => agent(call as MethodCall<AgentCall>),
    }),
    defineMethod({
      name: "agent.wait",
      since: "2026.2.17",
      params: agentWaitParams,
      handle: (call) => wait(call as Parameters<typeof wait>[0]),
    }),
    defineMethod({
      name: "wake",
      since: "2026.2.17",
      params: wakeParams,
      handle: (call) => wake(call as MethodCall<WakeCall>),
    }),
    defineMethod({
      name: "chat.send",
      since: "2026.2.17",
      params: chatSendParams,
      handle: (call) => chatSend(call as MethodCall<ChatCall>),
    }),
    defineMethod({
      name: "chat.history",
      since: "2026.2.17",
      params: chatHistoryParams,
      handle: ({ params, caller }) => page(canonical(params.sessionKey, "chat.history"), params, caller),
    }),
    defineMethod({
      name: "chat.abort",
      since: "2026.2.17",
      params: chatAbortParams,
      handle: (call) => chatAbort(call as Parameters<typeof chatAbort>[0]),
    }),
    defineMethod({
      name: "models.list",
      since: "2026.2.17",
      params: modelsListParams,
      async handle({ params, caller, signal }) {
        const agentId = knownAgent(params.agentId);
        const isNewer = (caller.protocol ?? 3) >= 4;
        return { models: await models.list(signal, { ...params, agentId, isNewer }) };
      },
    }),
    defineMethod({
      name: "commands.list",
      since: "2026.5.7",
      params: commandsListParams,
      async handle({ params }) {
        knownAgent(params.agentId);
        return { commands: commandList(params) };
      },
    }),
    defineMethod({
      name: "models.default",
      since: "rclaw",
      params: noParams,
      async handle() {
        const choice = await models.glance({ agentId: agentOf(mainKey) });
        if (!choice) throw noModel();
        const { provider, model, reason } = choice;
        return { provider, model, reason };
      },
    }),
  ];
}

interface AgentCall {
  readonly message: string;
  readonly idempotencyKey: string;
  readonly agentId?: string;
  readonly sessionKey?: string;
  readonly sessionId?: string;
}

interface WakeCall {
  readonly mode: "now" | "next-heartbeat";
  readonly text: string;
  readonly sessionKey?: string;
  readonly agentId?: string;
}

interface ChatCall {
  readonly sessionKey: string;
  readonly message: string;
  readonly idempotencyKey: string;
}

const aborted = (runIds: readonly string[]): object => ({ ok: true, aborted: runIds.length > 0, runIds });

const payloads = (texts: readonly string[]): object[] => texts.map((text) => ({ text, mediaUrl: null }));

/** The second answer of `agent`: the run's whole result, or its error. */
function finalAnswer(run: Run, outcome: Outcome): unknown {
  const { status, startedAt, endedAt, texts, result, stopReason } = outcome;
  if (status === "interrupted") {
    throw new RclawError(
      "UNAVAILABLE",
      "the gateway is restarting; the run goes on afterwards. Ask again with the same idempotencyKey",
      {
        retryable: true,
        details: { runId: run.id, status },
      },
    );
  }
  if (status === "error") throw failure(run.id, outcome.error ?? "the run failed");
  const meta = {
    durationMs: endedAt - startedAt,
    ...agentMeta(outcome),
    aborted: status === "aborted",
    ...(stopReason && { stopReason }),
  };
  return {
    runId: run.id,
    status: status === "aborted" ? "aborted" : "ok",
    summary: status === "aborted" ? "aborted" : "completed",
    result: { payloads: payloads(result?.texts ?? texts), meta },
  };
}

function agentMeta({ result }: Outcome): object {
  if (!result?.from) return {};
  const { sessionId, from, usage, lastUsage } = result;
  const promptTokens = lastUsage.input + lastUsage.cacheRead + lastUsage.cacheWrite;
  const total = promptTokens + lastUsage.output;
  return {
    agentMeta: {
      sessionId,
      provider: from.provider,
      model: from.model,
      usage: {
        input: usage.input,
        output: usage.output,
        total: usage.input + usage.cacheRead + usage.cacheWrite + usage.output,
      },
      lastCallUsage: { ...lastUsage, total },
      promptTokens,
    },
  };
}

function failure(runId: string, summary: string): RclawError {
  return new RclawError("UNAVAILABLE", summary, {
    details: { payload: { runId, status: "error", summary } },
  });
}

function waitAnswer(
  runId: string,
  { status, startedAt, endedAt, error, stopReason }: Partial<Outcome>,
): object {
  const times = { startedAt, endedAt };
  if (status === "ok") return { runId, status: "ok", ...times };
  if (status === "interrupted") return { runId, status: "timeout" };
  return {
    runId,
    status: stopReason === "timeout" ? "timeout" : "error",
    ...times,
    error: error ?? "the run failed",
  };
}
