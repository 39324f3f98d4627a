import type {
  Channel,
  Command,
  HookHandler,
  HookName,
  Logger,
  Manifest,
  Method,
  PluginContext,
  Provider,
  Route,
  Tool,
} from "@rclaw/plugin-sdk";
import { RclawError } from "@rclaw/plugin-sdk";
import { checkContribution } from "@rclaw/plugin-sdk/services/contribution-check";
import { boundedLog } from "@rclaw/plugin-sdk/services/bounded-log";
import type { HookBus } from "../hooks/bus.ts";
import type { Lifetime } from "../lifetime.ts";
import { contributed, hooksOf, type Kind } from "./catalog.ts";
import { require, requireClients, requireSessions } from "./permissions.ts";
import type { Registry } from "./registry.ts";

/** The verbs of the kernel, before any plugin's permissions are applied to them. */
export interface KernelPorts {
  readonly log: Logger & { child?(fields: object): Logger };
  readonly hooks: HookBus;
  readonly registries: {
    readonly tools: Registry<Tool>;
    readonly channels: Registry<Channel>;
    readonly providers: Registry<Provider>;
    readonly routes: Registry<Route>;
    readonly commands: Registry<Command>;
  };
  provideMethod(plugin: string, method: Method): Disposable;
  readonly tools: Pick<PluginContext["tools"], "list" | "call">;
  readonly channels: Pick<PluginContext["channels"], "deliver" | "typing">;
  readonly providers: Pick<PluginContext["providers"], "ids" | "ready" | "models" | "stream">;
  callMethod(
    plugin: string,
    signal: AbortSignal,
    ...call: Parameters<PluginContext["methods"]["call"]>
  ): Promise<unknown>;
  readonly sessions: PluginContext["sessions"];
  readonly runs: PluginContext["runs"];
  readonly gateway: PluginContext["gateway"];
  readonly secrets: PluginContext["secrets"];
  env(name: string): string | undefined;
  networkFor(
    manifest: Manifest,
    config: unknown,
    signal: AbortSignal,
  ): Pick<PluginContext, "fetch" | "webSocket">;
  storageFor(plugin: string): PluginContext["storage"];
}

export interface ContextOptions {
  readonly manifest: Manifest;
  readonly version: string;
  readonly config: unknown;
  readonly lifetime: Lifetime;
  readonly kernel: KernelPorts;
  /** Marks what the plugin hands over, so that errors of it are known to be its own. */
  inside?<T extends object>(item: T): T;
  /** There for those who may not write as much log as they like; told when one does. */
  onFlood?: ((message: string) => void) | undefined;
}

/** The world as one plugin sees it: every verb asks the manifest first, everything registered dies with the lifetime. */
export function createPluginContext({
  manifest,
  version,
  config,
  lifetime,
  kernel,
  inside = (item) => item,
  onFlood,
}: ContextOptions): PluginContext {
  const { id } = manifest;
  const own: Own = {
    manifest,
    kernel,
    inside,
    keep(register) {
      // One that was given up may still be on its way: nobody would ever undo what it registers now.
      if (lifetime.signal.aborted)
        throw new RclawError("ABORTED", `plugin "${id}" registers something after it was stopped`);
      const registered = register();
      return lifetime.defer(() => registered[Symbol.dispose]());
    },
  };
  const log = kernel.log.child?.({ plugin: id }) ?? kernel.log;
  return {
    id,
    version,
    config,
    log: onFlood ? boundedLog({ log, onFlood }) : log,
    signal: lifetime.signal,
    tools: { ...registrar(own, "tools", kernel.registries.tools, ({ name }) => name), ...toolVerbs(own) },
    channels: {
      ...registrar(own, "channels", kernel.registries.channels, (channel) => channel.id),
      deliver: gated(own, "channels", kernel.channels.deliver),
      typing: gated(own, "channels", kernel.channels.typing),
    },
    providers: {
      ...registrar(own, "providers", kernel.registries.providers, (provider) => provider.id),
      ...providerVerbs(own),
    },
    methods: {
      register: (method) => {
        checkContribution(id, "methods", method);
        declared(manifest, "methods", method.name);
        return own.keep(() => kernel.provideMethod(id, inside(method)));
      },
      call: gated(own, "methods", (...call: Parameters<PluginContext["methods"]["call"]>) =>
        kernel.callMethod(id, lifetime.signal, ...call),
      ),
    },
    routes: registrar(own, "routes", kernel.registries.routes, ({ route }) => route),
    commands: registrar(own, "commands", kernel.registries.commands, ({ name }) => name),
    hooks: hookVerbs(own),
    sessions: sessionVerbs(own),
    runs: runVerbs(own),
    gateway: {
      broadcast: (event, payload, options) => {
        require(manifest, "events", event);
        kernel.gateway.broadcast(event, payload, options);
      },
      send: (connId, event, payload) => {
        require(manifest, "events", event);
        return kernel.gateway.send(connId, event, payload);
      },
      clients: () => (requireClients(manifest), kernel.gateway.clients()),
      onEvent: (listener) => {
        requireClients(manifest);
        return own.keep(() => kernel.gateway.onEvent(inside(listener)));
      },
      isServing: () => kernel.gateway.isServing(),
    },
    ...kernel.networkFor(manifest, config, lifetime.signal),
    secrets: {
      get: gated(own, "secrets", kernel.secrets.get),
      sign: gated(own, "secrets", kernel.secrets.sign),
      verify: gated(own, "secrets", kernel.secrets.verify),
      resolve: async (value) => {
        if (value.startsWith("secret:")) require(manifest, "secrets", value.slice("secret:".length));
        return kernel.secrets.resolve(value);
      },
    },
    env: (name) => {
      require(manifest, "env", name);
      return kernel.env(name);
    },
    storage: kernel.storageFor(id),
    defer: (fn) => lifetime.defer(inside(fn)),
  };
}

