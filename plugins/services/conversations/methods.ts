import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { randomUUID } from "node:crypto";
import {
  type Caller,
  defineMethod,
  isRclawError,
  type Method,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import { createSessions } from "./create.ts";
import {
  abortParams,
  createParams,
  followParams,
  getParams,
  noParams,
  patchManyParams,
  searchParams,
  sendParams,
  subscribeParams,
} from "./methods.schema.ts";
import { createSearch } from "./search.ts";
import type { Subscriptions } from "./subscriptions.ts";

export interface ConversationMethodsOptions {
  readonly context: PluginContext;
  readonly subscriptions: Subscriptions;
}

const since = "2026.5.7";

/** `sessions.create`, `send`, `steer`, `abort`, `get` and the subscriptions. */
export function conversationMethods({
  context,
  subscriptions,
}: ConversationMethodsOptions): readonly Method[] {
  const { sessions, methods, runs } = context;
  const create = createSessions(context, keyOf);
  const search = createSearch(context, { keyOf, now: Date.now });

  /** A short key may be another agent's than the first one's. */
  function keyOf(given: string, agentId?: string): string {
    const agent = agentId?.trim().toLowerCase();
    const key = given.trim();
    if (!agent || /^(global|unknown)$/i.test(key)) return sessions.canonical(key);
    if (!/^agent:/i.test(key)) return sessions.canonical(`agent:${agent}:${key}`);
    const canonical = sessions.canonical(key);
    if (!canonical.startsWith(`agent:${agent}:`))
      throw new RclawError("INVALID_REQUEST", "session key agent does not match agentId");
    return canonical;
  }

  async function send(
    { key: given, agentId, mentions: _mentions, idempotencyKey, ...rest }: Static<typeof sendParams>,
    { caller, interrupts }: { readonly caller: Caller; readonly interrupts: boolean },
  ): Promise<unknown> {
    const key = keyOf(given, agentId);
    // An agent's own session is always there, whether somebody has written to it or not.
    const isMain = !interrupts && (key === sessions.canonical("main") || /^agent:[^:]+:main$/.test(key));
    // The first message to a session makes it when its run begins.
    const isBeingMade = runs.unsettled().some(({ sessionKey }) => sessionKey === key);
    if (!isMain && !isBeingMade && !(await sessions.find(key)))
      throw new RclawError("INVALID_REQUEST", `session not found: ${given}`);
    const stopped = interrupts ? await stop(key, undefined, caller) : [];
    const params = { sessionKey: key, ...rest, idempotencyKey: idempotencyKey?.trim() || randomUUID() };
    const answer = await methods.call("chat.send", params, { as: caller });
    return { ...(isRecord(answer) && answer), ...(stopped.length > 0 && { interruptedActiveRun: true }) };
  }

  async function stop(
    sessionKey: string,
    runId: string | undefined,
    caller: Caller,
  ): Promise<readonly unknown[]> {
    const params = { sessionKey, ...(runId !== undefined && { runId }) };
    const answer = await methods.call("chat.abort", params, { as: caller });
    return isRecord(answer) && Array.isArray(answer["runIds"]) ? answer["runIds"] : [];
  }

  async function abort(
    { key: given, runId, agentId }: Static<typeof abortParams>,
    caller: Caller,
  ): Promise<unknown> {
    const ofRun = runs.unsettled().find(({ id }) => id === runId)?.sessionKey;
    if (given === undefined && runId === undefined) throw new RclawError("INVALID_REQUEST", "key required");
    const key = given === undefined ? ofRun : keyOf(given, agentId);
    const [first = null] = key === undefined ? [] : await stop(key, runId, caller);
    return { ok: true, abortedRunId: first, status: first === null ? "no-active-run" : "aborted" };
  }

  async function get(params: Static<typeof getParams>, caller: Caller): Promise<unknown> {
    const given = params.key ?? params.sessionKey;
    if (given === undefined) throw new RclawError("INVALID_REQUEST", "key required");
    const { limit = 200 } = params;
    const asked = {
      sessionKey: keyOf(given, params.agentId),
      limit: Math.min(Math.max(1, Math.floor(limit)), 1_000),
    };
    const answer = await methods.call("chat.history", asked, { as: caller });
    return { messages: isRecord(answer) ? answer["messages"] : [] };
  }

  async function subscribe(params: Readonly<Record<string, unknown>>, caller: Caller): Promise<unknown> {
    const { connId } = caller;
    const list =
      Object.keys(params).length > 0
        ? await methods.call("sessions.list", params, { as: caller })
        : undefined;
    if (connId !== undefined) subscriptions.followAll(connId, true);
    return { subscribed: connId !== undefined, ...(list !== undefined && { list }) };
  }

  /** One that is refused keeps nobody else from being changed. */
  async function patchMany(
    { targets, patch }: Static<typeof patchManyParams>,
    as: Caller,
  ): Promise<{ readonly outcomes: readonly object[] }> {
    const outcomes: object[] = [];
    for (const { key, agentId, expectedSessionId } of targets) {
      const about = { key, ...(agentId !== undefined && { agentId }) };
      const params = { ...patch, ...about, ...(expectedSessionId !== undefined && { expectedSessionId }) };
      try {
        await methods.call("sessions.patch", params, { as });
        outcomes.push({ ok: true, ...about });
      } catch (error) {
        if (!isRclawError(error)) throw error;
        const { code, message, retryable } = error;
        outcomes.push({ ok: false, ...about, error: { code, message, ...(retryable && { retryable }) } });
      }
    }
    return { outcomes };
  }

  const follow = (params: Static<typeof followParams>, { connId }: Caller): unknown => {
    // Who may decide hears of approvals by `exec.approval.requested`; without a replay in the answer
    // a client that asked for them by session knows that it has to look there.
    const key = keyOf(params.key, params.agentId);
    if (connId !== undefined) subscriptions.follow(connId, key);
    return { subscribed: connId !== undefined, key };
  };

  const unfollow = (params: Static<typeof followParams>, { connId }: Caller): unknown => {
    const key = keyOf(params.key, params.agentId);
    if (connId !== undefined) subscriptions.unfollow(connId, key);
    return { subscribed: false, key };
  };

  return [
    defineMethod({
      name: "sessions.create",
      since,
      params: createParams,
      handle: ({ params, caller }) => create(params, caller),
    }),
    defineMethod({
      name: "sessions.send",
      since,
      params: sendParams,
      handle: ({ params, caller }) => send(params, { caller, interrupts: false }),
    }),
    defineMethod({
      name: "sessions.steer",
      since,
      params: sendParams,
      handle: ({ params, caller }) => send(params, { caller, interrupts: true }),
    }),
    defineMethod({
      name: "sessions.abort",
      since,
      params: abortParams,
      handle: ({ params, caller }) => abort(params, caller),
    }),
    defineMethod({
      name: "sessions.get",
      since,
      params: getParams,
      handle: ({ params, caller }) => get(params, caller),
    }),
    defineMethod({
      name: "sessions.search",
      since: "2026.9",
      params: searchParams,
      handle: ({ params, caller, signal }) => search(params, caller, signal),
    }),
    defineMethod({
      name: "sessions.patchMany",
      since: "2026.9",
      params: patchManyParams,
      handle: ({ params, caller }) => patchMany(params, caller),
    }),
    defineMethod({
      name: "sessions.subscribe",
      since,
      params: subscribeParams,
      handle: ({ params, caller }) => subscribe(params as Readonly<Record<string, unknown>>, caller),
    }),
    defineMethod({
      name: "sessions.unsubscribe",
      since,
      params: noParams,
      async handle({ caller: { connId } }) {
        if (connId !== undefined) subscriptions.followAll(connId, false);
        return { subscribed: false };
      },
    }),
    defineMethod({
      name: "sessions.messages.subscribe",
      since,
      params: followParams,
      handle: async ({ params, caller }) => follow(params, caller),
    }),
    defineMethod({
      name: "sessions.messages.unsubscribe",
      since,
      params: followParams,
      handle: async ({ params, caller }) => unfollow(params, caller),
    }),
  ];
}
