import { randomUUID } from "node:crypto";
import { type Block, isRclawError, RclawError, type ToolResult, type Usage } from "@rclaw/plugin-sdk";
import type { Answer } from "./ask.ts";
import type { HistoryMessage, ToolOutcome } from "./messages.ts";
import { allFailed, type ModelRef } from "./models.ts";
import { shorten } from "./text.ts";

export type LoopEvent =
  | { readonly type: "text"; readonly delta: string }
  | { readonly type: "thinking"; readonly delta: string }
  /** One complete answer of the model. */
  | {
      readonly type: "assistant";
      readonly content: readonly Block[];
      readonly stopReason: "stop" | "length" | "toolUse" | "refusal";
      readonly usage: Usage;
      readonly from: ModelRef;
    }
  | { readonly type: "tool-start"; readonly id: string; readonly name: string; readonly input: unknown }
  | { readonly type: "tool-result"; readonly outcome: ToolOutcome };

export interface LoopOptions {
  /** Asks the model with these messages; resolves when it has something to show. */
  ask(messages: readonly HistoryMessage[]): Promise<Answer>;
  callTool(id: string, name: string, input: unknown): Promise<ToolResult>;
  readonly maxTurns: number;
  /** Characters of a tool's result that the model gets to read. */
  readonly resultLimit: number;
  readonly signal: AbortSignal;
}

/** A model that asks for a hundred tools at once has lost its way. */
const maxCallsPerTurn = 32;
/** More than any model writes, and less than a line of the transcript holds; a server may never end its answer. */
const maxAnswerChars = 2_000_000;

/**
 * The loop itself: ask the model, run the tools it asked for, ask again. It only yields
 * what happened. Saving, broadcasting and replying are the caller's, which is why a
 * test needs nothing but a script.
 */
export async function* runLoop(
  history: readonly HistoryMessage[],
  options: LoopOptions,
): AsyncGenerator<LoopEvent, void, undefined> {
  // Never changed in place: whoever was handed one turn's list may keep it.
  let messages: readonly HistoryMessage[] = [...history];
  for (let turn = 0; turn < options.maxTurns; turn++) {
    const { choice, chunks } = await options.ask(messages);
    const content: Block[] = [];
    let size = 0;
    let isCut = false;
    try {
      for await (const chunk of chunks) {
        if (chunk.type === "text") {
          size += chunk.delta.length;
          addText(content, chunk.delta);
          yield chunk;
        } else if (chunk.type === "thinking") {
          size += chunk.delta.length;
          addThinking(content, chunk.delta, chunk.signature);
          if (chunk.delta) yield chunk;
        } else if (chunk.type === "tool_use") {
          size += JSON.stringify(chunk.input ?? null).length;
          content.push({ ...chunk, id: ownId(chunk.id, [...messages, { role: "assistant", content }]) });
        } else {
          const { stopReason, usage } = chunk;
          isCut = stopReason === "length";
          yield { type: "assistant", content, stopReason, usage, from: choice };
        }
        if (size > maxAnswerChars) throw tooLong(choice);
      }
    } catch (error) {
      throw options.signal.aborted ? error : allFailed([{ choice, error }]);
    }
    const calls = content.filter((block) => block.type === "tool_use");
    if (calls.length === 0) return;
    const results: Block[] = [];
    for (const [index, { id, name, input }] of calls.entries()) {
      yield { type: "tool-start", id, name, input };
      const outcome =
        index < maxCallsPerTurn ? await callTool({ id, name, input, isCut }, options) : tooMany(id, name);
      results.push({ type: "tool_result", id, content: outcome.content, isError: outcome.isError });
      yield { type: "tool-result", outcome };
    }
    messages = [
      ...messages,
      { role: "assistant", content, maker: choice.provider },
      { role: "user", content: results },
    ];
  }
  throw new RclawError(
    "UNAVAILABLE",
    `the model kept calling tools for ${options.maxTurns} turns and was stopped; ask again, or raise agents.defaults.maxTurns`,
  );
}

/** A refused or failed tool is an answer, not the end: the model reads why. Only a stop ends the run. */
async function callTool(
  { id, name, input, isCut }: Pick<ToolOutcome, "id" | "name"> & { input: unknown; isCut: boolean },
  options: LoopOptions,
): Promise<ToolOutcome> {
  if (typeof (input ?? {}) !== "object" || Array.isArray(input))
    return isCut ? cutOff(id, name) : unreadable(id, name, input);
  try {
    const { content, isError = false, details } = await options.callTool(id, name, input);
    return {
      id,
      name,
      content: shorten(content, options.resultLimit),
      isError,
      ...(details !== undefined && { details }),
    };
  } catch (error) {
    if (options.signal.aborted) throw error;
    const reason = isRclawError(error) ? error.message : `tool ${name} failed; the gateway's log says why`;
    return {
      id,
      name,
      content: reason,
      isError: true,
      ...(isRclawError(error) && { details: { ...error.details, code: error.code } }),
    };
  }
}

/** Providers hand on what is no JSON as the text it is. */
function unreadable(id: string, name: string, input: unknown): ToolOutcome {
  const given = shorten(typeof input === "string" ? input : JSON.stringify(input), 500);
  const content = `not run: the arguments of ${name} are not a JSON object; call it again with valid JSON. They were: ${given}`;
  return { id, name, content, isError: true };
}

/** Told that its JSON was wrong, a model would only write the same call again. */
function cutOff(id: string, name: string): ToolOutcome {
  const content = `not run: your answer reached its limit of tokens before the arguments of ${name} were complete; do it in smaller steps, for example write a long file in several parts`;
  return { id, name, content, isError: true };
}

function tooMany(id: string, name: string): ToolOutcome {
  return {
    id,
    name,
    content: `not run: more than ${maxCallsPerTurn} calls at once; call fewer tools and ask again`,
    isError: true,
  };
}

/** Small servers leave the id out or begin anew with every answer; a provider refuses a conversation that has one twice. */
function ownId(id: string, messages: readonly HistoryMessage[]): string {
  const isUsed = (block: Block): boolean => block.type === "tool_use" && block.id === id;
  if (id !== "" && !messages.some(({ content }) => content.some(isUsed))) return id;
  return `${id || "call"}_${randomUUID().slice(0, 8)}`;
}

function tooLong({ provider, model }: ModelRef): RclawError {
  return new RclawError(
    "TOO_LARGE",
    `${provider}/${model} wrote more than ${maxAnswerChars / 1_000_000} million characters and was stopped; ask for less at once`,
  );
}

function addText(content: Block[], delta: string): void {
  const last = content.at(-1);
  if (last?.type === "text") content[content.length - 1] = { type: "text", text: last.text + delta };
  else content.push({ type: "text", text: delta });
}

/** A signature closes its block: what follows is another one. Without words and signature it only says "still at work". */
function addThinking(content: Block[], delta: string, signature: string | undefined): void {
  if (delta === "" && signature === undefined) return;
  const last = content.at(-1);
  const open = last?.type === "thinking" && last.signature === undefined ? last : undefined;
  const block: Block = {
    type: "thinking",
    text: (open?.text ?? "") + delta,
    ...(signature !== undefined && { signature }),
  };
  if (open) content[content.length - 1] = block;
  else content.push(block);
}
