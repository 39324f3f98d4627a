import { type OutboundMessage, RclawError } from "@rclaw/plugin-sdk";
import type { Api } from "./api.ts";
import { split } from "@rclaw/plugin-sdk/split";

/** A little under the 16,383 that a server takes unless it was set up otherwise. */
export const textLimit = 16_000;

interface Progress {
  readonly parts: readonly string[];
  /** The same for every try: the server knows a post by it that it has already. */
  readonly pending: string;
  next: number;
  lastId: string;
}

/** Sends Markdown, which Mattermost speaks. A message that failed is taken up where it stopped when it is sent again. */
export function createOutbox(api: Api) {
  const unfinished = new Map<string, Progress>();

  return async (message: OutboundMessage, signal: AbortSignal): Promise<{ id: string }> => {
    const key = JSON.stringify([message.to, message.threadId, message.replyTo, message.text]);
    const progress = unfinished.get(key) ?? {
      parts: split(message.text, textLimit),
      pending: crypto.randomUUID(),
      next: 0,
      lastId: "",
    };
    if (progress.parts.length === 0)
      throw new RclawError("INVALID_REQUEST", "mattermost: there is nothing to send");
    const channel = channelOf(message.to);
    unfinished.set(key, progress);
    // What was given up is not remembered for ever.
    for (const oldest of unfinished.keys()) if (unfinished.size > 100) unfinished.delete(oldest);
    // An answer to a post is a thread here; `replyTo` alone would begin a new one for every answer.
    const { threadId } = message;
    for (; progress.next < progress.parts.length; progress.next++) {
      const { id } = await api.ask<{ id: string }>("POST", "/posts", signal, {
        channel_id: channel,
        message: progress.parts[progress.next],
        pending_post_id: `${progress.pending}:${progress.next}`,
        ...(threadId !== undefined && { root_id: threadId }),
      });
      progress.lastId = id;
    }
    unfinished.delete(key);
    return { id: progress.lastId };
  };
}

export function channelOf(to: string): string {
  if (/^[a-z0-9]{26}$/.test(to)) return to;
  throw new RclawError(
    "INVALID_REQUEST",
    `mattermost: ${JSON.stringify(to.slice(0, 64))} is no channel id; it has 26 letters and digits`,
  );
}
