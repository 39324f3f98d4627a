import { isRclawError, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { HookHandler, HookName, Hooks } from "@rclaw/plugin-sdk/hooks";
import { deadline } from "@rclaw/plugin-sdk/services/in-time";
import { type HookRow, hookTable } from "./table.ts";

/** What a manifest or a live plugin wants to hear, and only when the filter's fields match. */
interface HookInterest {
  readonly plugin: string;
  readonly name: HookName;
  readonly filter?: Readonly<Record<string, readonly string[]>>;
}

interface Listener extends HookInterest {
  readonly handler: HookHandler<HookName>;
  readonly priority: number;
  readonly timeoutMs: number;
  readonly order: number;
}

type HookResult<Name extends HookName> = Partial<Exclude<Hooks[Name]["result"], void>>;

export interface HookBus {
  /** A plugin that will listen once it is active: the first event that applies activates it. */
  declare(interest: HookInterest): Disposable;
  on<Name extends HookName>(
    interest: HookInterest & { readonly name: Name },
    handler: HookHandler<Name>,
    options?: { priority?: number; timeoutMs?: number },
  ): Disposable;
  /**
   * Runs a hook and returns the merged result. Rejects with PLUGIN_FAILED only for a
   * guard's failure; every other failure is logged with plugin and hook, and skipped.
   */
  run<Name extends HookName>(
    name: Name,
    event: Hooks[Name]["event"],
    context: Hooks[Name]["context"],
  ): Promise<HookResult<Name>>;
  listeners(): readonly HookInterest[];
}

export interface HookBusOptions {
  readonly log: Logger;
  /** Rejects when the plugin cannot be activated. */
  activate(plugin: string): Promise<void>;
  /** Told of each failure, so that the host can show it with the plugin. */
  onFailure?(plugin: string, error: Error, hook: HookName): void;
}

const defaultTimeoutMs = 5_000;
/** What a hook says that nobody listens to. */
const nothing: Promise<object> = Promise.resolve(Object.freeze({}));

export function createHookBus({ log, activate, onFailure }: HookBusOptions): HookBus {
  const declared = new Map<HookName, HookInterest[]>();
  const listeners = new Map<HookName, Listener[]>();
  let order = 0;

  /** Brings in plugins that only their manifest spoke for so far. A guard that cannot start is a guard that failed. */
  async function wake(name: HookName, event: object, context: object, row: HookRow): Promise<void> {
    const live = listeners.get(name) ?? [];
    const asleep = (declared.get(name) ?? []).filter(
      (interest) =>
        matches(interest.filter, event, context) && !live.some(({ plugin }) => plugin === interest.plugin),
    );
    for (const { plugin } of asleep) {
      try {
        await activate(plugin);
      } catch (error) {
        failed(name, plugin, error, row);
      }
    }
  }

  function failed(name: HookName, plugin: string, error: unknown, row: HookRow): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    log.error({ err: cause, plugin, hook: name }, `plugin "${plugin}" failed in hook ${name}`);
    onFailure?.(plugin, cause, name);
    if (row.onFailure !== "refuse") return;
    throw new RclawError(
      "PLUGIN_FAILED",
      `plugin "${plugin}" failed in hook ${name}, which guards this step, so it was refused; see: rclaw plugin info ${plugin}`,
      { cause, details: { plugin, hook: name } },
    );
  }

  async function callOne(listener: Listener, event: object, context: object): Promise<unknown> {
    // A handler of a plugin carries that plugin's own types; here the row's kind is all that matters.
    const answer = (listener.handler as (event: object, context: object) => unknown)(event, context);
    if (!isThenable(answer)) return answer;
    return deadline(answer, listener.timeoutMs, `hook ${listener.name} of plugin "${listener.plugin}"`);
  }

  async function observe(
    name: HookName,
    row: HookRow,
    list: readonly Listener[],
    event: object,
    context: object,
  ): Promise<void> {
    await Promise.all(
      list.map(async (listener) => {
        try {
          await callOne(listener, event, context);
        } catch (error) {
          failed(name, listener.plugin, error, row);
        }
      }),
    );
  }

  async function inOrder(
    name: HookName,
    row: HookRow,
    list: readonly Listener[],
    event: object,
    context: object,
  ): Promise<object> {
    const merged: Record<string, unknown> = {};
    let current: Record<string, unknown> = { ...event };
    for (const listener of list) {
      let result: unknown;
      try {
        result = await callOne(listener, current, context);
        if (result !== undefined && (typeof result !== "object" || result === null)) {
          throw new TypeError(
            `returned ${result === null ? "null" : typeof result}, expected an object or nothing`,
          );
        }
      } catch (error) {
        failed(name, listener.plugin, error, row);
        continue;
      }
      if (!result) continue;
      const fields = result as Record<string, unknown>;
      mergeInto(merged, fields, row);
      for (const [from, to] of Object.entries(row.into ?? {})) {
        if (fields[from] !== undefined) current = { ...current, [to]: fields[from] };
      }
      if (row.stopOn && fields[row.stopOn] === true) break;
    }
    return merged;
  }

  async function dispatch(name: HookName, event: object, context: object): Promise<object> {
    const row = hookTable[name];
    if (declared.has(name)) await wake(name, event, context, row);
    const list = (listeners.get(name) ?? []).filter(({ filter }) => matches(filter, event, context));
    if (list.length === 0) return {};
    if (row.kind !== "observe") return inOrder(name, row, list, event, context);
    await observe(name, row, list, event, context);
    return {};
  }

  return {
    declare(interest) {
      push(declared, interest.name, interest);
      return { [Symbol.dispose]: () => remove(declared, interest.name, interest) };
    },
    on(interest, handler, { priority = 0, timeoutMs = defaultTimeoutMs } = {}) {
      const listener: Listener = {
        ...interest,
        handler: handler,
        priority,
        timeoutMs,
        order: order++,
      };
      push(listeners, interest.name, listener);
      listeners.get(interest.name)?.sort((a, b) => b.priority - a.priority || a.order - b.order);
      return { [Symbol.dispose]: () => remove(listeners, interest.name, listener) };
    },
    // A run passes eight of these, and mostly nobody listens to any.
    run: (name, event, context) =>
      declared.has(name) || listeners.has(name) ? dispatch(name, event, context) : nothing,
    listeners: () => [...listeners.values()].flat().map(({ plugin, name }) => ({ plugin, name })),
  };
}

