import type { Channel } from "../channel.ts";
import { RclawError } from "../errors.ts";
import type { Caller, Command, ConnectedClient, Method, Route } from "../gateway.ts";
import type { HookHandler, HookName, Hooks } from "../hooks.ts";
import type { Manifest } from "../manifest.ts";
import type { Logger, Plugin, PluginContext, Registrar } from "../plugin.ts";
import type { Provider } from "../provider.ts";
import type { Files, Tool } from "../tool.ts";
import { sign, verify } from "../services/signatures.ts";
import { createTestState, type TestState } from "./state.ts";

export interface TestContextOptions<Config> {
  readonly id?: string;
  readonly config?: Config;
  /** With it, registering what the manifest does not declare throws, as in the kernel. */
  readonly manifest?: Pick<Manifest, "contributes">;
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly fetch?: typeof fetch;
  readonly webSocket?: PluginContext["webSocket"];
  /** Absolute path of the workspace that every session gets. */
  readonly workspace?: string;
  /** What other plugins would contribute. */
  readonly providers?: readonly Provider[];
  readonly tools?: readonly Tool[];
  readonly channels?: readonly Channel[];
  readonly methods?: Readonly<Record<string, (params: unknown) => unknown>>;
  /** Who is connected. */
  readonly clients?: readonly ConnectedClient[];
  /** Whether it is a gateway at work; true unless said otherwise. */
  readonly serving?: boolean;
  readonly state?: TestState;
}

export interface SentEvent {
  readonly event: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** Set for a frame that went to one connection only. */
  readonly connId?: string;
}

export interface TestContext<Config> extends AsyncDisposable {
  readonly context: PluginContext<Config>;
  readonly state: TestState;
  readonly events: readonly SentEvent[];
  /** Lines of the log as `level message fields`. */
  readonly logs: readonly string[];
  readonly contributions: {
    readonly tools: ReadonlyMap<string, Tool>;
    readonly channels: ReadonlyMap<string, Channel>;
    readonly providers: ReadonlyMap<string, Provider>;
    readonly methods: ReadonlyMap<string, Method>;
    readonly routes: ReadonlyMap<string, Route>;
    readonly commands: ReadonlyMap<string, Command>;
  };
  /** A client of the gateway, as methods see it. */
  caller(fields?: Partial<Caller>): Caller;
  activate(plugin: Plugin<Config>): Promise<void>;
  /** Lets the plugin hear an event as if another plugin had broadcast it. */
  tell(event: string, payload: unknown): void;
  /** Calls a method the plugin registered. `accepted` holds what it answered early. */
  call(
    method: string,
    params?: unknown,
    options?: { caller?: Caller; signal?: AbortSignal; accepted?: unknown[] },
  ): Promise<unknown>;
  /** Resolves with the first event that passes, whether it was sent already or comes within `timeoutMs` (5,000). */
  waitFor(test: (event: SentEvent) => boolean, timeoutMs?: number): Promise<SentEvent>;
}

interface Waiter {
  readonly test: (event: SentEvent) => boolean;
  resolve(event: SentEvent): void;
}

/**
 * A complete plugin context in memory: what the plugin registers can be called, what
 * it sends can be read, what it would ask of others is given in the options. Dispose
 * it to disable the plugin: the signal aborts first, then deferred functions run newest first.
 */
