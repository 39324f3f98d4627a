import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type Channel, type Logger, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { createChannels } from "../channels.ts";
import { type ConfigPaths, valueAt } from "../config/load.ts";
import type { KernelMethod, Methods } from "../gateway/methods.ts";
import type { HookBus } from "../hooks/bus.ts";
import { createPairing, pairingMethods } from "../pairing.ts";
import type { Lookup } from "../ports.ts";
import type { KeyRules } from "../sessions/key.ts";
import { canonicalKey } from "../sessions/key.ts";
import { acquireLock, type LockInfo } from "../sessions/lock.ts";
import { type SessionEvents, sessionMethods } from "../sessions/methods.ts";
import { SessionStore } from "../sessions/store.ts";
import type { Settings } from "../settings.ts";

export interface SessionPartsOptions {
  readonly paths: ConfigPaths;
  readonly settings: Settings;
  readonly methods: Methods;
  readonly hooks: HookBus;
  readonly log: Logger;
  lookup(): Lookup;
  isActive(plugin: string): boolean;
  /** What the lock file says of this process. */
  owner(): LockInfo;
}

const storeMethods = {
  "sessions.list": "operator.read",
  "sessions.preview": "operator.read",
  "sessions.patch": "operator.admin",
  "sessions.reset": "operator.admin",
  "sessions.delete": "operator.admin",
} as const;

export type SessionParts = ReturnType<typeof createSessionParts>;