function mergeInto(
  merged: Record<string, unknown>,
  fields: Record<string, unknown>,
  { merge = {} }: HookRow,
): void {
  for (const [field, how] of Object.entries(merge)) {
    const value = fields[field];
    if (value === undefined) continue;
    if (how === "first" && merged[field] !== undefined) continue;
    const before = merged[field];
    const isText = typeof before === "string" && typeof value === "string";
    merged[field] = how === "join" && isText ? `${before}\n\n${value}` : value;
  }
}

function matches(filter: HookInterest["filter"], event: object, context: object): boolean {
  if (!filter) return true;
  return Object.entries(filter).every(([field, values]) => {
    const actual = (event as Record<string, unknown>)[field] ?? (context as Record<string, unknown>)[field];
    return typeof actual === "string" && values.includes(actual);
  });
}

function isThenable(value: unknown): value is Promise<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}

/** True for a refusal by a guard that failed, as opposed to a bug in the caller. */
export function isGuardFailure(error: unknown): boolean {
  return isRclawError(error) && error.code === "PLUGIN_FAILED" && typeof error.details?.["hook"] === "string";
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function remove<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const rest = (map.get(key) ?? []).filter((item) => item !== value);
  if (rest.length > 0) map.set(key, rest);
  else map.delete(key);
}
