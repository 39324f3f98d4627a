import type { OpenAI } from "openai";
import type { Block, Chunk, CompletionRequest, Message, RclawError, Usage } from "@rclaw/plugin-sdk";
import {
  createSigns,
  effortOf,
  type Endpoint,
  parseArguments,
  safeName,
  writeArguments,
} from "./endpoint.ts";
import { failure } from "./errors.ts";
import { shortId } from "./completions.ts";

type Params = OpenAI.Responses.ResponseCreateParamsStreaming;
type Item = OpenAI.Responses.ResponseInputItem;

/** Nothing is kept on OpenAI's side; reasoning comes back encrypted and is handed in again with the next request. */
export function responseParams(request: CompletionRequest, endpoint: Endpoint): Params {
  const { model, system, messages, tools, cacheKey } = request;
  const effort = effortOf(request.thinking, endpoint);
  return {
    model,
    stream: true,
    store: false,
    input: messages.flatMap((message) => toItems(message, endpoint)),
    ...(system !== "" && { instructions: system }),
    ...(tools.length > 0 && {
      tools: tools.map(
        ({ name, description, params }) =>
          ({ type: "function", name, description, parameters: { ...params }, strict: false }) as const,
      ),
    }),
    ...(endpoint.reasons && { include: ["reasoning.encrypted_content"] }),
    ...(effort && { reasoning: { effort } }),
    ...(endpoint.maxTokens !== undefined && { max_output_tokens: endpoint.maxTokens }),
    ...(endpoint.isOfficial && cacheKey !== undefined && { prompt_cache_key: cacheKey }),
  };
}

function toItems({ role, content }: Message, endpoint: Endpoint): Item[] {
  const items: Item[] = [];
  let parts: OpenAI.Responses.ResponseInputContent[] = [];
  const close = (): void => {
    if (parts.length > 0) items.push({ role: "user", content: parts });
    parts = [];
  };
  for (const block of content) {
    if (role === "user" && block.type === "text") parts.push({ type: "input_text", text: block.text });
    else if (role === "user" && block.type === "image")
      parts.push({
        type: "input_image",
        detail: "auto",
        image_url: `data:${block.mimeType};base64,${block.data}`,
      });
    else items.push(...toItem(block, endpoint));
  }
  close();
  return items;
}

function toItem(block: Block, { reasons }: Endpoint): Item[] {
  switch (block.type) {
    case "text":
      return block.text === "" ? [] : [{ role: "assistant", content: block.text }];
    case "thinking":
      return reasons && block.signature !== undefined ? reasoningItem(block.signature) : [];
    case "tool_use":
      return [
        {
          type: "function_call",
          call_id: shortId(block.id),
          name: safeName(block.name),
          arguments: writeArguments(block.input ?? {}),
        },
      ];
    case "tool_result":
      return [{ type: "function_call_output", call_id: shortId(block.id), output: block.content }];
    // A model's answer holds no picture.
    default:
      return [];
  }
}

/** The signature is what `responseChunks` made of the item. One that cannot be read is left out: it only saves thinking again. */
function reasoningItem(signature: string): Item[] {
  try {
    const { id, encrypted_content } = JSON.parse(signature) as { id: string; encrypted_content: string };
    return [{ type: "reasoning", id, summary: [], encrypted_content }];
  } catch {
    return [];
  }
}

/** The API's events as chunks. Without `response.completed` there is no `end`: the stream was cut. */
export async function* responseChunks(
  events: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>,
  endpoint: Pick<Endpoint, "provider" | "keyHint">,
): AsyncGenerator<Chunk> {
  const signs = createSigns();
  let hasCalls = false;
  let refused = false;
  for await (const event of events) {
    switch (event.type) {
      case "response.output_text.delta":
        yield { type: "text", delta: event.delta };
        break;
      case "response.refusal.delta":
        refused = true;
        yield { type: "text", delta: event.delta };
        break;
      case "response.reasoning_summary_text.delta":
        yield { type: "thinking", delta: event.delta };
        break;
      case "response.output_item.done": {
        const { item } = event;
        if (item.type === "function_call") {
          hasCalls = true;
          yield {
            type: "tool_use",
            id: item.call_id,
            name: item.name,
            input: parseArguments(item.arguments),
          };
        } else if (item.type === "reasoning" && item.encrypted_content) {
          yield {
            type: "thinking",
            delta: "",
            signature: JSON.stringify({ id: item.id, encrypted_content: item.encrypted_content }),
          };
        }
        break;
      }
      case "response.completed":
        yield {
          type: "end",
          stopReason: refused ? "refusal" : hasCalls ? "toolUse" : "stop",
          usage: toUsage(event.response.usage),
        };
        return;
      case "response.incomplete": {
        const filtered = event.response.incomplete_details?.reason === "content_filter";
        yield {
          type: "end",
          stopReason: filtered ? "refusal" : "length",
          usage: toUsage(event.response.usage),
        };
        return;
      }
      case "response.failed":
        throw failed(event.response.error?.code, event.response.error?.message, endpoint);
      case "error":
        throw failed(event.code, event.message, endpoint);
      default:
        yield* signs();
        break;
    }
  }
}

function failed(
  code: string | null | undefined,
  message: string | undefined,
  endpoint: Pick<Endpoint, "provider" | "keyHint">,
): RclawError {
  return failure({ status: undefined, code, said: (message ?? "").slice(0, 300) }, endpoint);
}

function toUsage(usage: OpenAI.Responses.ResponseUsage | null | undefined): Usage {
  const cacheRead = usage?.input_tokens_details?.cached_tokens ?? 0;
  return {
    input: Math.max(0, (usage?.input_tokens ?? 0) - cacheRead),
    output: usage?.output_tokens ?? 0,
    cacheRead,
    cacheWrite: 0,
  };
}
