import type { Block, CompletionRequest, Message } from "@rclaw/plugin-sdk";
import type { ServerConfig } from "./server.ts";

type Json = Readonly<Record<string, unknown>>;

/** The request in chat completions' words, with nothing in it that only OpenAI itself knows. */
export function toBody(request: CompletionRequest, { models = [] }: ServerConfig): Json {
  const { model, system, messages, tools, thinking } = request;
  const known = models.find(({ id }) => id === model);
  const limit = request.maxTokens ?? known?.maxTokens;
  return {
    model,
    stream: true,
    stream_options: { include_usage: true },
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
    ...(limit !== undefined && { max_tokens: limit }),
    ...(known?.reasoning && thinking && thinking !== "off" && { reasoning_effort: thinking }),
  };
}

function toMessages({ role, content }: Message): readonly Json[] {
  const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
  if (role === "assistant") {
    const calls = content.flatMap((block) => (block.type === "tool_use" ? [toCall(block)] : []));
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
  const written = JSON.stringify(isObject ? input : { unreadable: input });
  // A name that a model made up may hold what servers refuse, in this request and in every later one.
  const safe = name.replaceAll(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unnamed";
  return { id, type: "function", function: { name: safe, arguments: written } };
}
