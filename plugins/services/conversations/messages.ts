import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { TranscriptEntry } from "@rclaw/plugin-sdk";
import { withoutHead } from "@rclaw/plugin-sdk/services/message-head";

type Fields = Readonly<Record<string, unknown>>;

/** A message is sent as a whole to everybody who follows. */
const maxBytes = 131_072;

/** The message of a line, or undefined for lines that are none. */
export function messageIn(entry: TranscriptEntry): Fields | undefined {
  const message = entry["message"];
  return entry.type === "message" && isRecord(message) ? message : undefined;
}

/** As people see it: their own words without the gateway's head, and no tool's details. */
export function shown(message: Fields, meta: { readonly runId?: string }): Fields {
  const { details: _details, ...given } = message;
  // By this the client that sent it knows it for its own.
  const isOwn = message["role"] === "user" && meta.runId !== undefined;
  const rest = { ...given, ...(isOwn && { idempotencyKey: meta.runId }) };
  const content = message["role"] === "user" ? withoutHeads(message["content"]) : message["content"];
  const whole = { ...rest, content, __openclaw: meta };
  if (JSON.stringify(whole).length <= maxBytes) return whole;
  const { role, timestamp } = message;
  const text = "[left out: this message is too large to show]";
  const key = isOwn ? { idempotencyKey: meta.runId } : {};
  return { role, content: [{ type: "text", text }], timestamp, ...key, __openclaw: meta };
}

function withoutHeads(content: unknown): unknown {
  if (typeof content === "string") return withoutHead(content);
  if (!Array.isArray(content)) return content;
  return content.map((block: unknown) =>
    isRecord(block) && block["type"] === "text" && typeof block["text"] === "string"
      ? { ...block, text: withoutHead(block["text"]) }
      : block,
  );
}

/** The tools a message starts or ends, as their events have them. */
export function toolsIn(message: Fields): readonly Fields[] {
  if (message["role"] === "toolResult") {
    const { toolName: name, toolCallId, isError = false } = message;
    return [{ phase: "result", name, toolCallId, isError }];
  }
  const { content } = message;
  if (message["role"] !== "assistant" || !Array.isArray(content)) return [];
  return content.flatMap((block: unknown) =>
    isRecord(block) && block["type"] === "toolCall"
      ? [{ phase: "start", name: block["name"], toolCallId: block["id"], args: block["arguments"] ?? {} }]
      : [],
  );
}
