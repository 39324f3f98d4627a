import type { Config, ConfigPaths } from "@rclaw/plugin-sdk/services/config";
import { logFileOf } from "@rclaw/plugin-sdk/services/log-file";
import type { LockHolder } from "@rclaw/plugin-sdk/services/sessions";
import type { Command, Logger, PluginContext } from "@rclaw/plugin-sdk";
import type { ServiceName, Services } from "@rclaw/plugin-sdk/services/service";
import type { CallExtras } from "@rclaw/plugin-sdk/services/terminal";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { operationMethods } from "@rclaw/plugin-sdk/services/operations";
import { declareGroups, type MethodGroup } from "./gateway/lazy-methods.ts";
import { addKernelMethods, createMethods, ownCaller, ownerScopes } from "./gateway/methods.ts";
import { createHookBus } from "./hooks/bus.ts";
import { Lifetime } from "./lifetime.ts";
import { createLog } from "./log.ts";
import { createPluginParts } from "./parts/plugins.ts";
import { createServing, type Started } from "./parts/serving.ts";
import { createSessionParts } from "./parts/sessions.ts";
import { createRedactor } from "./redact.ts";

export interface KernelOptions {
  readonly paths: ConfigPaths;
  readonly env: NodeJS.ProcessEnv;
  /** Where the built files and the manifests stand. */
  readonly root: string;
  readonly version: string;
  /** Without it `logging.level` of the configuration, as it is at the time. */
  readonly level?: string;
  /** Takes whole log lines. */
  write(line: string): void;
  /** Where they go by the configuration; undefined means no file. */
  logTo?(file: string | undefined): void;
}

export interface Kernel {
  readonly log: Logger;
  readonly stateDir: string;
  readonly configFile: string;
  /** Serves the gateway protocol until `stop`. */
  start(options: { port?: number }): Promise<Started>;
  /** Running answers get up to 10 s, then everything ends and nothing is left open. */
  stop(reason: string): Promise<void>;
  /** Calls a method as the person at the command line. */
  call(method: string, params: unknown, extras?: CallExtras): Promise<unknown>;
  command(name: string): Promise<Command>;
  service<Name extends ServiceName>(name: Name): Promise<Services[Name]>;
  onEvent(listener: (event: string, payload: unknown) => void): Disposable;
  /** The gateway that runs on this state folder, be it this one or another process. */
  running(): Promise<LockHolder | undefined>;
  credentials(): { token?: string; password?: string };
  gatewayConfig(): Config["gateway"];
  resolveSecret(value: string): Promise<string>;
  pageUrl(url: string): string;
  warnings(): readonly string[];
  /** Takes down the plugin an error came from; false when it came from nowhere we know. */
  blame(error: unknown): boolean;
}

const commandConn = "command";

