import type { SessionMethodPorts } from "@rclaw/plugin-sdk/services/sessions";
import { type Caller, defineMethod, type Method, RclawError } from "@rclaw/plugin-sdk";
import type { Static } from "typebox";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { mainSessionKey } from "@rclaw/plugin-sdk/session-key";
import { SessionList } from "./listing.ts";
import {
  compactParams,
  deleteParams,
  describeParams,
  listParams,
  patchParams,
  previewParams,
  resetParams,
  resolveParams,
} from "./methods.schema.ts";
import { patchFields, resolvedModel } from "./patch.ts";
import { previewItems } from "./preview.ts";
import { resolveKey } from "./resolve.ts";
import type { SessionStore } from "./store.ts";

export interface SessionMethodsOptions extends SessionMethodPorts {
  readonly store: SessionStore;
  now?(): number;
}

const maxPreviewKeys = 64;

/** The `sessions.*` methods that only need the store. */
export function sessionMethods({
  store,
  defaults,
  events = {},
  now = Date.now,
  waitMs = 15_000,
}: SessionMethodsOptions): KernelMethod[] {
  const list = new SessionList({ store, defaults, now });
  const labelsOnTheWay = new Map<string, string>();

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

  /** The session a request means, as long as it is still the one that its sender saw. */
  function keyOf(params: {
    readonly key: string;
    readonly agentId?: string;
    readonly expectedSessionId?: string;
  }): string {
    const { key: given, agentId, expectedSessionId } = params;
    if (given.trim() === "") throw new RclawError("INVALID_REQUEST", "key required");
    const isShort = agentId !== undefined && !/^(agent:|global$|unknown$)/i.test(given.trim());
    const key = store.canonical(isShort ? `agent:${agentId.trim().toLowerCase()}:${given.trim()}` : given);
    if (expectedSessionId !== undefined && store.find(key)?.sessionId !== expectedSessionId)
      throw new RclawError("INVALID_REQUEST", `Session ${key} changed since it was read; refresh and retry.`);
    return key;
  }

  async function patch(params: Static<typeof patchParams>, caller: Caller): Promise<unknown> {
    refuseWebchat(caller, "patch");
    const key = keyOf(params);
    const standard = defaults();
    const isLabelTaken = (label: string): boolean => {
      const claimed = labelsOnTheWay.get(label);
      return (claimed !== undefined && claimed !== key) || store.hasLabel(label, key);
    };
    const entry = store.find(key);
    const fields = patchFields(params, { key, entry, defaults: standard, now: now(), isLabelTaken });
    const label = typeof fields["label"] === "string" ? fields["label"] : undefined;
    // Two patches at once must not both find the label free.
    if (label !== undefined) labelsOnTheWay.set(label, key);
    try {
      const changed = await store.patch(key, fields);
      const resolved = resolvedModel(changed, standard);
      return { ok: true, path: store.indexFile, key, entry: changed, resolved };
    } finally {
      if (label !== undefined) labelsOnTheWay.delete(label);
    }
  }

  async function reset(params: Static<typeof resetParams>): Promise<unknown> {
    const { reason = "reset" } = params;
    const key = keyOf(params);
    const before = store.find(key);
    await events.beforeReset?.(key, { entry: before, reason });
    const entry = await whenFree(key, (signal) => store.reset(key, reason, signal));
    events.onEnd?.(key, before, entry);
    return { ok: true, key, entry };
  }

  async function remove(params: Static<typeof deleteParams>, caller: Caller): Promise<unknown> {
    const { deleteTranscript = true, emitLifecycleHooks = true, archivedOnly = false } = params;
    refuseWebchat(caller, "delete");
    const key = keyOf(params);
    if (isMain(key)) throw new RclawError("INVALID_REQUEST", `Cannot delete the main session (${key}).`);
    const before = store.find(key);
    if (archivedOnly && before?.["archived"] !== true)
      throw new RclawError(
        "INVALID_REQUEST",
        `Session ${key} is not archived. Archive it first, then delete it.`,
      );
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

  async function compact(params: Static<typeof compactParams>): Promise<unknown> {
    const { maxLines = 400 } = params;
    const key = keyOf(params);
    const { compacted, kept, archived, reason } = await whenFree(key, (signal) =>
      store.compact(key, maxLines, signal),
    );
    return {
      ok: true,
      key,
      compacted,
      ...(archived !== undefined && { archived }),
      ...(kept !== undefined && { kept }),
      ...(reason !== undefined && { reason }),
    };
  }

  const read = (method: Method): KernelMethod => ({ scope: "operator.read", ...method });
  const admin = (method: Method): KernelMethod => ({ scope: "operator.admin", ...method });
  const since = "2026.2.17";
  return [
    read(
      defineMethod({
        name: "sessions.list",
        since,
        params: listParams,
        handle: ({ params }) => list.page(params),
      }),
    ),
    read(
      defineMethod({
        name: "sessions.describe",
        since: "2026.5.7",
        params: describeParams,
        handle: ({ params }) => list.describe(keyOf(params), params),
      }),
    ),
    read(
      defineMethod({
        name: "sessions.resolve",
        since,
        params: resolveParams,
        handle: async ({ params }) => resolveKey(params, { store, list }),
      }),
    ),
    read(
      defineMethod({
        name: "sessions.preview",
        since,
        params: previewParams,
        handle: ({ params }) => preview(params),
      }),
    ),
    admin(
      defineMethod({
        name: "sessions.patch",
        since,
        params: patchParams,
        handle: ({ params, caller }) => patch(params, caller),
      }),
    ),
    admin(
      defineMethod({
        name: "sessions.reset",
        since,
        params: resetParams,
        handle: ({ params }) => reset(params),
      }),
    ),
    admin(
      defineMethod({
        name: "sessions.delete",
        since,
        params: deleteParams,
        handle: ({ params, caller }) => remove(params, caller),
      }),
    ),
    admin(
      defineMethod({
        name: "sessions.compact",
        since,
        params: compactParams,
        handle: ({ params }) => compact(params),
      }),
    ),
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