export function createTestContext<Config = unknown>(
  options: TestContextOptions<Config> = {},
): TestContext<Config> {
  const { id = "test", env = {}, secrets = {}, workspace = "/workspace", manifest } = options;
  const state = options.state ?? createTestState();
  const controller = new AbortController();
  const deferred: (() => unknown)[] = [];
  const events: SentEvent[] = [];
  const logs: string[] = [];
  const waiters = new Set<Waiter>();
  const listeners = new Set<(event: string, payload: unknown) => void>();
  const hooks = new Map<HookName, { readonly handler: HookHandler<HookName>; readonly priority: number }[]>();
  const storage = new Map<string, unknown>();
  const others = {
    tools: new Map(options.tools?.map((tool) => [tool.name, tool])),
    channels: new Map(options.channels?.map((channel) => [channel.id, channel])),
    providers: new Map(options.providers?.map((provider) => [provider.id, provider])),
  };
  const own = {
    tools: new Map<string, Tool>(),
    channels: new Map<string, Channel>(),
    providers: new Map<string, Provider>(),
    methods: new Map<string, Method>(),
    routes: new Map<string, Route>(),
    commands: new Map<string, Command>(),
  };

  function registrar<T>(
    kind: keyof typeof own,
    name: (item: T) => string,
    into: Map<string, T>,
  ): Registrar<T> {
    return {
      register(item) {
        const declared = manifest?.contributes[kind];
        const names = Array.isArray(declared) ? declared : Object.keys(declared ?? {});
        if (manifest && !names.includes(name(item))) {
          throw new RclawError(
            "PERMISSION_DENIED",
            `"${id}" registers ${kind} "${name(item)}", which its manifest does not declare`,
          );
        }
        into.set(name(item), item);
        return defer(() => into.delete(name(item)));
      },
    };
  }

  function defer(fn: () => unknown): Disposable {
    deferred.push(fn);
    return {
      [Symbol.dispose]: () => {
        const index = deferred.indexOf(fn);
        if (index === -1) return;
        deferred.splice(index, 1);
        fn();
      },
    };
  }

  function send(event: SentEvent): void {
    // What is sent must survive JSON, and must not change afterwards.
    const sent = JSON.parse(JSON.stringify(event)) as SentEvent;
    events.push(sent);
    for (const waiter of waiters) {
      if (!waiter.test(sent)) continue;
      waiters.delete(waiter);
      waiter.resolve(sent);
    }
  }

  const write = (level: string) => (fields: object, message?: string) =>
    void logs.push(
      `${level} ${message ?? ""} ${JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? String(value) : value))}`,
    );
  const log: Logger = {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };

  async function runHook(name: HookName, event: object, context: object): Promise<object> {
    const merged: Record<string, unknown> = {};
    for (const { handler } of hooks.get(name) ?? []) {
      Object.assign(
        merged,
        await (handler as (event: object, context: object) => unknown)({ ...event, ...merged }, context),
      );
    }
    return merged;
  }

  const lookup = <T>(kind: string, name: string, ...maps: readonly ReadonlyMap<string, T>[]): T => {
    for (const map of maps) {
      const found = map.get(name);
      if (found) return found;
    }
    throw new RclawError("NOT_FOUND", `no ${kind} "${name}"`);
  };
  const provider = (name: string): Provider => lookup("provider", name, others.providers, own.providers);
  const channel = (name: string): Channel => lookup("channel", name, others.channels, own.channels);

  const context: PluginContext<Config> = {
    id,
    version: "0.0.0",
    config: (options.config ?? {}) as Config,
    log,
    signal: controller.signal,
    tools: {
      ...registrar("tools", (tool: Tool) => tool.name, own.tools),
      list: () =>
        Promise.resolve(
          [...others.tools.values()].map(({ name, description, params }) => ({ name, description, params })),
        ),
      call: (name, params, place) =>
        lookup("tool", name, others.tools, own.tools).execute(params, {
          ...place,
          workspace,
          files: noFiles,
        }),
    },
    channels: {
      ...registrar("channels", (item: Channel) => item.id, own.channels),
      deliver: (name, message, signal) => channel(name).send(message, signal),
      typing: async (name, target, signal) => channel(name).typing?.(target, signal),
    },
    providers: {
      ...registrar("providers", (item: Provider) => item.id, own.providers),
      ids: () => [...others.providers.keys()],
      ready: (name, signal) => provider(name).ready(signal),
      models: (name, signal) => provider(name).models(signal),
      stream: (name, request, signal) => provider(name).stream(request, signal),
    },
    methods: {
      ...registrar("methods", (method: Method) => method.name, own.methods),
      call: async (method, params) =>
        lookup("method", method, new Map(Object.entries(options.methods ?? {})))(params),
    },
    routes: registrar("routes", (route: Route) => route.route, own.routes),
    commands: registrar("commands", (command: Command) => command.name, own.commands),
    hooks: {
      on(name, handler, { priority = 0 } = {}) {
        const entry = { handler: handler as HookHandler<HookName>, priority };
        const list = [...(hooks.get(name) ?? []), entry].sort((a, b) => b.priority - a.priority);
        hooks.set(name, list);
        return defer(() =>
          hooks.set(
            name,
            (hooks.get(name) ?? []).filter((other) => other !== entry),
          ),
        );
      },
      run: <Name extends HookName>(name: Name, event: Hooks[Name]["event"], place: Hooks[Name]["context"]) =>
        runHook(name, event, place) as ReturnType<PluginContext["hooks"]["run"]> as never,
    },
    sessions: { ...state.sessions, workspace: () => Promise.resolve(workspace) },
    runs: state.runs,
    gateway: {
      broadcast: (event, payload) => send({ event, payload: payload as SentEvent["payload"] }),
      send(connId, event, payload) {
        send({ event, payload: payload as SentEvent["payload"], connId });
        return true;
      },
      clients: () => options.clients ?? [],
      onEvent: (listener) => {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
      isServing: () => options.serving ?? true,
    },
    fetch:
      options.fetch ??
      (() => Promise.reject(new RclawError("EGRESS_DENIED", "this test context has no fetch"))),
    webSocket:
      options.webSocket ??
      (() => Promise.reject(new RclawError("EGRESS_DENIED", "this test context has no webSocket"))),
    secrets: {
      get: async (name) =>
        secrets[name] ?? Promise.reject(new RclawError("NOT_FOUND", `no secret "${name}"`)),
      resolve: async (value) =>
        value.startsWith("secret:") ? context.secrets.get(value.slice("secret:".length)) : value,
      sign: async (name, request) => sign(name, await context.secrets.get(name), request),
      verify: async (name, request) => verify(name, await context.secrets.get(name), request),
    },
    env: (name) => env[name] || undefined,
    storage: {
      get: (key) => Promise.resolve(structuredClone(storage.get(key))),
      async set(key, value) {
        if (value === undefined) storage.delete(key);
        else storage.set(key, structuredClone(value));
      },
      where: async () => `/state/plugins/${id}/storage.json`,
    },
    defer,
  };

  const caller = (fields: Partial<Caller> = {}): Caller => ({
    kind: "client",
    principal: "client:test",
    role: "operator",
    scopes: ["operator.admin"],
    connId: "conn-1",
    caps: [],
    isOwner: true,
    ...fields,
  });

  return {
    context,
    state,
    events,
    logs,
    contributions: own,
    caller,
    activate: async (plugin) => plugin.activate(context),
    tell: (event, payload) => listeners.forEach((listener) => listener(event, payload)),
    async call(
      name,
      params = {},
      { caller: from = caller(), signal = controller.signal, accepted = [] } = {},
    ) {
      const method = lookup("method", name, own.methods);
      return method.handle({
        params,
        caller: from,
        signal,
        accept: (payload) => void accepted.push(payload),
      });
    },
    waitFor(test, timeoutMs = 5_000) {
      const seen = events.find(test);
      if (seen) return Promise.resolve(seen);
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          test,
          resolve: (event) => {
            clearTimeout(timer);
            resolve(event);
          },
        };
        const timer = setTimeout(() => {
          waiters.delete(waiter);
          reject(
            new RclawError(
              "TIMEOUT",
              `no such event within ${timeoutMs} ms; seen: ${events.map(({ event }) => event).join(", ")}`,
            ),
          );
        }, timeoutMs);
        waiters.add(waiter);
      });
    },
    async [Symbol.asyncDispose]() {
      if (controller.signal.aborted) return;
      controller.abort();
      for (const fn of deferred.splice(0).reverse()) await fn();
    },
  };
}

const refuse = (): Promise<never> =>
  Promise.reject(new RclawError("NOT_FOUND", "this test context has no files"));
const noFiles: Files = { read: refuse, write: refuse, list: refuse };
