import type { Anthropic } from "@anthropic-ai/sdk";
import type { Block, CompletionRequest, Message } from "@rclaw/plugin-sdk";

type Params = Omit<Anthropic.MessageCreateParams, "stream">;

const answerTokens = 8_192;
const cached = { type: "ephemeral" } as const;
/** Models that want their thinking as a budget; later ones decide themselves and are given an effort. */
const budgeted = /^claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-\d{8})?$)/;
const budgets = { minimal: 1_024, low: 2_048, medium: 8_192, high: 16_384, xhigh: 32_768 } as const;
const efforts = { minimal: "low", low: "low", medium: "medium", high: "high", xhigh: "xhigh" } as const;

/** The request in the Messages API's words, with cache breakpoints after the tools, the system prompt and the last message. */
export function toParams(request: CompletionRequest, maxTokens?: number): Params {
  const { model, system, messages, tools, cacheKey } = request;
  const limit = request.maxTokens ?? maxTokens ?? answerTokens;
  return {
    model,
    ...thinking(request, limit),
    ...(system !== "" && { system: [{ type: "text", text: system, cache_control: cached }] }),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, params }, index) => ({
        name,
        description,
        // The wire wants type: "object" in front; every tool's params are an object.
        input_schema: { ...params, type: "object" as const },
        ...(index === tools.length - 1 && { cache_control: cached }),
      })),
    }),
    messages: markLast(toMessages(messages)),
    ...(cacheKey !== undefined && { metadata: { user_id: cacheKey } }),
  };
}

function thinking(
  { model, thinking: level }: CompletionRequest,
  limit: number,
): Pick<Params, "max_tokens" | "thinking" | "output_config"> {
  if (!level || level === "off") return { max_tokens: limit };
  const budget = budgets[level];
  if (budgeted.test(model))
    return { max_tokens: limit + budget, thinking: { type: "enabled", budget_tokens: budget } };
  return {
    max_tokens: limit + budget,
    thinking: { type: "adaptive" },
    output_config: { effort: efforts[level] },
  };
}

function toMessages(messages: readonly Message[]): Anthropic.MessageParam[] {
  const result = messages.flatMap(({ role, content }): Anthropic.MessageParam[] => {
    const blocks = content.flatMap(toBlock);
    return blocks.length === 0 ? [] : [{ role, content: blocks }];
  });
  // The API wants a person's word first; a shortened history may begin with an answer.
  return result.slice(
    Math.max(
      0,
      result.findIndex(({ role }) => role === "user"),
    ),
  );
}

const redacted = "redacted:";

function toBlock(block: Block): Anthropic.ContentBlockParam[] {
  switch (block.type) {
    case "text":
      return block.text.trim() === "" ? [] : [{ type: "text", text: block.text }];
    case "thinking":
      // Unsigned thinking is another provider's, and refused here.
      if (block.signature === undefined) return [];
      if (block.signature.startsWith(redacted))
        return [{ type: "redacted_thinking", data: block.signature.slice(redacted.length) }];
      return [{ type: "thinking", thinking: block.text, signature: block.signature }];
    case "image":
      return [
        {
          type: "image",
          source: { type: "base64", media_type: block.mimeType as "image/png", data: block.data },
        },
      ];
    case "tool_use":
      return [
        {
          type: "tool_use",
          id: safeId(block.id),
          name: safeName(block.name),
          input: objectOf(block.input ?? {}),
        },
      ];
    default:
      return [
        {
          type: "tool_result",
          tool_use_id: safeId(block.id),
          content: block.content,
          ...(block.isError && { is_error: true }),
        },
      ];
  }
}

/** The API takes objects only, whatever a model had written. */
function objectOf(input: unknown): unknown {
  const isObject = typeof input === "object" && input !== null && !Array.isArray(input);
  return isObject ? input : { unreadable: input };
}

/** Ids that another provider made may hold what this one refuses. */
const safeId = (id: string): string => id.replaceAll(/[^a-zA-Z0-9_-]/g, "_");

/** A name that a model made up may hold what the API refuses, in this request and in every later one. */
const safeName = (name: string): string => name.replaceAll(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unnamed";

/** So that the next turn finds everything up to here in the cache. */
function markLast(messages: Anthropic.MessageParam[]): Anthropic.MessageParam[] {
  const last = messages.at(-1);
  if (!last || typeof last.content === "string") return messages;
  const block = last.content.at(-1);
  if (!block || block.type === "thinking" || block.type === "redacted_thinking") return messages;
  const marked = { ...block, cache_control: cached } as Anthropic.ContentBlockParam;
  return [
    ...messages.slice(0, -1),
    { role: last.role, content: [...last.content.slice(0, -1), marked] } as Anthropic.MessageParam,
  ];
}
