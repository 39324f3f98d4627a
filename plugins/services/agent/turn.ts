import {
  type Block,
  type PluginContext,
  type Run,
  type Session,
  type TranscriptEntry,
  type Usage,
} from "@rclaw/plugin-sdk";
import { type Conversation, type Conversations, readBack } from "./cache.ts";
import type { Settings } from "./config.ts";
import type { RunEvents } from "./events.ts";
import { runLoop } from "./loop.ts";
import {
  type HistoryMessage,
  interrupted,
  messageOf,
  storedAssistant,
  storedToolResult,
  storedUser,
  textOf,
} from "./messages.ts";
import type { ModelRef, Models } from "./models.ts";
import { ownLines } from "./own-lines.ts";
import { asker, prepare } from "./prepare.ts";
import type { createPrompts } from "./prompt.ts";
import { recorder } from "./record.ts";
import type { RunRequest } from "./request.ts";
import { asUserText, envelope, systemLine } from "./text.ts";
import { placeOf, type Work } from "./work.ts";
import { Writer } from "./writer.ts";

export interface TurnParts {
  readonly context: PluginContext;
  readonly settings: Settings;
  readonly models: Models;
  readonly prompts: ReturnType<typeof createPrompts>;
  readonly conversations: Conversations;
  stamp(now: number): string;
  /** Lines that wait for this session's next prompt; taking them removes them. */
  takeSystemLines(sessionKey: string): readonly string[];
  now(): number;
}

export interface TurnOptions {
  readonly run: Run;
  readonly request: RunRequest;
  /** Replaces the request's text: what follows `/new`. */
  readonly text: string;
  readonly agentId: string;
  readonly isOwner: boolean;
  /** The run was accepted by a process that is gone; some of it may stand in the transcript. */
  readonly resumed: boolean;
  readonly events: RunEvents;
  readonly signal: AbortSignal;
}

/** Why a run's signal aborts when it is not the run that ends but this process or plugin: it will go on later. */
export const shutdown = Symbol("shutdown");

export interface TurnResult {
  readonly sessionId: string;
  readonly texts: readonly string[];
  readonly from: ModelRef | undefined;
  /** Tokens a conversation with that model may have. */
  readonly contextTokens?: number;
  readonly usage: Usage;
  readonly lastUsage: Usage;
}

const noUsage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

/** One run inside its session: from the user's message to the model's last word, every line of it in the transcript. */
export async function runTurn(session: Session, options: TurnOptions, parts: TurnParts): Promise<TurnResult> {
  const { run, events, signal } = options;
  const startedAt = parts.now();
  const conversation = await openConversation(session, options, parts);
  const { context, conversations } = parts;
  const writer = new Writer({
    hooks: context.hooks,
    conversations,
    session,
    conversation,
    agentId: options.agentId,
    run,
  });
  const earlier = options.resumed ? await pickUp(session, run, writer, parts) : undefined;
  if (earlier?.finished) {
    await writer.flush();
    events.end();
    return {
      sessionId: conversation.sessionId,
      texts: earlier.texts,
      from: undefined,
      usage: noUsage,
      lastUsage: noUsage,
    };
  }
  const workspaceDir = await parts.prompts.workspaceOf(options.agentId);
  const texts = [...(earlier?.texts ?? [])];
  const work: Work = {
    workspaceDir,
    session,
    writer,
    conversation,
    texts,
    usage: noUsage,
    lastUsage: noUsage,
    from: undefined,
    asked: undefined,
    contextTokens: undefined,
  };
  let failure: unknown;
  try {
    if (!earlier) await addUser(options, writer, parts);
    await converse(work, options, parts);
    await writer.flush();
  } catch (error) {
    failure = error;
    await keepPartial(error, work, options, parts);
  }
  const { from, usage, lastUsage, contextTokens } = work;
  void context.hooks.run(
    "agent_end",
    {
      // Copied only for whoever looks: conversations are long, and mostly nobody listens.
      get messages() {
        return [...conversation.messages];
      },
      success: failure === undefined,
      durationMs: parts.now() - startedAt,
      ...(failure !== undefined && { error: (failure as Error).message }),
    },
    placeOf(work, options),
  );
  if (failure !== undefined) throw failure;
  signal.throwIfAborted();
  events.end();
  return {
    sessionId: conversation.sessionId,
    texts,
    from,
    ...(contextTokens !== undefined && { contextTokens }),
    usage,
    lastUsage,
  };
}

async function openConversation(
  session: Session,
  { agentId }: TurnOptions,
  parts: TurnParts,
): Promise<Conversation> {
  const { conversations, context } = parts;
  const { sessionId, compactionCount } = session.entry;
  const known = conversations.find(session.key, sessionId, compactionCount);
  if (known) return known;
  const resumedFrom = conversations.previous(session.key, sessionId);
  const conversation = conversations.load(
    session.key,
    sessionId,
    await session.tail(readBack),
    compactionCount,
  );
  if (conversation.messages.length === 0) {
    void context.hooks.run(
      "session_start",
      { sessionId, ...(resumedFrom && { resumedFrom }) },
      { agentId, sessionId },
    );
  }
  return conversation;
}

