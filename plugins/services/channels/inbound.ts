import type { InboundMessage } from "@rclaw/plugin-sdk";

type Policy = "allowlist" | "open" | "disabled";
type Ids = readonly (string | number)[];

/** What one group, or one topic of it, says about itself. */
interface GroupRules {
  readonly enabled?: boolean;
  readonly requireMention?: boolean;
  readonly allowFrom?: Ids;
  readonly topics?: Readonly<Record<string, GroupRules>>;
}

/** Who may talk to one account of one channel; what `inboundRules` reads from the configuration. */
export interface InboundRules {
  readonly channel: string;
  readonly dmPolicy: "pairing" | Policy;
  readonly allowFrom: Ids;
  /** Senders that pairing let in. They count in direct messages only. */
  readonly paired: readonly string[];
  readonly groupPolicy: Policy;
  readonly groups: Readonly<Record<string, GroupRules>>;
  readonly groupAllowFrom: Ids;
  readonly mentionPatterns: readonly string[];
  readonly ownerAllowFrom: Ids;
}

export type Verdict =
  | { readonly kind: "allow"; readonly isOwner: boolean }
  | { readonly kind: "ignore"; readonly reason: string }
  | { readonly kind: "pair" };

/**
 * The choke point "who may talk". Only immutable ids are compared, never names, which
 * anybody may choose. Pure: the same message and rules give the same verdict.
 */
export function authorizeInbound(message: InboundMessage, rules: InboundRules): Verdict {
  if (!message.sender.id) return ignore("the sender has no id");
  // A channel that could not tell the chat's type must not get the laxer rules.
  const refusal =
    message.chatType === "direct" ? directRefusal(message, rules) : groupRefusal(message, rules);
  if (refusal === "pair") return { kind: "pair" };
  if (refusal) return ignore(refusal);
  return { kind: "allow", isOwner: lists(rules.ownerAllowFrom, message.sender.id, rules.channel) };
}

function directRefusal(
  { sender }: InboundMessage,
  { channel, dmPolicy, allowFrom, paired }: InboundRules,
): string | undefined {
  if (dmPolicy === "disabled") return "direct messages are disabled";
  if (lists(allowFrom, sender.id, channel)) return undefined;
  if (dmPolicy === "open") return isOpen(allowFrom) ? undefined : 'dmPolicy "open" needs allowFrom: ["*"]';
  if (dmPolicy === "pairing") return paired.includes(sender.id) ? undefined : "pair";
  return "the sender is not in allowFrom";
}

function groupRefusal(message: InboundMessage, rules: InboundRules): string | undefined {
  if (rules.groupPolicy === "disabled") return "groups are disabled";
  const { groups, channel } = rules;
  const everyGroup = own(groups, "*");
  const group = own(groups, message.peerId) ?? everyGroup;
  if (!group && Object.keys(groups).length > 0) return "the group is not in groups";
  const topic = message.threadId === undefined ? undefined : own(group?.topics ?? {}, message.threadId);
  if (group?.enabled === false || topic?.enabled === false) return "the group is disabled";

  if (rules.groupPolicy !== "open") {
    const senders = topic?.allowFrom ?? group?.allowFrom ?? rules.groupAllowFrom;
    if (!lists(senders, message.sender.id, channel)) return "the sender is not in groupAllowFrom";
  }
  const needsMention = topic?.requireMention ?? group?.requireMention ?? everyGroup?.requireMention ?? true;
  if (!needsMention || message.mentioned === true || mentions(message.text, rules.mentionPatterns))
    return undefined;
  return "the assistant was not mentioned";
}

/** `*` is no id: it never stands for a sender, so it can make nobody the owner. */
function lists(ids: Ids, senderId: string, channel: string): boolean {
  return ids.some((entry) => {
    const id = String(entry).trim();
    return id !== "*" && (id === senderId || id === `${channel}:${senderId}`);
  });
}

function isOpen(ids: Ids): boolean {
  return ids.some((entry) => String(entry).trim() === "*");
}

/** Group ids come from strangers; `__proto__` must find nothing. */
function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function ignore(reason: string): Verdict {
  return { kind: "ignore", reason };
}

const maxMentionText = 1_000;

/** Does the text name the assistant, by the patterns its owner wrote? */
export function mentions(text: string, patterns: readonly string[]): boolean {
  const start = text.slice(0, maxMentionText);
  return patterns.some((pattern) => toRegExp(pattern)?.test(start) ?? false);
}

/**
 * A stranger's text meets the owner's pattern, so a pattern that could run for long is
 * taken literally: nothing repeated twice, no groups repeated, no references, and no
 * more steps than a few milliseconds hold even when every choice is tried.
 */
function toRegExp(pattern: string): RegExp | undefined {
  if (!pattern || pattern.length > 200) return undefined;
  const bare = pattern.replaceAll(/\\[^1-9k]/g, "x").replaceAll(/\[[^\]]*\]/g, "x");
  const repeats = bare.match(/[*+]|\{\d/g)?.length ?? 0;
  const choices = bare.match(/[?|]/g)?.length ?? 0;
  const steps = 2 ** choices * maxMentionText ** (1 + repeats);
  const isTame = steps <= 20_000_000 && !/\)[*+?{]|\(\?|\\/.test(bare);
  try {
    return new RegExp(isTame ? pattern : escaped(pattern), "i");
  } catch {
    return new RegExp(escaped(pattern), "i");
  }
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** Reads the rules of one account; what it does not say it inherits from its channel. */
export function inboundRules(
  config: Readonly<Record<string, unknown>>,
  channel: string,
  accountId: string,
  paired: readonly string[] = [],
): InboundRules {
  const all = record(config["channels"]);
  const top = record(own(all, channel));
  const account = record(own(record(top["accounts"]), accountId));
  const value = (key: string): unknown => account[key] ?? top[key];
  const allowFrom = ids(value("allowFrom"));
  return {
    channel,
    paired,
    allowFrom,
    dmPolicy: oneOf(value("dmPolicy"), ["pairing", "allowlist", "open", "disabled"], "pairing"),
    groupPolicy: oneOf(
      value("groupPolicy") ?? record(all["defaults"])["groupPolicy"],
      ["allowlist", "open", "disabled"],
      "allowlist",
    ),
    groups: record(value("groups")) as InboundRules["groups"],
    groupAllowFrom: value("groupAllowFrom") === undefined ? allowFrom : ids(value("groupAllowFrom")),
    mentionPatterns: ids(record(record(config["messages"])["groupChat"])["mentionPatterns"]).map(String),
    ownerAllowFrom: ids(record(config["commands"])["ownerAllowFrom"]),
  };
}

/**
 * Which known person wrote a direct message, by `session.identityLinks`. Only addresses with
 * their channel count: an id alone may be somebody else's on another platform.
 */
export function personOf(
  { peerId, sender }: InboundMessage,
  channel: string,
  config: Readonly<Record<string, unknown>>,
): string | undefined {
  const addresses = [`${channel}:${sender.id}`, `${channel}:${peerId}`];
  const links = Object.entries(record(record(config["session"])["identityLinks"]));
  return links.find(([, known]) =>
    ids(known).some((address) => addresses.includes(String(address).trim())),
  )?.[0];
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

function ids(value: unknown): Ids {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (item): item is string | number => typeof item === "string" || typeof item === "number",
  );
}

/** A word that no schema let through by mistake must close the door, not open it. */
function oneOf<const T extends string>(value: unknown, words: readonly T[], fallback: T): T | "disabled" {
  if (value === undefined) return fallback;
  return words.find((word) => word === value) ?? "disabled";
}
