import type { OpenAI } from "openai";
import type { Block, Chunk, CompletionRequest, Message, Usage } from "@rclaw/plugin-sdk";
import {
  createSigns,
  effortOf,
  type Endpoint,
  parseArguments,
  safeName,
  writeArguments,
} from "./endpoint.ts";

type Params = OpenAI.Chat.ChatCompletionCreateParamsStreaming;
type Param = OpenAI.Chat.ChatCompletionMessageParam;

export function completionParams(request: CompletionRequest, endpoint: Endpoint): Params {
  const { model, system, messages, tools, cacheKey } = request;
  const effort = effortOf(request.thinking, endpoint);
  return {
    model,
    stream: true,
    stream_options: { include_usage: true },
    messages: [
      ...(system === "" ? [] : [{ role: "system", content: system } as const]),
      ...messages.flatMap(toParams),
    ],
    ...(tools.length > 0 && {
      tools: tools.map(
        ({ name, description, params }) =>
          ({ type: "function", function: { name, description, parameters: { ...params } } }) as const,
      ),
    }),
    ...(effort && { reasoning_effort: effort }),
    ...(endpoint.maxTokens !== undefined &&
      (endpoint.isOfficial
        ? { max_completion_tokens: endpoint.maxTokens }
        : { max_tokens: endpoint.maxTokens })),
    ...(endpoint.isOfficial && cacheKey !== undefined && { prompt_cache_key: cacheKey }),
  };
}

function toParams({ role, content }: Message): Param[] {
  if (role === "assistant") return fromAssistant(content);
  const results = content.flatMap((block): Param[] =>
    block.type === "tool_result"
      ? [{ role: "tool", tool_call_id: shortId(block.id), content: block.content }]
      : [],
  );
  const parts = content.flatMap((block): OpenAI.Chat.ChatCompletionContentPart[] => {
    if (block.type === "text") return [{ type: "text", text: block.text }];
    return block.type === "image"
      ? [{ type: "image_url", image_url: { url: `data:${block.mimeType};base64,${block.data}` } }]
      : [];
  });
  if (parts.length === 0) return results;
  // Plain text as a plain string: small compatible servers know nothing else.
  const plain = parts.every(({ type }) => type === "text");
  const text = parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  return [...results, { role: "user", content: plain ? text : parts }];
}

function fromAssistant(content: readonly Block[]): Param[] {
  const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
  const calls = content.flatMap((block) =>
    block.type === "tool_use"
      ? [
          {
            id: shortId(block.id),
            type: "function" as const,
            function: { name: safeName(block.name), arguments: writeArguments(block.input ?? {}) },
          },
        ]
      : [],
  );
  if (text === "" && calls.length === 0) return [];
  return [
    { role: "assistant", content: text === "" ? null : text, ...(calls.length > 0 && { tool_calls: calls }) },
  ];
}

/** OpenAI refuses ids of more than 64 characters; the end is where they differ. */
export const shortId = (id: string): string => (id.length <= 64 ? id : id.slice(-64));

interface OpenCall {
  readonly index: number;
  id: string;
  name: string;
  json: string;
}

interface Delta {
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
}

/** Chunks of the wire as ours. Without a finish reason there is no `end`: the stream was cut. */
export async function* completionChunks(
  events: AsyncIterable<OpenAI.Chat.ChatCompletionChunk>,
): AsyncGenerator<Chunk> {
  const calls: OpenCall[] = [];
  const signs = createSigns();
  let usage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  let finish: string | undefined;
  for await (const event of events) {
    if (event.usage) usage = toUsage(event.usage);
    const choice = event.choices?.[0];
    if (!choice) continue;
    const { delta } = choice;
    // Not in OpenAI's own API, but what most servers with open models send.
    const thinking =
      (delta as Delta | undefined)?.reasoning_content ?? (delta as Delta | undefined)?.reasoning;
    if (thinking) yield { type: "thinking", delta: thinking };
    if (delta?.content) yield { type: "text", delta: delta.content };
    for (const fragment of delta?.tool_calls ?? []) gather(calls, fragment);
    if (delta?.tool_calls) yield* signs();
    finish = choice.finish_reason ?? finish;
  }
  if (finish === undefined) return;
  for (const [place, { id, name, json }] of calls.toSorted((a, b) => a.index - b.index).entries()) {
    yield { type: "tool_use", id: id || `call_${place}`, name, input: parseArguments(json) };
  }
  yield { type: "end", stopReason: stopOf(finish, calls.length > 0), usage };
}

function gather(calls: OpenCall[], fragment: OpenAI.Chat.ChatCompletionChunk.Choice.Delta.ToolCall): void {
  const { index, id, function: part } = fragment;
  // Some servers leave the index out and send each call whole; others give every call the index 0.
  const isNew = (call: OpenCall): boolean => Boolean(id && call.id && id !== call.id);
  let call = index === undefined ? undefined : calls.findLast((open) => open.index === index);
  if (!call || isNew(call)) {
    call = { index: index ?? calls.length, id: "", name: "", json: "" };
    calls.push(call);
  }
  call.id ||= id ?? "";
  call.name ||= part?.name ?? "";
  call.json += part?.arguments ?? "";
}

function stopOf(finish: string, hasCalls: boolean): Extract<Chunk, { type: "end" }>["stopReason"] {
  if (finish === "length") return "length";
  if (finish === "content_filter") return "refusal";
  // Ollama and others say "stop" after a call as well.
  return hasCalls ? "toolUse" : "stop";
}

function toUsage({ prompt_tokens, completion_tokens, prompt_tokens_details }: OpenAI.CompletionUsage): Usage {
  const cacheRead = prompt_tokens_details?.cached_tokens ?? 0;
  return {
    input: Math.max(0, (prompt_tokens ?? 0) - cacheRead),
    output: completion_tokens ?? 0,
    cacheRead,
    cacheWrite: 0,
  };
}
