import { setTimeout as sleep } from "node:timers/promises";
import {
  type Chunk,
  type CompletionRequest,
  isRclawError,
  type Logger,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import { allFailed, type Choice, isTooLong, type Models, noModel } from "./models.ts";
import { forProvider, type HistoryMessage } from "./messages.ts";
import { WatchedStream } from "./stream.ts";
import type { Settings } from "./config.ts";

/** A stream that has something to show: what led up to it, and the rest. */
export interface Answer {
  readonly choice: Choice;
  readonly chunks: AsyncIterable<Chunk>;
}

export interface AskOptions {
  readonly providers: Pick<PluginContext["providers"], "stream">;
  readonly models: Models;
  readonly retry: Settings["retry"];
  readonly log: Logger;
  /** Told before a model is asked. */
  onTry?(choice: Choice): void;
}

export type Request = Omit<CompletionRequest, "model" | "messages"> & {
  readonly messages: readonly HistoryMessage[];
  /** False spares looking through a long history for thinking that another provider signed. */
  readonly hasThinking: boolean;
};

/**
 * Asks until somebody answers: again after a passing failure, then the next candidate.
 * All of that ends with the first text, since what a person has seen cannot be taken
 * back; a stream that is cut later is the run's error.
 */
export async function ask(
  choices: readonly Choice[],
  request: Request,
  signal: AbortSignal,
  options: AskOptions,
): Promise<Answer> {
  const { models } = options;
  const attempts: { choice: Choice; error: unknown }[] = [];
  const queue = [...models.inOrder(choices)];
  for (let choice = queue.shift(); choice; choice = queue.shift()) {
    options.onTry?.(choice);
    try {
      const answer = await askOne(choice, request, signal, options);
      models.worked(choice);
      return answer;
    } catch (error) {
      if (signal.aborted) throw error;
      options.log.warn(
        { err: error, provider: choice.provider, model: choice.model },
        `${choice.provider}/${choice.model} did not answer`,
      );
      attempts.push({ choice, error });
      // Nobody is to blame for that, and whoever asked can ask for less.
      if (isTooLong(error)) break;
      models.failed(choice);
    }
    if (queue.length === 0 && choices.length === 1) queue.push(...(await standIn(choices, attempts, models)));
  }
  throw attempts.length === 0 ? noModel() : allFailed(attempts);
}

/** What was ready half a minute ago may be gone, a local Ollama above all; then whoever is ready now answers. */
async function standIn(
  choices: readonly Choice[],
  attempts: readonly unknown[],
  models: Models,
): Promise<readonly Choice[]> {
  const [chosen] = choices;
  if (attempts.length > 1 || !chosen || chosen.isNamed) return [];
  const now = await models.automatic(true);
  return now && now.provider !== chosen.provider ? [now] : [];
}

async function askOne(
  choice: Choice,
  request: Request,
  signal: AbortSignal,
  options: AskOptions,
): Promise<Answer> {
  const { retry } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(choice, request, signal, options);
    } catch (error) {
      const delay = delayOf(error, attempt, retry);
      if (signal.aborted || attempt >= retry.attempts || delay === undefined) throw error;
      await pause(delay, signal);
    }
  }
}

/** How long to wait before asking again; undefined when asking again would not help, or not soon enough. */
function delayOf(
  error: unknown,
  attempt: number,
  { baseDelayMs, maxDelayMs }: Settings["retry"],
): number | undefined {
  if (!isRclawError(error)) return undefined;
  const passing =
    error.code === "RATE_LIMITED" ||
    ((error.code === "UNAVAILABLE" || error.code === "TIMEOUT") && error.retryable);
  if (!passing) return undefined;
  const asked = error.details?.["retryAfterMs"];
  if (typeof asked === "number" && asked >= 0) return asked > maxDelayMs ? undefined : asked;
  return Math.min(baseDelayMs * 2 ** (attempt - 1), maxDelayMs);
}

export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => {
    throw new RclawError("ABORTED", "stopped while waiting to ask again", { cause: signal.reason });
  });

async function open(
  choice: Choice,
  request: Request,
  signal: AbortSignal,
  { providers, retry }: AskOptions,
): Promise<Answer> {
  const { provider, model } = choice;
  const { hasThinking, ...rest } = request;
  const messages = hasThinking ? forProvider(request.messages, provider) : request.messages;
  const stream = new WatchedStream((own) => providers.stream(provider, { ...rest, model, messages }, own), {
    signal,
    idleMs: retry.idleTimeoutMs,
    what: `${provider}/${model}`,
  });
  // Thinking and tool calls are not shown, so a stream that is cut among them can still be asked again.
  const hidden: Chunk[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done) break;
    const chunk = next.value;
    if (chunk.type !== "thinking" || chunk.delta !== "" || chunk.signature !== undefined) hidden.push(chunk);
    if (chunk.type === "end")
      refuseEmpty(hidden, chunk.stopReason, { what: `${provider}/${model}`, messages });
    if (chunk.type === "end" || (chunk.type === "text" && chunk.delta.trim() !== "")) break;
  }
  stream.replay(hidden);
  return { choice, chunks: stream };
}

/**
 * A person who asked and reads nothing must be told so. After a tool's result the same is
 * an answer: the model did what it was asked, and has nothing to add.
 */
function refuseEmpty(
  chunks: readonly Chunk[],
  stopReason: Extract<Chunk, { type: "end" }>["stopReason"],
  { what, messages }: { readonly what: string; readonly messages: readonly HistoryMessage[] },
): void {
  const hasSomething = chunks.some(
    (chunk) => chunk.type === "tool_use" || (chunk.type === "text" && chunk.delta.trim() !== ""),
  );
  if (hasSomething || stopReason === "refusal") return;
  if (stopReason === "length")
    throw new RclawError(
      "UNAVAILABLE",
      `${what} reached its limit of tokens before it said anything; raise agents.defaults.maxTokens, or let it think less with /think low`,
    );
  const isAfterTools = messages.at(-1)?.content.some(({ type }) => type === "tool_result") ?? false;
  if (!isAfterTools)
    throw new RclawError("UNAVAILABLE", `${what} gave an empty answer; ask again`, { retryable: true });
}
