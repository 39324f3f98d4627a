import type { SessionEntry } from "@rclaw/plugin-sdk";
import type { SessionMethodPorts } from "@rclaw/plugin-sdk/services/sessions";
import { parseKey } from "@rclaw/plugin-sdk/session-key";
import { resolvedModel } from "./patch.ts";
import { words } from "./state.ts";

export type Listed = SessionEntry & { readonly key: string };
export type Standard = ReturnType<SessionMethodPorts["defaults"]>;

// In the order in which the protocol's rows have them.
const rowFields = words(`
  subject groupChannel space chatType origin updatedAt sessionId systemSent abortedLastRun
  thinkingLevel verboseLevel reasoningLevel elevatedLevel sendPolicy
  inputTokens outputTokens totalTokens totalTokensFresh responseUsage
  modelProvider model contextTokens deliveryContext lastChannel lastTo lastAccountId
  category icon color pinned archived unread markedUnreadAt fastMode`);

export function rowOf(entry: Listed, standard: Standard): Record<string, unknown> {
  const parsed = parseKey(entry.key);
  const isGroup = parsed.kind === "direct" && (entry.chatType === "group" || entry.chatType === "channel");
  const channel = entry.channel ?? (parsed.kind === "group" ? parsed.channel : undefined);
  const place = placeOf(entry, isGroup || parsed.kind === "group");
  const groupName = parsed.kind === "group" ? groupNameOf(entry, parsed.rest, channel) : undefined;
  const displayName = entry.displayName ?? groupName ?? entry.label ?? place.origin?.label;
  const derived: Record<string, unknown> = {
    totalTokensFresh: entry.totalTokens !== undefined && entry["totalTokensFresh"] !== false,
    ...resolvedModel(entry, standard),
    ...place,
  };
  const row: Record<string, unknown> = { key: entry.key, kind: isGroup ? "group" : parsed.kind };
  for (const [name, value] of [
    ["label", entry.label],
    ["displayName", displayName],
    ["channel", channel],
  ] as const) {
    if (value !== undefined) row[name] = value;
  }
  for (const name of rowFields) {
    const value = derived[name] ?? entry[name];
    if (value !== undefined) row[name] = value;
  }
  return row;
}

interface Origin extends Readonly<Record<string, unknown>> {
  readonly label?: string;
}

/** Where the conversation takes place: the protocol says it three times over, it is stored once. */
function placeOf(
  entry: SessionEntry,
  isGroup: boolean,
): { chatType?: string; origin?: Origin; deliveryContext?: unknown } {
  const { lastChannel, lastTo, lastAccountId, lastThreadId } = entry;
  const origin = entry["origin"] as Origin | undefined;
  if (typeof lastChannel !== "string") return { ...(origin && { origin }) };
  const chatType = entry.chatType ?? (isGroup ? "group" : "direct");
  const address = Object.entries({ to: lastTo, accountId: lastAccountId, threadId: lastThreadId });
  return {
    chatType,
    origin: origin ?? { provider: lastChannel, surface: lastChannel, chatType },
    deliveryContext: entry["deliveryContext"] ?? {
      channel: lastChannel,
      ...Object.fromEntries(address.filter(([, value]) => value !== undefined && value !== null)),
    },
  };
}

/** `telegram:g-100123`: where the group is, and its name or id. */
function groupNameOf(entry: SessionEntry, rest: string, channel: string | undefined): string {
  const [, , id = ""] = rest.split(":");
  const said = [entry["groupChannel"], entry["subject"], entry["space"]].find(
    (name) => typeof name === "string" && name.trim() !== "",
  );
  const slug = (typeof said === "string" ? said : id)
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}#@._+]+/gu, "-")
    .replaceAll(/^-+|-+$/g, "");
  return `${channel ?? "group"}:${/^[#@]/.test(slug) ? slug : `g-${slug}`}`;
}

export function standardOf({ modelProvider, model, contextTokens }: Standard): Record<string, unknown> {
  return { modelProvider: modelProvider ?? null, model: model ?? null, contextTokens: contextTokens ?? null };
}
