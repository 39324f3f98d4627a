import type { SessionMethodPorts } from "@rclaw/plugin-sdk/services/sessions";
import { type Caller, defineMethod, RclawError, type SessionEntry } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { mainSessionKey, parseKey } from "@rclaw/plugin-sdk/session-key";
import { deleteParams, listParams, patchParams, previewParams, resetParams } from "./methods.schema.ts";
import { patchFields, resolvedModel } from "./patch.ts";
import { Glimpses, previewItems, titleOf } from "./preview.ts";
import { words } from "./state.ts";
import type { SessionStore } from "./store.ts";

export interface SessionMethodsOptions extends SessionMethodPorts {
  readonly store: SessionStore;
  now?(): number;
}

type Listed = SessionEntry & { readonly key: string };

const maxPreviewKeys = 64;

// In the order in which the protocol's rows have them.
const rowFields = words(`
  subject groupChannel space chatType origin updatedAt sessionId systemSent abortedLastRun
  thinkingLevel verboseLevel reasoningLevel elevatedLevel sendPolicy
  inputTokens outputTokens totalTokens totalTokensFresh responseUsage
  modelProvider model contextTokens deliveryContext lastChannel lastTo lastAccountId`);

/** sessions.list, preview, patch, reset and delete. */
export function sessionMethods({
  store,
  defaults,
  events = {},
  now = Date.now,
  waitMs = 15_000,
}: SessionMethodsOptions): KernelMethod[] {
  const glimpses = new Glimpses(store);
  const labelsOnTheWay = new Map<string, string>();

  async function list(params: Static<typeof listParams>): Promise<unknown> {
    const all = store.list();
    glimpses.keep(new Set(all.map(({ key }) => key)));
    const wanted = filterFor(params, now());
    const found = all.filter(wanted).toSorted((a, b) => b.updatedAt - a.updatedAt);
    const shown = params.limit === undefined ? found : found.slice(0, params.limit);
    const standard = defaults();
    const sessions: Record<string, unknown>[] = [];
    for (const entry of shown) {
      const row = rowOf(entry, standard);
      if (params.includeDerivedTitles || params.includeLastMessage)
        Object.assign(row, await contentOf(entry, params));
      sessions.push(row);
    }
    return {
      ts: now(),
      path: store.indexFile,
      count: sessions.length,
      defaults: standardOf(standard),
      sessions,
    };
  }

  async function contentOf(
    entry: Listed,
    params: Static<typeof listParams>,
  ): Promise<Record<string, unknown>> {
    const { firstQuestion, lastMessage } = await glimpses.of(entry.key, entry.sessionId);
    const title = params.includeDerivedTitles ? titleOf(entry, firstQuestion) : undefined;
    return {
      ...(title !== undefined && { derivedTitle: title }),
      ...(params.includeLastMessage && lastMessage !== undefined && { lastMessagePreview: lastMessage }),
    };
  }

  async function preview({
    keys,
    limit = 12,
    maxChars = 240,
  }: Static<typeof previewParams>): Promise<unknown> {
    const wanted = keys.map((key) => key.trim()).filter((key) => key !== "");
    const previews = [];
    for (const key of wanted.slice(0, maxPreviewKeys))
      previews.push({ key, ...(await previewOf(key, { limit, maxChars })) });
    return { ts: now(), previews };
  }

  async function previewOf(
    key: string,
    size: { limit: number; maxChars: number },
  ): Promise<{ status: string; items: unknown[] }> {
    try {
      if (!store.find(key)) return { status: "missing", items: [] };
      const items = await previewItems(store, key, size);
      return { status: items.length > 0 ? "ok" : "empty", items };
    } catch {
      // One key that cannot be read must not cost the answer about the others.
      return { status: "error", items: [] };
    }
  }

  async function patch(params: Static<typeof patchParams>, caller: Caller): Promise<unknown> {
    refuseWebchat(caller, "patch");
    const key = store.canonical(params.key);
    const standard = defaults();
    const isLabelTaken = (label: string): boolean => {
      const claimed = labelsOnTheWay.get(label);
      return (
        (claimed !== undefined && claimed !== key) ||
        store.list().some((other) => other.label === label && other.key !== key)
      );
    };
    const fields = patchFields(params, { key, entry: store.find(key), defaults: standard, isLabelTaken });
    const label = typeof fields["label"] === "string" ? fields["label"] : undefined;
    // Two patches at once must not both find the label free.
    if (label !== undefined) labelsOnTheWay.set(label, key);
    try {
      const entry = await store.patch(key, fields);
      return { ok: true, path: store.indexFile, key, entry, resolved: resolvedModel(entry, standard) };
    } finally {
      if (label !== undefined) labelsOnTheWay.delete(label);
    }
  }

  async function reset({ key: given, reason = "reset" }: Static<typeof resetParams>): Promise<unknown> {
    const key = store.canonical(given);
    const before = store.find(key);
    await events.beforeReset?.(key, { entry: before, reason });
    const entry = await whenFree(key, (signal) => store.reset(key, reason, signal));
    events.onEnd?.(key, before, entry);
    return { ok: true, key, entry };
  }

  async function remove(
    { key: given, deleteTranscript = true, emitLifecycleHooks = true }: Static<typeof deleteParams>,
    caller: Caller,
  ): Promise<unknown> {
    refuseWebchat(caller, "delete");
    const key = store.canonical(given);
    if (isMain(key)) throw new RclawError("INVALID_REQUEST", `Cannot delete the main session (${key}).`);
    const before = store.find(key);
    if (before) await events.beforeDelete?.(key, { entry: before, emitHooks: emitLifecycleHooks });
    const { deleted, archived } = await whenFree(key, (signal) =>
      store.delete(key, { deleteTranscript }, signal),
    );
    if (deleted) events.onEnd?.(key, before, undefined);
    return { ok: true, key, deleted, archived };
  }

  function isMain(key: string): boolean {
    return key === mainSessionKey(store.keys);
  }

  async function whenFree<T>(key: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), waitMs);
    try {
      return await work(waiting.signal);
    } catch (error) {
      if (!waiting.signal.aborted) throw error;
      throw new RclawError("UNAVAILABLE", `Session ${key} is still active; try again in a moment.`, {
        cause: error,
        retryable: true,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  return [
    {
      scope: "operator.read",
      ...defineMethod({
        name: "sessions.list",
        since: "2026.2.17",
        params: listParams,
        handle: ({ params }) => list(params),
      }),
    },
    {
      scope: "operator.read",
      ...defineMethod({
        name: "sessions.preview",
        since: "2026.2.17",
        params: previewParams,
        handle: ({ params }) => preview(params),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "sessions.patch",
        since: "2026.2.17",
        params: patchParams,
        handle: ({ params, caller }) => patch(params, caller),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "sessions.reset",
        since: "2026.2.17",
        params: resetParams,
        handle: ({ params }) => reset(params),
      }),
    },
    {
      scope: "operator.admin",
      ...defineMethod({
        name: "sessions.delete",
        since: "2026.2.17",
        params: deleteParams,
        handle: ({ params, caller }) => remove(params, caller),
      }),
    },
  ];
}

/** A chat page is given to people who are not to change sessions. The control UI says it is one too, and is not. */
function refuseWebchat({ client }: Caller, action: "patch" | "delete"): void {
  if (!client || client.id === "openclaw-control-ui") return;
  if (client.mode !== "webchat" && client.id !== "webchat-ui") return;
  throw new RclawError(
    "INVALID_REQUEST",
    `webchat clients cannot ${action} sessions; use chat.send for session-scoped updates`,
  );
}

function filterFor(params: Static<typeof listParams>, now: number): (entry: Listed) => boolean {
  const { includeGlobal, includeUnknown, spawnedBy, label, activeMinutes } = params;
  const search = params.search?.trim().toLowerCase();
  const agentId = params.agentId?.trim().toLowerCase();
  const since = activeMinutes === undefined ? 0 : now - activeMinutes * 60_000;
  return (entry) => {
    const { kind, agentId: owner, rest } = parseKey(entry.key);
    // A cron job's single runs would bury everything else; the job itself is shown.
    if (/^cron:[^:]+:run:/.test(rest)) return false;
    if (kind === "global" && (!includeGlobal || spawnedBy !== undefined || agentId)) return false;
    if (kind === "unknown" && (!includeUnknown || spawnedBy !== undefined || agentId)) return false;
    if (agentId && owner !== agentId) return false;
    if (spawnedBy !== undefined && entry["spawnedBy"] !== spawnedBy) return false;
    if (label !== undefined && entry.label !== label) return false;
    if (entry.updatedAt < since) return false;
    if (!search) return true;
    return [entry.displayName, entry.label, entry["subject"], entry.sessionId, entry.key].some(
      (text) => typeof text === "string" && text.toLowerCase().includes(search),
    );
  };
}

function rowOf(
  entry: Listed,
  standard: ReturnType<SessionMethodsOptions["defaults"]>,
): Record<string, unknown> {
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

function standardOf({
  modelProvider,
  model,
  contextTokens,
}: ReturnType<SessionMethodsOptions["defaults"]>): Record<string, unknown> {
  return { modelProvider: modelProvider ?? null, model: model ?? null, contextTokens: contextTokens ?? null };
}
