import type { InboundMessage } from "@rclaw/plugin-sdk";
import type { Chat, Message, MessageEntity, Update, User } from "grammy/types";

/** Who the bot is, to tell when it is meant. */
export type Me = Pick<User, "id"> & { readonly username?: string };

/**
 * Telegram's update in the house's words, or undefined when it is none of ours: edits,
 * service messages, other bots and what is said to them. Pure, so that recorded updates alone can test it.
 */
export function toInbound(accountId: string, update: Update, me: Me): InboundMessage | undefined {
  const message = update.message ?? update.channel_post;
  if (!message) return undefined;
  const { chat } = message;
  const sender = senderOf(message);
  const text = textOf(message);
  if (!sender || !text || isForAnotherBot(message, me)) return undefined;
  const threadId = threadOf(message);
  return {
    id: `${chat.id}:${message.message_id}`,
    accountId,
    chatType: chatTypeOf(chat),
    peerId: String(chat.id),
    sender,
    text: withoutCall(text, me),
    ...(threadId !== undefined && { threadId }),
    messageId: String(message.message_id),
    timestamp: message.date * 1_000,
    mentioned: isMentioned(message, me),
    ...(chat.title !== undefined && { peerName: chat.title }),
  };
}

/** The chat an update belongs to: its updates are taken one after the other. Whatever an update lacks, this does not throw. */
export function chatOf(update: Update): number | undefined {
  const message: Partial<Message> | undefined = update.message ?? update.channel_post;
  return message?.chat?.id;
}

/** Pictures that were sent as one are separate messages with this in common. */
export function albumOf(update: Update): string | undefined {
  const message: Partial<Message> | undefined = update.message ?? update.channel_post;
  return message?.media_group_id;
}

/** An album is one message: its first one, which all redeliveries begin with, with what stands below the others. */
export function asOne(messages: readonly InboundMessage[]): InboundMessage | undefined {
  const [first] = messages;
  if (!first || messages.length === 1) return first;
  return {
    ...first,
    text: messages.map(({ text }) => text).join("\n"),
    mentioned: messages.some(({ mentioned }) => mentioned === true),
  };
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
  if (message.contact) return `[contact ${message.contact.first_name}, ${message.contact.phone_number}]`;
  if (message.poll) return `[poll ${message.poll.question}]`;
  return "";
}

function isMentioned(message: Message, me: Me): boolean {
  const { reply_to_message: replied } = message;
  // In a topic every message "replies" to the one that opened it.
  if (replied?.from?.id === me.id && !replied.forum_topic_created) return true;
  const text = message.text ?? message.caption ?? "";
  const entities = message.entities ?? message.caption_entities ?? [];
  // Some clients and bridges send no entities.
  return calls(me, "(?<![\\w@])")?.test(text) === true || entities.some((entity) => names(entity, text, me));
}

/** `@name` of this bot, in whatever case; a longer name is another's. */
function calls({ username }: Me, before: string, after = ""): RegExp | undefined {
  return username ? new RegExp(`${before}@${username}(?!\\w)${after}`, "i") : undefined;
}

/** "@bot /status" is a command like "/status": whom it was said to is known by now. */
function withoutCall(text: string, me: Me): string {
  const call = calls(me, "^\\s*", "[\\s,:]*");
  return (call && text.replace(call, "")) || text;
}

/** Admins among the bots see all commands, also `/help@other_bot`. */
function isForAnotherBot({ text = "" }: Message, { username }: Me): boolean {
  const other = /^\/\w+@(\w+)/.exec(text)?.[1];
  return other !== undefined && username !== undefined && other.toLowerCase() !== username.toLowerCase();
}

function names(entity: MessageEntity, text: string, { id, username }: Me): boolean {
  if (entity.type === "text_mention") return entity.user.id === id;
  if (!username) return false;
  const word = text.slice(entity.offset, entity.offset + entity.length).toLowerCase();
  const name = `@${username.toLowerCase()}`;
  if (entity.type === "mention") return word === name;
  return entity.type === "bot_command" && word.endsWith(name);
}
