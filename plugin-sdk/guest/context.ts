import type { Ask, Asked, HookOffer } from "../boundary/calls.ts";
import type { Channel } from "../channel.ts";
import { RclawError } from "../errors.ts";
import type { Command, Method, Route } from "../gateway.ts";
import type { HookName } from "../hooks.ts";
import type { Logger, PluginContext } from "../plugin.ts";
import type { Chunk, Provider } from "../provider.ts";
import type { Tool } from "../tool.ts";
import { farFetch } from "./fetch.ts";
import { createQueue, farWebSocket } from "./socket.ts";

export interface FarHook extends HookOffer {
  handler(event: object, context: object): unknown;
}

/** What a plugin registered, by kind. */
export interface Registered {
  readonly tools: Map<string, Tool>;
  readonly channels: Map<string, Channel>;
  readonly providers: Map<string, Provider>;
  readonly methods: Map<string, Method>;
  readonly routes: Map<string, Route>;
  readonly commands: Map<string, Command>;
  /** A hook's place is its number on the wire, so nothing is ever taken out. */
  readonly hooks: FarHook[];
}

export const nothingRegistered = (): Registered => ({
  tools: new Map(),
  channels: new Map(),
  providers: new Map(),
  methods: new Map(),
  routes: new Map(),
  commands: new Map(),
  hooks: [],
});

export interface FarContextOptions {
  readonly params: Asked["activate"]["params"];
  readonly registered: Registered;
  readonly ask: Ask;
  readonly signal: AbortSignal;
  readonly deferred: (() => unknown)[];
}

/** The world as a plugin behind a boundary sees it: every verb is a request to the host, which checks it. */
export function farContext({ params, registered, ask, signal, deferred }: FarContextOptions): PluginContext {
  const { id, version, config, env } = params;
  return {
    id,
    version,
    config,
    log: farLog(ask),
    signal,
    tools: {
      ...registrar(registered.tools, ({ name }) => name),
      list: (place) => ask("tools.list", { place }),
      call: (name, given, { signal: own, onUpdate: _onUpdate, ...place }) =>
        ask("tools.call", { name, params: given, place: place }, { signal: own }),
    },
    channels: {
      ...registrar(registered.channels, (channel) => channel.id),
      deliver: async (channel, message, own) =>
        (await ask("channels.deliver", { channel, message }, { signal: own })) ?? undefined,
      typing: async (channel, target, own) =>
        void (await ask("channels.typing", { channel, target }, { signal: own })),
    },
    providers: {
      ...registrar(registered.providers, (provider) => provider.id),
      ids: uncarried("providers.ids"),
      ready: (provider, own) => ask("providers.ready", { id: provider }, { signal: own }),
      models: (provider, own) => ask("providers.models", { id: provider }, { signal: own }),
      stream: (provider, request, own) => farStream(ask, { id: provider, request }, own),
    },
    methods: {
      ...registrar(registered.methods, ({ name }) => name),
      call: (method, given, { signal: own, onAccepted } = {}) =>
        ask(
          "methods.call",
          { method, params: given },
          { signal: own, onChunk: (payload) => onAccepted?.(payload) },
        ),
    },
    routes: registrar(registered.routes, ({ route }) => route),
    commands: registrar(registered.commands, ({ name }) => name),
    hooks: {
      on(name: HookName, handler: unknown, options: { priority?: number; timeoutMs?: number } = {}) {
        const hook: FarHook = { name, ...options, handler: handler as FarHook["handler"] };
        registered.hooks.push(hook);
        return { [Symbol.dispose]: () => void (hook.handler = () => undefined) };
      },
      run: uncarried("hooks.run"),
    },
    sessions: {
      canonical: uncarried("sessions.canonical"),
      list: () => ask("sessions.list", null),
      find: async (key) => (await ask("sessions.find", { key })) ?? undefined,
      tail: (key, limit) => ask("sessions.tail", { key, limit }),
      open: uncarried("sessions.open"),
      reset: uncarried("sessions.reset"),
      workspace: uncarried("sessions.workspace"),
    },
    runs: {
      accept: uncarried("runs.accept"),
      mark: uncarried("runs.mark"),
      unsettled: uncarried("runs.unsettled"),
      find: uncarried("runs.find"),
    },
    gateway: {
      broadcast: (event, payload, options = {}) =>
        void ask("gateway.broadcast", { event, payload, ...options }).catch(
          complain(ask, "gateway.broadcast"),
        ),
      send: uncarried("gateway.send"),
      clients: uncarried("gateway.clients"),
      onEvent: uncarried("gateway.onEvent"),
      isServing: uncarried("gateway.isServing"),
    },
    fetch: farFetch(ask),
    webSocket: farWebSocket(ask),
    secrets: {
      get: (name) => ask("secrets.get", { name }),
      resolve: (value) =>
        value.startsWith("secret:") ? ask("secrets.resolve", { value }) : Promise.resolve(value),
      sign: (name, request) => ask("secrets.sign", { name, request: plain(request) }),
      verify: (name, request) => ask("secrets.verify", { name, request: plain(request) }),
    },
    env: (name) => env[name],
    storage: {
      get: async (key) => (await ask("storage.get", { key })) ?? undefined,
      set: async (key, value) =>
        void (await ask("storage.set", { key, ...(value !== undefined && { value }) })),
      where: uncarried("storage.where"),
    },
    defer(fn) {
      deferred.push(fn);
      return {
        [Symbol.dispose]: () => {
          const index = deferred.indexOf(fn);
          if (index === -1) return;
          deferred.splice(index, 1);
          fn();
        },
      };
    },
  };
}

