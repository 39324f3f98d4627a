import type { Block } from "@rclaw/plugin-sdk";
import { type HistoryMessage, sizeOf } from "./messages.ts";
import { isTooLong } from "./models.ts";
import { shorten } from "./text.ts";

/** Characters a tool's result keeps when nothing else is left to leave out. */
const shortResult = 4_000;

const total = (messages: readonly HistoryMessage[]): number =>
  messages.reduce((sum, message) => sum + sizeOf(message), 0);

/**
 * The same conversation without its older part, as whole turns, so that it fits; if the
 * last turn alone is too much, its tools' results in short. Undefined when nothing can go.
 */
function shorter(
  messages: readonly HistoryMessage[],
  limit = total(messages) / 2,
): readonly HistoryMessage[] | undefined {
  const size = limit === Number.POSITIVE_INFINITY ? 0 : total(messages);
  if (size <= limit) return messages;
  const recent = messages.slice(firstKept(messages, size - limit));
  if (total(recent) <= limit) return recent;
  const cut = recent.map(withShortResults);
  return total(cut) < size ? cut : undefined;
}

/**
 * Asks with as much of the conversation as the model can read: an answer without the older
 * part is better than none. What was too much once is not tried again.
 */
export function askingForLess<Answer>(
  askWith: (messages: readonly HistoryMessage[]) => Promise<Answer>,
  onLess: (limit: number) => void,
): (messages: readonly HistoryMessage[]) => Promise<Answer> {
  let limit = Number.POSITIVE_INFINITY;
  return async (messages) => {
    let asked = shorter(messages, limit) ?? messages;
    for (;;) {
      try {
        return await askWith(asked);
      } catch (error) {
        const fewer = isTooLong(error) ? shorter(asked) : undefined;
        if (!fewer) throw error;
        asked = fewer;
        limit = total(fewer);
        onLess(limit);
      }
    }
  };
}

/** Where the first turn begins after that much was left out; the last turn at the latest. */
function firstKept(messages: readonly HistoryMessage[], excess: number): number {
  let kept = 0;
  let gone = 0;
  for (const [index, message] of messages.entries()) {
    if (startsTurn(message)) {
      kept = index;
      if (gone >= excess) break;
    }
    gone += sizeOf(message);
  }
  return kept;
}

export function startsTurn({ role, content }: HistoryMessage): boolean {
  return role === "user" && content.every(({ type }) => type !== "tool_result");
}

function withShortResults(message: HistoryMessage): HistoryMessage {
  const isLong = (block: Block): boolean =>
    block.type === "tool_result" && block.content.length > shortResult;
  if (!message.content.some(isLong)) return message;
  const content = message.content.map((block) =>
    block.type === "tool_result" ? { ...block, content: shorten(block.content, shortResult) } : block,
  );
  return { ...message, content };
}
