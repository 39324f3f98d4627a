import type { InboundMessage } from "@rclaw/plugin-sdk";

export interface Post {
  readonly id?: string;
  readonly channel_id?: string;
  readonly user_id?: string;
  readonly root_id?: string;
  readonly message?: string;
  /** Empty for what a person wrote; `system_...` otherwise. */
  readonly type?: string;
  readonly create_at?: number;
  readonly delete_at?: number;
  readonly file_ids?: readonly string[] | null;
  readonly props?: Readonly<Record<string, unknown>> | null;
}

/** Where a post stands and who is named in it, as far as the event or the channel says. */
export interface Place {
  /** `D`: between two people, `G`: a few, `O` and `P`: channels. */
  readonly channelType: string | undefined;
  readonly channelName: string | undefined;
  readonly senderName: string | undefined;
  readonly mentions: readonly string[];
}

export interface Me {
  readonly id: string;
  readonly username: string;
}

/** A post in the house's words, or undefined when it is none of ours: our own, the system's, other bots'. */
export function toInbound(accountId: string, post: Post, me: Me, place: Place): InboundMessage | undefined {
  const { id, channel_id: channel, user_id: user, root_id: root, message = "", type = "", props } = post;
  if (!id || !channel || !user || user === me.id || type !== "" || post.delete_at) return undefined;
  if (props?.["from_bot"] === "true" || props?.["from_webhook"] === "true") return undefined;
  const files = (post.file_ids ?? []).map(() => "<media:document>");
  const text = [...files, message].filter(Boolean).join("\n");
  if (!text) return undefined;
  const call = new RegExp(`(?<![\\w@.-])@${me.username.replaceAll(".", "\\.")}(?![\\w-]|\\.\\w)`, "i");
  const { channelType, channelName, senderName, mentions } = place;
  return {
    id,
    accountId,
    // What is not known to be between two is a group, where the stricter rules apply.
    chatType: channelType === "D" ? "direct" : "group",
    peerId: channel,
    sender: { id: user, ...(senderName !== undefined && { name: senderName.replace(/^@/, "") }) },
    // "@bot /status" is a command like "/status": whom it was said to is known by now.
    text: text.replace(new RegExp(`^\\s*${call.source}[\\s,:]*`, "i"), "") || text,
    ...(root && { threadId: root }),
    messageId: id,
    ...(typeof post.create_at === "number" && { timestamp: post.create_at }),
    mentioned: mentions.includes(me.id) || call.test(text),
    ...(channelName && { peerName: channelName }),
  };
}