function registrar<T extends object>(items: Map<string, T>, nameOf: (item: T) => string) {
  return {
    register(item: T): Disposable {
      const name = nameOf(item);
      if (items.has(name)) throw new RclawError("CONFLICT", `this plugin registers "${name}" a second time`);
      items.set(name, item);
      return { [Symbol.dispose]: () => void items.delete(name) };
    },
  };
}

function uncarried(what: string) {
  return (): never => {
    throw new RclawError(
      "PERMISSION_DENIED",
      `this plugin uses ${what}, which only runtime "in-process" can carry`,
    );
  };
}

function complain(ask: Ask, what: string) {
  return (error: unknown): void => {
    const message = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    ask("log", { level: "warn", message, fields: {} }).catch(() => undefined);
  };
}

function farLog(ask: Ask): Logger {
  const write =
    (level: "debug" | "info" | "warn" | "error") =>
    (fields: object, message = ""): void => {
      // A line that does not arrive is not worth a plugin's life.
      ask("log", { level, message, fields: plain(fields) }).catch(() => undefined);
    };
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Errors and bytes in a form that can be sent; what else cannot be is left out. */
export function plain(fields: object): object {
  const text = JSON.stringify(fields, (_key, value: unknown) => {
    if (value instanceof Error)
      return { name: value.name, message: value.message, ...("code" in value && { code: value.code }) };
    if (value instanceof Uint8Array) return { base64: base64(value) };
    return typeof value === "bigint" ? String(value) : value;
  });
  return JSON.parse(text) as object;
}

/** Works wherever `btoa` does. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

async function* farStream(
  ask: Ask,
  params: Parameters<typeof ask<"providers.stream">>[1],
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const incoming = createQueue<readonly Chunk[]>(16);
  const gone = new AbortController();
  const onAbort = (): void => gone.abort();
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  ask("providers.stream", params, { signal: gone.signal, onChunk: (chunks) => incoming.push(chunks) }).then(
    () => incoming.end(),
    (error: unknown) => incoming.end(error),
  );
  try {
    for await (const chunks of incoming) yield* chunks;
  } finally {
    // Whoever stops reading stops the stream.
    onAbort();
    signal.removeEventListener("abort", onAbort);
  }
}