/** What a run already left in the transcript. Its user entry is not written twice, and its unanswered calls are not run again. */
async function pickUp(
  session: Session,
  run: Run,
  writer: Writer,
  { now }: TurnParts,
): Promise<{ texts: readonly string[]; finished: boolean } | undefined> {
  const own = (await session.tail(readBack)).filter(ownLines(run));
  if (own.length === 0) return undefined;
  const messages = own.flatMap((entry: TranscriptEntry) => messageOf(entry) ?? []);
  const answered = new Set(
    messages.filter(({ role }) => role === "toolResult").map((message) => message["toolCallId"]),
  );
  const calls = messages.flatMap(({ role, content }) =>
    role === "assistant" && Array.isArray(content) ? content : [],
  ) as Record<string, unknown>[];
  for (const { type, id, name } of calls) {
    if (type !== "toolCall" || answered.has(id)) continue;
    const outcome = { id: String(id), name: String(name), content: interrupted, isError: true };
    // The conversation was read from the transcript and repaired then, so the model's view has this already.
    await writer.add(storedToolResult(outcome, now()), undefined, true);
  }
  const answers = messages.filter(({ role }) => role === "assistant");
  const texts = answers.flatMap(({ content }) => (Array.isArray(content) ? textOf(content as Block[]) : []));
  const last = messages.at(-1);
  const finished =
    last?.role === "assistant" && ["stop", "length", "refusal"].includes(String(last["stopReason"]));
  return { texts: texts.filter((text) => text.trim() !== ""), finished };
}

async function addUser({ run, request, text }: TurnOptions, writer: Writer, parts: TurnParts): Promise<void> {
  const { takeSystemLines, stamp, now } = parts;
  const at = now();
  const lines = takeSystemLines(run.sessionKey);
  const { sender, isShared } = request;
  const head = sender && isShared ? envelope(stamp(at), sender) : stamp(at);
  const body = request.isSystemEvent ? systemLine(text, at) : head + asUserText(text);
  const full = [lines.join("\n"), body].filter((part) => part !== "").join("\n\n");
  await writer.add(storedUser(full, request.images, at), {
    role: "user",
    content: [{ type: "text", text: full }, ...request.images],
  });
}

/** Asks and calls tools until the model has nothing more to do. */
async function converse(work: Work, options: TurnOptions, parts: TurnParts): Promise<void> {
  const { session, conversation } = work;
  const { run, request, agentId, isOwner, events, signal } = options;
  const { context, settings } = parts;
  const prepared = await prepare(work, options, parts);
  const askModel = await asker(prepared, work, options, parts);
  const record = recorder(work, options, parts);
  const loop = runLoop(withContext(conversation.messages, prepared.prepended), {
    signal,
    maxTurns: settings.maxTurns,
    resultLimit: Math.min(400_000, Math.floor(settings.contextChars * 0.3)),
    ask: askModel,
    callTool: (id, name, input) =>
      context.tools.call(name, input, {
        sessionKey: session.key,
        agentId,
        runId: run.id,
        toolCallId: id,
        isOwner,
        signal,
        ...(request.channel && { channel: request.channel }),
        onUpdate: (output) => events.toolUpdate(id, name, output),
      }),
  });
  for await (const event of loop) await record(event);
}

/** What plugins add to this prompt stands in front of the user's words, for this run only. */
function withContext(messages: readonly HistoryMessage[], prepended: string): readonly HistoryMessage[] {
  const last = messages.at(-1);
  if (prepended === "" || last?.role !== "user") return messages;
  return [
    ...messages.slice(0, -1),
    { role: "user", content: [{ type: "text", text: `${prepended}\n\n` }, ...last.content] },
  ];
}

/** What a person has seen must be found in the transcript, however the run ended. */
async function keepPartial(
  error: unknown,
  work: Work,
  { events, signal }: TurnOptions,
  { now, context }: TurnParts,
): Promise<void> {
  const { writer, conversation, from, asked } = work;
  const text = events.text.trim();
  const last = conversation.messages.at(-1);
  const kept = last?.role === "assistant" && textOf(last.content).trim() === text;
  try {
    const goesOn = signal.aborted && signal.reason === shutdown;
    if (!goesOn && (!signal.aborted || (text !== "" && !kept))) {
      const content: Block[] = text === "" || kept ? [] : [{ type: "text", text }];
      const stored = storedAssistant(content, {
        from: asked ?? from,
        usage: noUsage,
        stopReason: signal.aborted ? "aborted" : "error",
        timestamp: now(),
        errorMessage: signal.aborted ? "Request was aborted" : (error as Error).message,
      });
      await writer.add(stored, content.length > 0 ? { role: "assistant", content } : undefined);
    }
    await writer.flush();
  } catch (failed) {
    context.log.error(
      { err: failed, sessionKey: work.session.key },
      "the end of a failed run could not be stored",
    );
  }
  // Calls without results and the like are put right when the conversation is read again.
  conversation.stale = true;
}
