import type { InboundMessage } from "@rclaw/plugin-sdk";

/** An event of a room's timeline, as far as it is read. */
export interface RoomEvent {
  readonly event_id?: string;
  readonly type?: string;
  readonly sender?: string;
  readonly state_key?: string;
  readonly origin_server_ts?: number;
  readonly content?: Readonly<Record<string, unknown>>;
}

export interface Me {
  readonly userId: string;
  readonly displayName: string | undefined;
  /** Did this account write the event? */
  wrote(eventId: string): boolean;
}

export interface Place {
  readonly accountId: string;
  readonly roomId: string;
  readonly isDirect: boolean;
  readonly roomName: string | undefined;
  readonly senderName: string | undefined;
}

interface Relation {
  readonly rel_type?: string;
  readonly event_id?: string;
  readonly "m.in_reply_to"?: { readonly event_id?: string };
}

const media: Readonly<Record<string, string>> = {
  "m.image": "<media:image>",
  "m.video": "<media:video>",
  "m.audio": "<media:audio>",
  "m.file": "<media:document>",
  "m.location": "[location]",
};

/** An event in the house's words, or undefined when it is none of ours: edits, notices of bots, our own. */
export function toInbound(event: RoomEvent, me: Me, place: Place): InboundMessage | undefined {
  const { event_id: id, type, sender, content = {}, origin_server_ts: timestamp } = event;
  if (type !== "m.room.message" || !id || !sender || sender === me.userId) return undefined;
  const kind = content["msgtype"];
  const relation = (content["m.relates_to"] ?? {}) as Relation;
  if (kind === "m.notice" || typeof kind !== "string" || relation.rel_type === "m.replace") return undefined;
  const text = textOf(kind, content, relation);
  if (!text) return undefined;
  const threadId = relation.rel_type === "m.thread" ? relation.event_id : undefined;
  const { accountId, roomId, isDirect, roomName, senderName } = place;
  return {
    id,
    accountId,
    chatType: isDirect ? "direct" : "group",
    peerId: roomId,
    sender: { id: sender, ...(senderName !== undefined && { name: senderName }) },
    text: withoutCall(text, me),
    ...(threadId !== undefined && { threadId }),
    messageId: id,
    ...(typeof timestamp === "number" && { timestamp }),
    mentioned: isMentioned(content, relation, text, me),
    ...(roomName !== undefined && { peerName: roomName }),
  };
}

function textOf(
  kind: string,
  { body, filename }: Readonly<Record<string, unknown>>,
  relation: Relation,
): string {
  const words = typeof body === "string" ? body : "";
  // Older clients repeat what they answer to, each line behind a mark, in front of the answer.
  const own = relation["m.in_reply_to"] ? words.replace(/^(?:> .*\n)+\n/, "") : words;
  const picture = media[kind];
  if (picture === undefined) return own.trim();
  // The body of a file without a caption is its name.
  return typeof filename === "string" && filename !== own ? `${picture}\n${own}` : `${picture} ${own}`.trim();
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** The account's name as people write it: its id, the part before the colon, or the name that is shown. */
function names({ userId, displayName }: Me): string {
  const local = userId.slice(1).split(":")[0] ?? "";
  return [escaped(userId), `@${escaped(local)}`, ...(displayName ? [`@?${escaped(displayName)}`] : [])].join(
    "|",
  );
}

function isMentioned(
  content: Readonly<Record<string, unknown>>,
  relation: Relation,
  text: string,
  me: Me,
): boolean {
  const replied = relation["m.in_reply_to"]?.event_id;
  const isFallback = (relation as { is_falling_back?: boolean }).is_falling_back === true;
  if (replied !== undefined && !isFallback && me.wrote(replied)) return true;
  const named = content["m.mentions"] as { user_ids?: readonly unknown[] } | undefined;
  if (Array.isArray(named?.user_ids)) return named.user_ids.includes(me.userId);
  return new RegExp(`(?<![\\w@])(?:${names(me)})(?!\\w)`, "i").test(text);
}

/** "@bot: /status" is a command like "/status": whom it was said to is known by now. */
function withoutCall(text: string, me: Me): string {
  return text.replace(new RegExp(`^\\s*(?:${names(me)})(?!\\w)[\\s,:]*`, "i"), "") || text;
}
