import {
  defineMethod,
  type Method,
  type PluginContext,
  RclawError,
  type TranscriptEntry,
} from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { Conversations } from "./cache.ts";
import { chatInjectParams } from "./methods.schema.ts";
import { reasonOf } from "./models.ts";
import type { Runs } from "./runs.ts";
import { cleanInput } from "./text.ts";

export interface InjectOptions {
  readonly context: PluginContext;
  readonly runs: Runs;
  readonly conversations: Conversations;
  now(): number;
}

type NewEntry = Omit<TranscriptEntry, "id" | "parentId" | "timestamp">;

/** How long a session may be somebody else's, such as one that is being reset. */
const waitMs = 15_000;
const nothing = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

/** `chat.inject`: words that stand in the conversation as the assistant's own, without a model having said them. */
export function injectMethod({ context, runs, conversations, now }: InjectOptions): Method {
  const { sessions, gateway } = context;

  /** Into the middle of a run when there is one: people do not wait for it to end. */
  async function append(key: string, entry: NewEntry, signal: AbortSignal): Promise<string | undefined> {
    const held = runs.held(key);
    if (held) return (await held.append(entry))[0]?.id;
    const session = await sessions.open(key, signal);
    try {
      return (await session.append(entry))[0]?.id;
    } finally {
      await session[Symbol.asyncDispose]();
    }
  }

  async function inject(
    { sessionKey, agentId, message: given, label }: Static<typeof chatInjectParams>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const isShort = agentId !== undefined && !sessionKey.trim().toLowerCase().startsWith("agent:");
    const key = sessions.canonical(isShort ? `agent:${agentId}:${sessionKey}` : sessionKey);
    if (!(await sessions.find(key))) throw new RclawError("INVALID_REQUEST", "session not found");
    if ((await sessions.tail(key, 1)).length === 0) throw unwritten("transcript file not found");
    const text = cleanInput(given, "chat.inject");
    const message = {
      role: "assistant",
      content: [{ type: "text", text: `${label ? `[${label}]\n\n` : ""}${text}` }],
      timestamp: now(),
      stopReason: "stop",
      usage: { ...nothing, totalTokens: 0, cost: { ...nothing, total: 0 } },
      // As OpenClaw has it: clients tell such words from a model's by these.
      api: "openai-responses",
      provider: "openclaw",
      model: "gateway-injected",
    };
    const messageId = await append(key, { type: "message", message }, signal).catch((error: unknown) => {
      throw unwritten(reasonOf(error), error);
    });
    conversations.spoil(key);
    gateway.broadcast("chat", {
      runId: `inject-${messageId}`,
      sessionKey,
      seq: 0,
      state: "final",
      message,
    });
    return { ok: true, messageId };
  }

  return defineMethod({
    name: "chat.inject",
    since: "2026.2.17",
    params: chatInjectParams,
    async handle({ params, signal }) {
      const waiting = new AbortController();
      const stop = (): void => waiting.abort();
      const timer = setTimeout(stop, waitMs).unref();
      signal.addEventListener("abort", stop, { once: true });
      try {
        return await inject(params, waiting.signal);
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", stop);
      }
    },
  });
}

function unwritten(reason: string, cause?: unknown): RclawError {
  return new RclawError("UNAVAILABLE", `failed to write transcript: ${reason}`, { cause, retryable: true });
}
