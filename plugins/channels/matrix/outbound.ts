import { type OutboundMessage, RclawError } from "@rclaw/plugin-sdk";
import type { Api } from "./api.ts";
import { toHtml } from "./markup.ts";
import { split } from "@rclaw/plugin-sdk/split";

/** An event may have 65,536 bytes, and holds the text twice. */
export const textLimit = 12_000;

interface Progress {
  readonly parts: readonly string[];
  /** The same for every try, so that the server knows a part that it has already. */
  readonly transaction: string;
  next: number;
  lastId: string;
}

/** Sends Markdown. A message that failed is taken up where it stopped when it is sent again. */
export function createOutbox(api: Api, onSent: (eventId: string) => void) {
  const unfinished = new Map<string, Progress>();

  return async (message: OutboundMessage, signal: AbortSignal): Promise<{ id: string }> => {
    const key = JSON.stringify([message.to, message.threadId, message.replyTo, message.text]);
    const progress = unfinished.get(key) ?? {
      parts: split(message.text, textLimit),
      transaction: crypto.randomUUID(),
      next: 0,
      lastId: "",
    };
    if (progress.parts.length === 0)
      throw new RclawError("INVALID_REQUEST", "matrix: there is nothing to send");
    const room = encodeURIComponent(roomOf(message.to));
    unfinished.set(key, progress);
    // What was given up is not remembered for ever.
    for (const oldest of unfinished.keys()) if (unfinished.size > 100) unfinished.delete(oldest);
    for (; progress.next < progress.parts.length; progress.next++) {
      const text = progress.parts[progress.next] ?? "";
      const { event_id: id } = await api.ask<{ event_id: string }>(
        "PUT",
        `/rooms/${room}/send/m.room.message/${progress.transaction}-${progress.next}`,
        { signal, body: { ...bodyOf(text), ...relationOf(message, progress.next === 0) } },
      );
      progress.lastId = id;
      onSent(id);
    }
    unfinished.delete(key);
    return { id: progress.lastId };
  };
}

function bodyOf(text: string): object {
  const html = toHtml(text);
  return {
    msgtype: "m.text",
    body: text,
    ...(html !== text && { format: "org.matrix.custom.html", formatted_body: html }),
  };
}

function relationOf({ threadId, replyTo }: OutboundMessage, isFirst: boolean): object {
  const reply = isFirst ? replyTo : undefined;
  if (threadId !== undefined)
    return {
      "m.relates_to": {
        rel_type: "m.thread",
        event_id: threadId,
        is_falling_back: reply === undefined,
        "m.in_reply_to": { event_id: reply ?? threadId },
      },
    };
  return reply === undefined ? {} : { "m.relates_to": { "m.in_reply_to": { event_id: reply } } };
}

export function roomOf(to: string): string {
  if (/^!\S{1,254}$/.test(to)) return to;
  throw new RclawError(
    "INVALID_REQUEST",
    `matrix: ${JSON.stringify(to.slice(0, 64))} is no room; use its id, such as !abc:example.org`,
  );
}
