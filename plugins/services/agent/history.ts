import { withoutHead } from "@rclaw/plugin-sdk/services/message-head";
import { messageOf, type StoredMessage } from "./messages.ts";
import type { TranscriptEntry } from "@rclaw/plugin-sdk";

export interface HistoryLimits {
  readonly messages: number;
  readonly blockChars: number;
  readonly messageBytes: number;
  readonly totalBytes: number;
}

export const historyLimits: HistoryLimits = {
  messages: 200,
  blockChars: 12_000,
  messageBytes: 128 * 1_024,
  totalBytes: 6 * 1_024 * 1_024,
};

/** The last messages of a session as `chat.history` shows them, read from the end until there are enough. */
export async function readHistory(
  tail: (limit: number) => Promise<readonly TranscriptEntry[]>,
  limits: HistoryLimits,
  mark: (message: StoredMessage, entry: TranscriptEntry) => StoredMessage = (message) => message,
): Promise<readonly StoredMessage[]> {
  let take = limits.messages + 16;
  for (;;) {
    const entries = await tail(take);
    const messages = entries.flatMap((entry) => {
      const message = messageOf(entry);
      return message ? [mark(message, entry)] : [];
    });
    if (messages.length >= limits.messages || entries.length < take)
      return shown(messages.slice(-limits.messages), limits);
    take *= 2;
  }
}

function shown(messages: readonly StoredMessage[], limits: HistoryLimits): readonly StoredMessage[] {
  const result: StoredMessage[] = [];
  let left = limits.totalBytes;
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index];
    if (!message) break;
    const [fitted, bytes] = fit(forClients(message, limits.blockChars), limits.messageBytes);
    left -= bytes;
    if (left < 0) break;
    result.push(fitted);
  }
  return result.reverse();
}

function fit(message: StoredMessage, limit: number): readonly [StoredMessage, number] {
  const bytes = Buffer.byteLength(JSON.stringify(message));
  if (bytes <= limit) return [message, bytes];
  const { role, timestamp, idempotencyKey, __openclaw: mark } = message;
  const left: StoredMessage = {
    role,
    content: [{ type: "text", text: "[left out: this message is too large to show]" }],
    timestamp,
    ...(mark !== undefined && { idempotencyKey, __openclaw: mark }),
  };
  return [left, Buffer.byteLength(JSON.stringify(left))];
}

/** Accounting stays in the transcript; tool details can be as large as the output itself. */
function forClients(message: StoredMessage, blockChars: number): StoredMessage {
  const { usage: _usage, details: _details, ...rest } = message;
  const { content } = message;
  if (typeof content === "string") return { ...rest, content: cut(own(message, content), blockChars) };
  if (!Array.isArray(content)) return rest;
  return {
    ...rest,
    content: content.map((block: Readonly<Record<string, unknown>>) =>
      blockForClients(message, block, blockChars),
    ),
  };
}

function blockForClients(
  message: StoredMessage,
  block: Readonly<Record<string, unknown>>,
  limit: number,
): unknown {
  switch (block["type"]) {
    case "text":
      return { ...block, text: cut(own(message, wordsOf(block["text"])), limit) };
    case "thinking": {
      const { thinkingSignature: _signature, ...rest } = block;
      return { ...rest, thinking: cut(wordsOf(block["thinking"]), limit) };
    }
    case "image": {
      const { data, ...rest } = block;
      return {
        ...rest,
        omitted: true,
        bytes: typeof data === "string" ? Math.floor((data.length * 3) / 4) : 0,
      };
    }
    default:
      return block;
  }
}

const own = ({ role }: StoredMessage, text: string): string => (role === "user" ? withoutHead(text) : text);

const wordsOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** Never within a character: strict JSON readers refuse the whole answer for half of one. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, limit).replace(/[\ud800-\udbff]$/, "")}\n...(truncated)...`;
}