/** Puts the parts together in the order they need each other. Nothing of a plugin runs here. */
export async function createKernel(options: KernelOptions): Promise<Kernel> {
  const { paths, env, root, version } = options;
  const redactor = createRedactor();
  const log = createLog({ level: options.level ?? "info", redactor, write: options.write });
  const life = new Lifetime();
  const listeners = new Set<(event: string, payload: unknown) => void>();

  const methods = createMethods({
    activate: (owner) => activateGroup(owner) ?? plugins.host.activate(owner),
  });
  const hooks = createHookBus({
    log,
    activate: (plugin) => plugins.host.activate(plugin),
    onFailure: (plugin, error, hook) => plugins.host.report(plugin, `hook ${hook}`, error, { counts: true }),
  });

  const emit = (event: string, payload: unknown): void => {
    for (const listener of listeners) listener(event, payload);
  };
  function onEvent(listener: (event: string, payload: unknown) => void): Disposable {
    listeners.add(listener);
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }
  const gateway: PluginContext["gateway"] = {
    broadcast(event, payload, { toNodes = false, ...how } = {}) {
      emit(event, payload);
      // What plugins tell is of conversations: for those who may read them.
      serving.gateway()?.broadcast(event, payload, { ...how, ...(!toNodes && { scope: "operator.read" }) });
    },
    send(connId, event, payload) {
      if (connId !== commandConn) return serving.gateway()?.send(connId, event, payload) ?? false;
      emit(event, payload);
      return true;
    },
    clients: () => serving.gateway()?.clients() ?? [],
    onEvent,
    isServing: () => serving.gateway() !== undefined,
  };

  const plugins = await createPluginParts({
    paths,
    env,
    root,
    version,
    log,
    redactor,
    methods,
    hooks,
    gateway,
    life,
    sessions: () => sessions,
    isServing: gateway.isServing,
  });
  const { settings } = plugins;
  const logFile = (): string | undefined => logFileOf(settings.config(), paths.stateDir);
  async function adjustLog(): Promise<void> {
    log.setLevel(options.level ?? settings.config().logging.level);
    options.logTo?.(logFile());
  }
  settings.onChange(adjustLog);
  await adjustLog();
  const sessions = createSessionParts({
    services: plugins.services,
    paths,
    settings,
    methods,
    hooks,
    log,
    lookup: () => plugins.lookup,
    redactor,
    isActive: (id) => plugins.host.isActive(id),
    emit,
    owner: () => serving.describe(),
  });
  const service = await plugins.services.get("health");
  const serving = createServing({
    service,
    paths,
    version,
    log,
    env,
    settings,
    plugins,
    sessions,
    methods,
    hooks,
    life,
    redactor,
    emit,
  });

  const operations: MethodGroup = {
    owner: "kernel operations",
    scopes: operationMethods,
    load: async () =>
      (await plugins.services.get("operations")).methods({ ...paths, root, version, redactor, logFile }),
  };
  const reference: KernelMethod = {
    name: "methods.list",
    since: "rclaw",
    scope: "operator.read",
    params: { type: "object", additionalProperties: false },
    handle: async () => ({ methods: await methods.describe() }),
  };
  addKernelMethods(methods, [...serving.methods(), reference]);
  const groups = [...plugins.groups, ...sessions.groups, ...serving.groups, operations];
  const activateGroup = declareGroups(methods, groups);
  plugins.declareAll();

  function credentials(): { token?: string; password?: string } {
    const { auth } = settings.config().gateway ?? {};
    const token = env["RUSTY_CLAW_GATEWAY_TOKEN"] || auth?.token;
    return { ...(token && { token }), ...(auth?.password && { password: auth.password }) };
  }

  async function call(
    method: string,
    params: unknown,
    { signal, onAccepted }: CallExtras = {},
  ): Promise<unknown> {
    const person = { ...ownCaller("command", ownerScopes), connId: commandConn, caps: ["tool-events"] };
    const caller = methods.vouch(person);
    return methods.call(method, params, {
      caller,
      signal: signal ?? life.signal,
      accept: (payload) => onAccepted?.(payload),
    });
  }

  return {
    log,
    stateDir: paths.stateDir,
    configFile: paths.configFile,
    start: ({ port }) => serving.start(port),
    async stop(reason) {
      await serving.drain(reason);
      await plugins.host.close();
      await serving.close(reason);
      await life[Symbol.asyncDispose]();
    },
    call,
    command: (name) => plugins.lookup("commands", name),
    service: (name) => plugins.services.get(name),
    onEvent,
    running: async () => (await plugins.services.get("sessions")).readLock(paths.stateDir),
    credentials,
    gatewayConfig: () => settings.config().gateway,
    resolveSecret: (value) => plugins.secrets.resolve(value),
    pageUrl(url) {
      const { token } = credentials();
      return `${url.replace(/^ws/, "http")}/${token ? `#token=${encodeURIComponent(token)}` : ""}`;
    },
    warnings: () => [...plugins.warnings(), ...sessions.warnings()],
    blame: (error) => plugins.blame(error),
  };
}
