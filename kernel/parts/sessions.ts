import type { ConfigPaths } from "@rclaw/plugin-sdk/services/config";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type Channel, type Logger, type PluginContext } from "@rclaw/plugin-sdk";
import { defaultAgentOf, modelDefaultsOf } from "@rclaw/plugin-sdk/services/agents";
import { channelMethods, type LiveChannels } from "@rclaw/plugin-sdk/services/channels";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import type { Lifetime } from "../lifetime.ts";
import type { ServiceLoader } from "../services.ts";
import { type Methods, ownCaller } from "../gateway/methods.ts";
import type { HookBus } from "../hooks/bus.ts";
import type { Lookup } from "../ports.ts";
import type { KeyRules } from "@rclaw/plugin-sdk/session-key";
import { canonicalKey } from "@rclaw/plugin-sdk/session-key";
import {
  type LiveStore,
  type Lock,
  type LockInfo,
  sessionMethods,
} from "@rclaw/plugin-sdk/services/sessions";
import type { Redactor } from "../redact.ts";
import type { Settings } from "../settings.ts";

export interface SessionPartsOptions {
  readonly services: ServiceLoader;
  readonly paths: ConfigPaths;
  readonly settings: Settings;
  readonly methods: Methods;
  readonly hooks: HookBus;
  readonly log: Logger;
  readonly redactor: Redactor;
  lookup(): Lookup;
  isActive(plugin: string): boolean;
  /** Told inside the process only. */
  emit(event: string, payload: unknown): void;
  /** What the lock file says of this process. */
  owner(): LockInfo;
}

export type SessionParts = ReturnType<typeof createSessionParts>;

/** Conversations: the store, who may talk, and the way between channels and runs. */
export function createSessionParts(options: SessionPartsOptions) {
  const { paths, settings, methods, hooks, log } = options;
  const keys = (): KeyRules => {
    const { session } = settings.config();
    return {
      defaultAgentId: defaultAgentOf(settings.config()),
      mainKey: session?.mainKey ?? "main",
      ...(session?.scope && { scope: session.scope }),
    };
  };
  let opening: Promise<LiveStore> | undefined;
  let opened: LiveStore | undefined;
  let lock: Lock | undefined;
  /** Ends first when the gateway stops: no new messages, while the answers under way go on. */
  const receiving = new AbortController();

  /** Opened by whoever needs it first: a command that only reads the configuration never takes the lock. */
  function store(): Promise<LiveStore> {
    opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  }

  async function open(): Promise<LiveStore> {
    await mkdir(paths.stateDir, { recursive: true, mode: 0o700 });
    const { acquireLock, openStore } = await options.services.get("sessions");
    lock = await acquireLock(paths.stateDir, options.owner());
    opened = await openStore({
      dir: path.join(paths.stateDir, "sessions"),
      keys: {
        ...keys(),
        // Another agent may become the first one while the store is open.
        get defaultAgentId() {
          return defaultAgentOf(settings.config());
        },
      },
      log,
      redact: options.redactor.held,
      onChange: (change) => options.emit("session.stored", change),
    });
    return opened;
  }

  let live: Promise<LiveChannels> | undefined;
  const channels = (): Promise<LiveChannels> => {
    live ??= options.services.get("channels").then(({ openChannels }) =>
      openChannels({
        credentials: path.join(paths.stateDir, "credentials"),
        channel: (id) => options.lookup()("channels", id),
        methods,
        hooks,
        config: () => settings.config(),
        keys,
        log,
      }),
    );
    return live;
  };

  /** A run that still writes would bring the session back. Whoever has such a method knows about runs. */
  async function stopRuns(sessionKey: string): Promise<void> {
    const owner = methods.entry("chat.abort")?.owner;
    if (owner === undefined || !options.isActive(owner)) return;
    const caller = ownCaller("kernel", ["operator.admin"]);
    await methods
      .call("chat.abort", { sessionKey }, { caller, signal: receiving.signal })
      .catch((error: unknown) => log.warn({ err: error, sessionKey }, "a run was not stopped"));
  }

  async function loadStoreMethods(): Promise<readonly KernelMethod[]> {
    const live = await store();
    const { sessionLifecycle } = await options.services.get("sessions");
    const events = sessionLifecycle({ store: live, hooks, stopRuns });
    return live.methods({ defaults: () => modelDefaultsOf(settings.config()), events });
  }

  const runs: PluginContext["runs"] = {
    accept: async (run) => (await store()).runs.accept(run),
    mark: async (run, state, error) => (await store()).runs.mark(run, state, error),
    // Nothing is known of a store that nobody has opened yet: what it holds is its gateway's to take up.
    unsettled: () => opened?.runs.unsettled() ?? [],
    find: (method, principal, id) => opened?.runs.find(method, principal, id),
  };

  return {
    store,
    runs,
    channels,
    async startChannel(channel: Channel, lifetime: Lifetime): Promise<void> {
      // Its own controller: on Node 20 `AbortSignal.any` over a long-lived signal keeps every signal it ever made.
      const stop = new AbortController();
      const onStop = (): void => stop.abort();
      receiving.signal.addEventListener("abort", onStop, { once: true });
      lifetime.defer(() => {
        receiving.signal.removeEventListener("abort", onStop);
        stop.abort();
      });
      await (await channels()).start(channel, stop.signal);
    },
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
    state: () => opened?.state ?? { status: "ok" as const, quarantined: 0 },
    indexPath: path.join(paths.stateDir, "sessions", "sessions.json"),
    groups: [
      {
        owner: "kernel sessions",
        scopes: sessionMethods,
        load: loadStoreMethods,
      },
      { owner: "kernel channels", scopes: channelMethods, load: async () => (await channels()).methods() },
    ] satisfies MethodGroup[],
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