/** Conversations: the store, who may talk, and the way between channels and runs. */
export function createSessionParts(options: SessionPartsOptions) {
  const { paths, settings, methods, hooks, log } = options;
  const keys = (): KeyRules => {
    const { session } = settings.config();
    return {
      defaultAgentId: "main",
      mainKey: session?.mainKey ?? "main",
      ...(session?.scope && { scope: session.scope }),
    };
  };
  let opening: Promise<SessionStore> | undefined;
  let opened: SessionStore | undefined;
  let providing: Promise<void> | undefined;
  let lock: Awaited<ReturnType<typeof acquireLock>> | undefined;
  /** Ends first when the gateway stops: no new messages, while the answers under way go on. */
  const receiving = new AbortController();

  /** Opened by whoever needs it first: a command that only reads the configuration never takes the lock. */
  function store(): Promise<SessionStore> {
    opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  }

  async function open(): Promise<SessionStore> {
    await mkdir(paths.stateDir, { recursive: true, mode: 0o700 });
    lock = await acquireLock(paths.stateDir, options.owner());
    opened = await SessionStore.open({ dir: path.join(paths.stateDir, "sessions"), keys: keys(), log });
    return opened;
  }

  const ready = (): SessionStore => {
    if (opened) return opened;
    throw new RclawError("UNAVAILABLE", "the session store is not open yet", { retryable: true });
  };

  const pairing = createPairing({ dir: path.join(paths.stateDir, "credentials"), log });
  const channels = createChannels({
    channel: (id) => options.lookup()("channels", id),
    methods,
    hooks,
    pairing,
    config: () => settings.config(),
    keys,
    log,
  });

  /** A run that still writes would bring the session back. Whoever has such a method knows about runs. */
  async function stopRuns(sessionKey: string): Promise<void> {
    const owner = methods.entry("chat.abort")?.owner;
    if (owner === undefined || !options.isActive(owner)) return;
    const caller = {
      kind: "command",
      principal: "kernel",
      role: "operator",
      scopes: ["operator.admin"],
      caps: [],
      isOwner: true,
    } as const;
    await methods
      .call("chat.abort", { sessionKey }, { caller, signal: receiving.signal })
      .catch((error: unknown) => log.warn({ err: error, sessionKey }, "a run was not stopped"));
  }

  const modelDefaultsNow = () => modelDefaults(settings.config());
  const ending = new Map<string, number>();
  /** Counted before the transcript is archived; its file is small or the person has waited for worse. */
  async function countMessages(sessionKey: string): Promise<void> {
    const entries = (await opened?.tail(sessionKey, Number.MAX_SAFE_INTEGER)) ?? [];
    ending.set(sessionKey, entries.filter(({ type }) => type === "message").length);
  }

  const events: SessionEvents = {
    async beforeReset(sessionKey, { reason }) {
      await stopRuns(sessionKey);
      await countMessages(sessionKey);
      const sessionFile = opened?.sessionFile(sessionKey);
      const event = { reason, ...(sessionFile !== undefined && { sessionFile }) };
      await hooks.run("before_reset", event, { sessionKey });
    },
    async beforeDelete(sessionKey) {
      await stopRuns(sessionKey);
      await countMessages(sessionKey);
    },
    // The next session starts when somebody writes to it, and whoever runs it says so then.
    onEnd(sessionKey, before) {
      const messageCount = ending.get(sessionKey) ?? 0;
      ending.delete(sessionKey);
      if (!before) return;
      const { sessionId } = before;
      void hooks.run("session_end", { sessionId, messageCount }, { sessionId });
    },
  };

  const runs: PluginContext["runs"] = {
    accept: async (run) => (await store()).runs.accept(run),
    mark: async (run, state, error) => (await store()).runs.mark(run, state, error),
    unsettled: () => ready().runs.unsettled(),
    find: (method, principal, id) => ready().runs.find(method, principal, id),
  };

  return {
    store,
    runs,
    channels,
    startChannel: (channel: Channel, signal: AbortSignal): Promise<void> =>
      channels.start(channel, AbortSignal.any([signal, receiving.signal])),
    stopReceiving: () => receiving.abort(),
    updateLock: async (): Promise<void> => lock?.update(options.owner()),
    unsettled: (): number => opened?.runs.unsettled().length ?? 0,
    forPlugins: (workspace: (agentId: string) => Promise<string>): PluginContext["sessions"] => ({
      canonical: (key) => canonicalKey(key, keys()),
      list: async () => (await store()).list(),
      find: async (key) => (await store()).find(key),
      tail: async (key, limit) => (await store()).tail(key, limit),
      open: async (key, signal) => (await store()).open(key, signal),
      reset: async (key, reason, signal) => (await store()).reset(key, reason, signal),
      workspace,
    }),
    list: () => opened?.list() ?? [],
    modelDefaults: modelDefaultsNow,
    state: () => opened?.state ?? { status: "ok" as const, quarantined: 0 },
    indexPath: path.join(paths.stateDir, "sessions", "sessions.json"),
    /** Declared at once, answered once somebody asks: the store is opened for it then. */
    declareMethods(): void {
      for (const [name, scope] of Object.entries(storeMethods))
        methods.declare({ name, scope, owner: "kernel" });
    },
    provideMethods(): Promise<void> {
      providing ??= store().then((live) => {
        const list = sessionMethods({
          store: live,
          defaults: modelDefaultsNow,
          events,
        });
        for (const { scope: _scope, role: _role, ...method } of list) methods.provide("kernel", method);
      });
      // A locked state folder may be free the next time somebody asks.
      providing.catch(() => (providing = undefined));
      return providing;
    },
    methods: (): KernelMethod[] => [
      ...channels.channelMethods(),
      ...pairingMethods({
        pairing,
        async notify(channel, accountId, to, signal) {
          await channels.deliver(
            channel,
            { accountId, to, text: "You are let in: this assistant answers you from now on." },
            signal,
          );
        },
      }),
    ],
    warnings(): string[] {
      const { status, reason, quarantined } = opened?.state ?? { status: "ok", quarantined: 0 };
      return [
        ...(status === "degraded" ? [`the session store is degraded: ${reason ?? "unknown reason"}`] : []),
        ...(quarantined > 0
          ? [
              `${quarantined} damaged transcript lines were set aside; see *.quarantine.jsonl in ${paths.stateDir}`,
            ]
          : []),
      ];
    },
    async close(): Promise<void> {
      await opening?.catch(() => undefined);
      await opened?.close();
      await lock?.release();
    },
  };
}

/** What the operator chose as the model, for lists that show it; who answers is another plugin's business. */
function modelDefaults(config: unknown): { modelProvider?: string; model?: string } {
  const chosen = valueAt(config, "agents.defaults.model");
  const ref = typeof chosen === "string" ? chosen : valueAt(chosen, "primary");
  if (typeof ref !== "string") return {};
  const slash = ref.indexOf("/");
  return slash > 0 ? { modelProvider: ref.slice(0, slash), model: ref.slice(slash + 1) } : { model: ref };
}
