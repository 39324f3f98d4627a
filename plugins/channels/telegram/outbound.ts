import { type OutboundMessage, RclawError } from "@rclaw/plugin-sdk";
import type { Api } from "grammy/web";
import { apiFailure, toRclawError } from "./failures.ts";
import { toHtml } from "./markup.ts";
import { split } from "./split.ts";

/** A little under Telegram's 4,096, for what its parser may count differently. */
export const textLimit = 4_000;

export interface OutboxOptions {
  readonly api: Api;
  readonly token: string;
  readonly linkPreview: boolean;
}

interface Progress {
  readonly parts: readonly string[];
  next: number;
  lastId: string;
  /** Changes when Telegram moved the group to a new id. */
  to: string;
  thread: ReturnType<typeof threadOf>;
}

export type Outbox = (message: OutboundMessage, signal: AbortSignal) => Promise<{ id: string }>;

/** Sends Markdown. The kernel tries a failed message again with the same object: parts that got out are not repeated. */
export function createOutbox({ api, token, linkPreview }: OutboxOptions): Outbox {
  const unfinished = new WeakMap<OutboundMessage, Progress>();

  async function sendPart(
    message: OutboundMessage,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<number> {
    const source = progress.parts[progress.next]!;
    const options = {
      ...progress.thread,
      ...(!linkPreview && { link_preview_options: { is_disabled: true } }),
      ...(progress.next === 0 && replyTo(message.replyTo)),
    };
    const send = async (text: string, extra: object): Promise<number> =>
      // grammY types its signals by a shim of the same shape.
      (await api.sendMessage(progress.to, text, { ...options, ...extra }, signal as never)).message_id;
    try {
      return await send(toHtml(source), { parse_mode: "HTML" });
    } catch (error) {
      if (!/parse|entit|text is empty|too long/i.test(apiFailure(error)?.description ?? "")) throw error;
      return send(source, {});
    }
  }

  return async (message, signal) => {
    const progress = unfinished.get(message) ?? {
      parts: split(message.text, textLimit),
      next: 0,
      lastId: "",
      to: chatId(message.to),
      thread: threadOf(message.threadId),
    };
    if (progress.parts.length === 0)
      throw new RclawError("INVALID_REQUEST", "telegram: there is nothing to send");
    unfinished.set(message, progress);
    while (progress.next < progress.parts.length) {
      try {
        progress.lastId = String(await sendPart(message, progress, signal));
        progress.next++;
      } catch (error) {
        const { newChatId: moved, description } = apiFailure(error) ?? {};
        // The topic was deleted meanwhile; who asked is still in the group.
        if (progress.thread.message_thread_id !== undefined && /thread not found/i.test(description ?? "")) {
          progress.thread = {};
          continue;
        }
        if (moved === undefined || String(moved) === progress.to)
          throw toRclawError(error, "sendMessage", token, signal);
        progress.to = String(moved);
      }
    }
    unfinished.delete(message);
    return { id: progress.lastId };
  };
}

export function chatId(to: string): string {
  if (/^-?\d{1,20}$/.test(to) || /^@\w{3,32}$/.test(to)) return to;
  throw new RclawError(
    "INVALID_REQUEST",
    `telegram: ${JSON.stringify(to.slice(0, 64))} is no chat; use a numeric chat id or @channelname`,
  );
}

/** Telegram refuses the id of a forum's "General" topic although it reports it. */
export function threadOf(threadId: string | undefined): { message_thread_id?: number } {
  const id = Number(threadId);
  return threadId === undefined || !Number.isSafeInteger(id) || id <= 1 ? {} : { message_thread_id: id };
}

function replyTo(messageId: string | undefined): object {
  const id = Number(messageId);
  if (messageId === undefined || !Number.isSafeInteger(id) || id < 1) return {};
  // An answer to a deleted message is better than none.
  return { reply_parameters: { message_id: id, allow_sending_without_reply: true } };
}