interface Own extends Required<Pick<ContextOptions, "manifest" | "kernel" | "inside">> {
  /** Registers, and undoes it with the plugin. */
  keep(register: () => Disposable): Disposable;
}

function declared(manifest: Manifest, kind: Kind, name: string): void {
  if (contributed(manifest, kind).includes(name)) return;
  throw new RclawError(
    "PERMISSION_DENIED",
    `plugin "${manifest.id}" registers ${kind.replace(/s$/, "")} "${name}", which its manifest does not declare; it needs contributes: { ${kind}: [${JSON.stringify(name)}] }`,
  );
}

function registrar<T extends object>(
  { manifest, inside, keep }: Own,
  kind: Kind,
  registry: Registry<T>,
  nameOf: (item: T) => string,
) {
  return {
    register(item: T): Disposable {
      checkContribution(manifest.id, kind, item);
      const name = nameOf(item);
      declared(manifest, kind, name);
      return keep(() => registry.register(manifest.id, name, inside(item)));
    },
  };
}

/** The verb, for the names that the manifest's list permits. */
function gated<Rest extends readonly unknown[], Result>(
  { manifest }: Own,
  kind: Parameters<typeof require>[1],
  verb: (name: string, ...rest: Rest) => Promise<Result>,
) {
  return async (name: string, ...rest: Rest): Promise<Result> => {
    require(manifest, kind, name);
    return verb(name, ...rest);
  };
}

function toolVerbs(own: Own): KernelPorts["tools"] {
  const { kernel, manifest } = own;
  return {
    async list(place) {
      const all = await kernel.tools.list(place);
      const may: readonly string[] = manifest.permissions?.tools ?? [];
      return may.includes("*") ? all : all.filter(({ name }) => may.includes(name));
    },
    call: gated(own, "tools", kernel.tools.call),
  };
}

function providerVerbs(own: Own): KernelPorts["providers"] {
  const { kernel, manifest } = own;
  const may: readonly string[] = manifest.permissions?.providers ?? [];
  return {
    ids: () => kernel.providers.ids().filter((id) => may.includes("*") || may.includes(id)),
    ready: gated(own, "providers", kernel.providers.ready),
    models: gated(own, "providers", kernel.providers.models),
    stream(id, request, signal) {
      require(manifest, "providers", id);
      return kernel.providers.stream(id, request, signal);
    },
  };
}

function hookVerbs({ manifest, kernel, inside, keep }: Own): PluginContext["hooks"] {
  return {
    on<Name extends HookName>(
      name: Name,
      handler: HookHandler<Name>,
      options?: { priority?: number; timeoutMs?: number },
    ) {
      const declaration = hooksOf(manifest).find((hook) => hook.name === name);
      if (!declaration) {
        throw new RclawError(
          "PERMISSION_DENIED",
          `plugin "${manifest.id}" listens to hook ${name}, which its manifest does not declare; it needs contributes: { hooks: ["${name}"] }`,
        );
      }
      return keep(() =>
        kernel.hooks.on({ ...declaration, name, plugin: manifest.id }, inside(handler), options),
      );
    },
    async run(name, event, context) {
      requireSessions(manifest, "write");
      // The bus's result is the same type; the SDK words it without the kernel's name for it.
      return kernel.hooks.run(name, event, context) as never;
    },
  };
}

function sessionVerbs({ manifest, kernel: { sessions } }: Own): PluginContext["sessions"] {
  const reading = (): void => requireSessions(manifest, "read");
  const writing = (): void => requireSessions(manifest, "write");
  return {
    canonical: (key) => sessions.canonical(key),
    list: async () => (reading(), sessions.list()),
    find: async (key) => (reading(), sessions.find(key)),
    tail: async (key, limit) => (reading(), sessions.tail(key, limit)),
    open: async (key, signal) => (writing(), sessions.open(key, signal)),
    reset: async (key, reason, signal) => (writing(), sessions.reset(key, reason, signal)),
    workspace: async (agentId) => (reading(), sessions.workspace(agentId)),
  };
}

function runVerbs({ manifest, kernel: { runs } }: Own): PluginContext["runs"] {
  const writing = (): void => requireSessions(manifest, "write");
  return {
    accept: async (run) => (writing(), runs.accept(run)),
    mark: async (run, state, error) => (writing(), runs.mark(run, state, error)),
    unsettled: () => (writing(), runs.unsettled()),
    find: (method, principal, id) => (writing(), runs.find(method, principal, id)),
  };
}
