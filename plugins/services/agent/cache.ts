import type { TranscriptEntry } from "@rclaw/plugin-sdk";
import { type HistoryMessage, sizeOf, toHistory } from "./messages.ts";
import { startsTurn } from "./overflow.ts";

export interface Conversation {
  readonly key: string;
  readonly sessionId: string;
  /** How often the session had been compacted when it was read. */
  readonly compactions: unknown;
  readonly messages: HistoryMessage[];
  /** What this process wrote last; a next line with another parent means that somebody else wrote in between. */
  leaf: string | undefined;
  size: number;
  /** Somebody's thinking is among the messages, so they must be looked through before another provider gets them. */
  hasThinking: boolean;
  stale: boolean;
}

const maxSessions = 256;
const maxTotal = 16_000_000;
/** How far back a conversation is read when it is opened. */
export const readBack = 1_000;

export interface ConversationsOptions {
  /** Characters of history a request may carry. */
  readonly contextChars: number;
}

/**
 * What each session's model was told so far, kept while this process is the session's
 * writer, so that a run does not read the whole transcript again.
 */
export function createConversations({ contextChars }: ConversationsOptions) {
  const known = new Map<string, Conversation>();
  let total = 0;

  function drop(key: string): void {
    const gone = known.get(key);
    if (!gone) return;
    total -= gone.size;
    known.delete(key);
  }

  /** Drops whole turns from the front, a quarter of the budget at once, so that the prefix seldom changes. */
  function trim(conversation: Conversation, limit = contextChars): void {
    if (conversation.size <= limit) return;
    const { messages } = conversation;
    let cut = 0;
    let size = conversation.size;
    while (cut < messages.length - 1 && size > limit * 0.75) {
      const message = messages[cut];
      if (message) size -= sizeOf(message);
      cut++;
    }
    for (; cut < messages.length - 1; cut++) {
      const message = messages[cut];
      if (!message || startsTurn(message)) break;
      size -= sizeOf(message);
    }
    messages.splice(0, cut);
    conversation.size = size;
  }

  return {
    /** The conversation when it is known and still that session's. */
    find(key: string, sessionId: string, compactions?: unknown): Conversation | undefined {
      const conversation = known.get(key);
      if (!conversation) return undefined;
      if (conversation.stale || conversation.sessionId !== sessionId) return undefined;
      if (conversation.compactions !== compactions) return undefined;
      known.delete(key);
      known.set(key, conversation);
      return conversation;
    },
    /** The id that the session had before it was reset, if this process saw it. */
    previous: (key: string, sessionId: string): string | undefined => {
      const before = known.get(key)?.sessionId;
      return before === sessionId ? undefined : before;
    },
    load(
      key: string,
      sessionId: string,
      entries: readonly TranscriptEntry[],
      compactions?: unknown,
    ): Conversation {
      drop(key);
      const messages = toHistory(entries);
      const size = messages.reduce((sum, message) => sum + sizeOf(message), 0);
      const conversation: Conversation = {
        key,
        sessionId,
        compactions,
        messages,
        leaf: undefined,
        size,
        hasThinking: messages.some(thinks),
        stale: false,
      };
      trim(conversation);
      known.set(key, conversation);
      total += conversation.size;
      for (const oldest of known.keys()) {
        if (known.size <= maxSessions && total <= maxTotal) break;
        if (oldest !== key) drop(oldest);
      }
      return conversation;
    },
    add(conversation: Conversation, message: HistoryMessage): void {
      const before = conversation.size;
      conversation.messages.push(message);
      conversation.hasThinking ||= thinks(message);
      conversation.size += sizeOf(message);
      trim(conversation);
      // One that had to make room meanwhile is no longer counted.
      if (known.get(conversation.key) === conversation) total += conversation.size - before;
    },
    /** For a model that cannot read as much as the configuration allows. */
    fit(conversation: Conversation, limit: number): void {
      const before = conversation.size;
      if (before <= limit) return;
      trim(conversation, limit);
      if (known.get(conversation.key) === conversation) total += conversation.size - before;
    },
    /** Somebody else wrote into the session: the next run reads it again. */
    spoil(key: string): void {
      const conversation = known.get(key);
      if (conversation) conversation.stale = true;
    },
    forget: drop,
  };
}

export type Conversations = ReturnType<typeof createConversations>;

const thinks = ({ content }: HistoryMessage): boolean => content.some(({ type }) => type === "thinking");
