import type { Block, Chunk, CompletionRequest, Message, Usage } from "@rclaw/plugin-sdk";
import type { ServerConfig } from "./server.ts";

type Json = Readonly<Record<string, unknown>>;

/** The request in chat completions' words, with nothing in it that a small server would refuse. */
export function toBody(request: CompletionRequest, { models = [] }: ServerConfig): Json {
  const { model, system, messages, tools, thinking } = request;
  const known = models.find(({ id }) => id === model);
  const limit = request.maxTokens ?? known?.maxTokens;
  return {
    model,
    stream: true,
    ...(known?.compat?.supportsUsageInStreaming !== false && { stream_options: { include_usage: true } }),
    messages: [
      ...(system === "" ? [] : [{ role: "system", content: system }]),
      ...messages.flatMap(toMessages),
    ],
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, params }) => ({
        type: "function",
        function: { name, description, parameters: params },
      })),
    }),
    ...(limit !== undefined && { [known?.compat?.maxTokensField ?? "max_tokens"]: limit }),
    ...(known?.reasoning && thinking && thinking !== "off" && { reasoning_effort: thinking }),
  };
}

function toMessages({ role, content }: Message): Json[] {
  const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
  if (role === "assistant") {
    const calls = content.filter((block) => block.type === "tool_use").map(toCall);
    if (text === "" && calls.length === 0) return [];
    return [{ role, content: text === "" ? null : text, ...(calls.length > 0 && { tool_calls: calls }) }];
  }
  const results = content.flatMap((block) =>
    block.type === "tool_result" ? [{ role: "tool", tool_call_id: block.id, content: block.content }] : [],
  );
  const images = content.flatMap((block) =>
    block.type === "image"
      ? [{ type: "image_url", image_url: { url: `data:${block.mimeType};base64,${block.data}` } }]
      : [],
  );
  if (images.length > 0) return [...results, { role, content: [{ type: "text", text }, ...images] }];
  // Plain text as a plain string: many servers know nothing else.
  return text === "" ? results : [...results, { role, content: text }];
}

/** An object whatever the model had written: servers parse the arguments again. */
function toCall({ id, name, input }: Extract<Block, { type: "tool_use" }>): Json {
  const isObject = typeof input === "object" && input !== null && !Array.isArray(input);
  const args = JSON.stringify(isObject ? input : { unreadable: input });
  return { id, type: "function", function: { name: safeName(name), arguments: args } };
}

/** A name that a model made up may hold what servers refuse, in this request and in every later one. */
const safeName = (name: string): string => name.replaceAll(/[^a-zA-Z0-9_.-]/g, "_").slice(0, 64) || "unnamed";

/** A long file takes minutes to write, and nothing else is heard of it before it is whole. */
const atWork: Chunk = { type: "thinking", delta: "" };
const signEveryMs = 1_000;

interface OpenCall {
  readonly index: number;
  id: string;
  name: string;
  json: string;
}

interface Fragment {
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: unknown };
}

interface Delta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
  readonly tool_calls?: readonly Fragment[] | null;
}

export interface Event {
  readonly choices?: readonly { readonly delta?: Delta; readonly finish_reason?: string | null }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly error?: unknown;
}

/** Gathers one answer. Without a finish reason it was cut, and there is no `end`. */
export class Gathering {
  readonly #calls: OpenCall[] = [];
  #usage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  #finish: string | undefined;
  #signAt = Date.now();

  *add({ choices, usage }: Event): Generator<Chunk> {
    if (usage) {
      const cacheRead = usage.prompt_tokens_details?.cached_tokens ?? 0;
      const input = Math.max(0, (usage.prompt_tokens ?? 0) - cacheRead);
      this.#usage = { input, output: usage.completion_tokens ?? 0, cacheRead, cacheWrite: 0 };
    }
    const [choice] = choices ?? [];
    if (!choice) return;
    const { delta } = choice;
    const thinking = delta?.reasoning_content ?? delta?.reasoning;
    if (thinking) yield { type: "thinking", delta: thinking };
    if (delta?.content) yield { type: "text", delta: delta.content };
    for (const fragment of delta?.tool_calls ?? []) this.#gather(fragment);
    if (delta?.tool_calls && Date.now() - this.#signAt >= signEveryMs) {
      this.#signAt = Date.now();
      yield atWork;
    }
    this.#finish = choice.finish_reason ?? this.#finish;
  }

  *end(): Generator<Chunk> {
    if (this.#finish === undefined) return;
    const calls = this.#calls.toSorted((a, b) => a.index - b.index);
    for (const [place, { id, name, json }] of calls.entries())
      yield { type: "tool_use", id: id || `call_${place}`, name, input: parse(json) };
    yield { type: "end", stopReason: stopOf(this.#finish, calls.length > 0), usage: this.#usage };
  }

  #gather({ index, id, function: part }: Fragment): void {
    // Some servers leave the index out and send each call whole; others give every call the index 0.
    const isNew = (call: OpenCall): boolean => Boolean(id && call.id && id !== call.id);
    let call = index === undefined ? undefined : this.#calls.findLast((open) => open.index === index);
    if (!call || isNew(call)) {
      call = { index: index ?? this.#calls.length, id: "", name: "", json: "" };
      this.#calls.push(call);
    }
    call.id ||= id ?? "";
    call.name ||= part?.name ?? "";
    const args = part?.arguments;
    call.json +=
      typeof args === "string" ? args : args === undefined || args === null ? "" : JSON.stringify(args);
  }
}

/** What is no JSON stays text: the agent tells the model so, which can then put it right. */
function parse(json: string): unknown {
  if (json.trim() === "") return {};
  try {
    return (JSON.parse(json) as unknown) ?? {};
  } catch {
    return json;
  }
}

function stopOf(finish: string, hasCalls: boolean): Extract<Chunk, { type: "end" }>["stopReason"] {
  if (finish === "length") return "length";
  if (finish === "content_filter") return "refusal";
  // Ollama and others say "stop" after a call as well.
  return hasCalls ? "toolUse" : "stop";
}
