import {
  isRclawError,
  type Logger,
  type Manifest,
  type Plugin,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import { deadline, untilAborted } from "@rclaw/plugin-sdk/services/in-time";
import { Lifetime } from "../lifetime.ts";
import type { Catalog } from "./catalog.ts";
import type { FoundManifest, PluginState, PluginStatus } from "@rclaw/plugin-sdk/services/plugin-admin";

export interface PluginHostOptions {
  catalog(): Catalog;
  readonly log: Logger;
  isEnabled(manifest: Manifest): boolean;
  load(found: FoundManifest): Promise<Plugin>;
  context(found: FoundManifest, lifetime: Lifetime): PluginContext;
  /** After a plugin came to life; the kernel starts its channels here. A failure is the plugin's failure. */
  onActive?(found: FoundManifest, lifetime: Lifetime): Promise<void>;
  /** Plugins that should come back by themselves after a failure, because nobody would ask for them. */
  wantsToRun?(manifest: Manifest): boolean;
  readonly timing?: {
    readonly activateMs?: number;
    readonly backoffMs?: number;
    readonly maxBackoffMs?: number;
  };
  now?(): number;
  /** From 0 to 1; spreads restarts. */
  random?(): number;
}

const forgiveMs = 60_000;
/** So many failed hooks within `forgiveMs` are a failed plugin. */
const maxTroubles = 5;

class Slot {
  state: PluginState = "inactive";
  lifetime: Lifetime | undefined;
  activating: Promise<void> | undefined;
  ending: Promise<void> | undefined;
  error: string | undefined;
  timings: PluginStatus["timings"];
  trouble: PluginStatus["trouble"];
  troubledAt: number[] = [];
  failures = 0;
  restarts = 0;
  retryAt = 0;
  activeSince = 0;
  retry: NodeJS.Timeout | undefined;
}

export type PluginHost = ReturnType<typeof createPluginHost>;

/**
 * Brings plugins to life when somebody needs them and takes them down again.
 * One that throws, rejects or hangs is named, kept away for a growing while and
 * tried again; the gateway goes on without it.
 */
export function createPluginHost(options: PluginHostOptions) {
  const {
    catalog,
    log,
    isEnabled,
    load,
    context,
    onActive,
    wantsToRun,
    timing = {},
    now = Date.now,
    random = Math.random,
  } = options;
  const { activateMs = 10_000, backoffMs = 500, maxBackoffMs = 60_000 } = timing;
  const slots = new Map<string, Slot>();
  let closed = false;

  function slotOf(id: string): Slot {
    let slot = slots.get(id);
    if (!slot) slots.set(id, (slot = new Slot()));
    return slot;
  }

  function found(id: string): FoundManifest {
    const item = catalog().plugins.get(id);
    if (!item) throw new RclawError("NOT_FOUND", `there is no plugin "${id}"; see: rclaw plugin list`);
    return item;
  }

  async function activate(id: string): Promise<void> {
    const item = found(id);
    const slot = slotOf(id);
    if (slot.state === "active") return;
    // Two lives at once would write over what the other keeps.
    if (slot.ending) return slot.ending.then(() => activate(id));
    if (closed)
      throw new RclawError("UNAVAILABLE", `the gateway is stopping; plugin "${id}" was not started`);
    const conflict = catalog().conflicts.get(id);
    if (conflict) throw new RclawError("CONFLICT", `plugin "${id}" may not run: ${conflict}`);
    if (!isEnabled(item.manifest))
      throw new RclawError(
        "UNAVAILABLE",
        `plugin "${id}" is disabled; to enable it: rclaw plugin enable ${id}`,
      );
    const wait = slot.retryAt - now();
    if (wait > 0) {
      throw new RclawError(
        "UNAVAILABLE",
        `plugin "${id}" failed (${slot.error}) and is kept off for ${Math.ceil(wait / 1_000)} s; to try now: rclaw plugin reload ${id}`,
        {
          retryable: true,
          details: { plugin: id, retryAfterMs: Math.ceil(wait) },
        },
      );
    }
    slot.activating ??= start(item, slot).finally(() => (slot.activating = undefined));
    await slot.activating;
  }

  async function start(item: FoundManifest, slot: Slot): Promise<void> {
    const { id } = item.manifest;
    const lifetime = new Lifetime();
    slot.state = "activating";
    slot.lifetime = lifetime;
    const begun = performance.now();
    try {
      // Whoever stops it, or the gateway, does not wait for one that hangs.
      const inTime = <T>(work: Promise<T>, what: string): Promise<T> =>
        untilAborted(deadline(work, activateMs, `${what} plugin "${id}"`), lifetime.signal, `plugin "${id}"`);
      const plugin = await inTime(load(item), "loading");
      const loaded = performance.now();
      await inTime(Promise.resolve(plugin.activate(context(item, lifetime))), "activating");
      await onActive?.(item, lifetime);
      if (lifetime.signal.aborted)
        throw new RclawError("ABORTED", `plugin "${id}" was stopped while it started`);
      slot.timings = { importMs: loaded - begun, activateMs: performance.now() - loaded };
      slot.state = "active";
      slot.error = undefined;
      slot.retryAt = 0;
      slot.activeSince = now();
    } catch (error) {
      await end(id, lifetime);
      if (slot.lifetime === lifetime) fail(item, slot, error);
      if (isRclawError(error)) throw error;
      throw new RclawError("PLUGIN_FAILED", `plugin "${id}" could not start: ${wordsOf(error)}`, {
        cause: error,
        details: { plugin: id },
      });
    }
  }

  function fail(item: FoundManifest, slot: Slot, error: unknown): void {
    const { id } = item.manifest;
    const cause = error instanceof Error ? error : new Error(String(error));
    log.error({ err: cause, plugin: id }, `plugin "${id}" failed`);
    slot.state = "failed";
    slot.lifetime = undefined;
    slot.error = cause.message;
    // A plugin that ran well for a while starts its count anew.
    if (slot.activeSince > 0 && now() - slot.activeSince > forgiveMs) slot.failures = 0;
    slot.activeSince = 0;
    // The wait grows with each failure; a jitter keeps plugins that fell together from rising together.
    const wait = Math.min(maxBackoffMs, backoffMs * 2 ** slot.failures) * (0.8 + random() * 0.4);
    slot.failures++;
    slot.retryAt = now() + wait;
    clearTimeout(slot.retry);
    if (closed || !(wantsToRun?.(item.manifest) ?? false)) return;
    slot.retry = setTimeout(() => {
      slot.retryAt = 0;
      slot.restarts++;
      activate(id).catch(() => undefined);
    }, wait);
    slot.retry.unref();
  }

  async function end(id: string, lifetime: Lifetime): Promise<void> {
    try {
      await deadline(lifetime[Symbol.asyncDispose](), activateMs, `stopping plugin "${id}"`);
    } catch (error) {
      log.error({ err: error, plugin: id }, `plugin "${id}" did not stop cleanly`);
      const reasons: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
      note(id, "stopping", reasons.map(wordsOf).join("; "));
    }
  }

  function note(id: string, where: string, error: unknown): void {
    const slot = slotOf(id);
    slot.trouble = { count: (slot.trouble?.count ?? 0) + 1, where, error: wordsOf(error), at: now() };
  }

  /** Takes a running plugin down after something of it failed outside any call, such as a timer that threw. */
  async function blame(id: string, error: unknown): Promise<void> {
    const slot = slots.get(id);
    if (!slot?.lifetime) return log.error({ err: error, plugin: id }, `plugin "${id}" failed after its end`);
    const { lifetime } = slot;
    fail(found(id), slot, error);
    note(id, "outside of any call", error);
    await leave(slot, end(id, lifetime));
  }

  async function deactivate(id: string): Promise<void> {
    const slot = slots.get(id);
    if (!slot) return;
    clearTimeout(slot.retry);
    slot.retryAt = 0;
    slot.failures = 0;
    const { lifetime, activating, ending } = slot;
    slot.lifetime = undefined;
    slot.state = "inactive";
    slot.error = undefined;
    slot.trouble = undefined;
    slot.troubledAt = [];
    // A start that was under way sees its lifetime end.
    const started = activating?.catch(() => undefined);
    await leave(slot, Promise.all([ending, lifetime ? end(id, lifetime) : undefined, started]));
  }

  async function leave(slot: Slot, gone: Promise<unknown>): Promise<void> {
    const ending = gone.then(() => undefined);
    slot.ending = ending;
    await ending;
    if (slot.ending === ending) slot.ending = undefined;
  }

  function status(id: string): PluginStatus {
    const slot = slotOf(id);
    const enabled = isEnabled(found(id).manifest);
    const conflict = catalog().conflicts.get(id);
    const error = conflict ?? slot.error;
    return {
      id,
      enabled,
      state: conflict ? "failed" : enabled ? slot.state : "disabled",
      restarts: slot.restarts,
      ...(error !== undefined && { error }),
      ...(conflict !== undefined && { isConflict: true as const }),
      ...(slot.trouble && { trouble: slot.trouble }),
      ...(slot.timings && { timings: slot.timings }),
    };
  }

  return {
    activate,
    deactivate,
    status,
    list: (): readonly PluginStatus[] => [...catalog().plugins.keys()].map(status),
    isActive: (id: string): boolean => slots.get(id)?.state === "active",
    blame,
    /** Keeps what went wrong inside a call. What `counts` takes the plugin down like any other failure, once it is too much. */
    report(id: string, where: string, error: unknown, { counts = false } = {}): void {
      const slot = slotOf(id);
      if (slot.state !== "active") return;
      note(id, where, error);
      if (!counts) return;
      slot.troubledAt = [...slot.troubledAt.filter((at) => now() - at < forgiveMs), now()];
      if (slot.troubledAt.length < maxTroubles) return;
      slot.troubledAt = [];
      const reason = `${where} failed, the last of ${maxTroubles} failures within a minute: ${wordsOf(error)}`;
      void blame(id, new RclawError("PLUGIN_FAILED", reason, { cause: error }));
    },
    /** Takes everything down: who asks models before those whom it asks, else newest first. */
    async close(): Promise<void> {
      closed = true;
      const asks = (id: string): number =>
        catalog().plugins.get(id)?.manifest.permissions?.providers ? 0 : 1;
      const ids = [...slots.keys()].reverse();
      for (const id of ids.sort((a, b) => asks(a) - asks(b))) await deactivate(id);
    },
  };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
