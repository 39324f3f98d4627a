import type { InboundMessage } from "@rclaw/plugin-sdk";
import type { Chat, Message, MessageEntity, Update, User } from "grammy/types";

/** Who the bot is, to tell when it is meant. */
export type Me = Pick<User, "id"> & { readonly username?: string };

/**
 * Telegram's update in the house's words, or undefined when it is none of ours: edits,
 * service messages, other bots. Pure, so that recorded updates alone can test it.
 */
export function toInbound(accountId: string, update: Update, me: Me): InboundMessage | undefined {
  const message = update.message ?? update.channel_post;
  if (!message) return undefined;
  const { chat } = message;
  const sender = senderOf(message);
  const text = textOf(message);
  if (!sender || !text) return undefined;
  const threadId = threadOf(message);
  return {
    id: `${chat.id}:${message.message_id}`,
    accountId,
    chatType: chatTypeOf(chat),
    peerId: String(chat.id),
    sender,
    text,
    ...(threadId !== undefined && { threadId }),
    messageId: String(message.message_id),
    timestamp: message.date * 1_000,
    mentioned: isMentioned(message, me),
    ...(chat.title !== undefined && { peerName: chat.title }),
  };
}

/** The chat an update belongs to: its updates are taken one after the other. */
export function chatOf(update: Update): number | undefined {
  return (update.message ?? update.channel_post)?.chat.id;
}

/** Anything new that Telegram may invent is a group, where the stricter rules apply. */
function chatTypeOf({ type }: Chat): InboundMessage["chatType"] {
  if (type === "private") return "direct";
  return type === "channel" ? "channel" : "group";
}

/** A channel or an anonymous admin speaks as a chat; `from` is then one account for everybody. */
function senderOf({ from, sender_chat: as, chat }: Message): InboundMessage["sender"] | undefined {
  if (as) return { id: String(as.id), ...(as.title !== undefined && { name: as.title }) };
  if (from?.is_bot) return undefined;
  if (from) return { id: String(from.id), name: [from.first_name, from.last_name].filter(Boolean).join(" ") };
  return chat.type === "channel" ? { id: String(chat.id), name: chat.title } : undefined;
}

/** In a forum what stands in no topic is in "General", whose id is 1. Elsewhere a thread id is only a chain of replies. */
function threadOf(message: Message): string | undefined {
  if (message.is_topic_message && message.message_thread_id !== undefined)
    return String(message.message_thread_id);
  return message.chat.is_forum ? "1" : undefined;
}

function textOf(message: Message): string {
  const words = message.text ?? message.caption ?? "";
  const media = mediaOf(message);
  return media && words ? `${media}\n${words}` : media || words;
}

function mediaOf(message: Message): string {
  if (message.photo) return "<media:image>";
  if (message.video ?? message.video_note ?? message.animation) return "<media:video>";
  if (message.voice ?? message.audio) return "<media:audio>";
  if (message.document) return "<media:document>";
  if (message.sticker) return `<media:sticker>${message.sticker.emoji ?? ""}`;
  if (message.location) return `[location ${message.location.latitude}, ${message.location.longitude}]`;
  return "";
}

function isMentioned(message: Message, me: Me): boolean {
  const { reply_to_message: replied } = message;
  // In a topic every message "replies" to the one that opened it.
  if (replied?.from?.id === me.id && !replied.forum_topic_created) return true;
  const text = message.text ?? message.caption ?? "";
  const entities = message.entities ?? message.caption_entities ?? [];
  return entities.some((entity) => names(entity, text, me));
}

function names(entity: MessageEntity, text: string, { id, username }: Me): boolean {
  if (entity.type === "text_mention") return entity.user.id === id;
  if (!username) return false;
  const word = text.slice(entity.offset, entity.offset + entity.length).toLowerCase();
  const name = `@${username.toLowerCase()}`;
  if (entity.type === "mention") return word === name;
  return entity.type === "bot_command" && word.endsWith(name);
}
