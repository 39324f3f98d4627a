import { randomBytes } from "node:crypto";
import { configMethodScopes, type ConfigPaths } from "@rclaw/plugin-sdk/services/config";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Caller, type Logger, RclawError } from "@rclaw/plugin-sdk";
import { sessionDefaultsOf } from "@rclaw/plugin-sdk/services/agents";
import { type Devices, deviceMethods } from "@rclaw/plugin-sdk/services/devices";
import type { ChannelStates, HealthService } from "@rclaw/plugin-sdk/services/health";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import type { AuthRules } from "../gateway/auth.ts";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import { type Methods, ownCaller, ownerScopes } from "../gateway/methods.ts";
import { createGateway, type Gateway } from "../gateway/server.ts";
import type { HookBus } from "../hooks/bus.ts";
import type { Lifetime } from "../lifetime.ts";
import type { LockInfo } from "@rclaw/plugin-sdk/services/sessions";
import type { Redactor } from "../redact.ts";
import type { Settings } from "../settings.ts";
import type { PluginParts } from "./plugins.ts";
import type { SessionParts } from "./sessions.ts";

export interface ServingOptions {
  readonly service: HealthService;
  readonly paths: ConfigPaths;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly settings: Settings;
  readonly plugins: PluginParts;
  readonly sessions: SessionParts;
  readonly methods: Methods;
  readonly hooks: HookBus;
  readonly life: Lifetime;
  readonly redactor: Redactor;
  /** Told inside the process only. */
  emit(event: string, payload: unknown): void;
}

export interface Started {
  readonly url: string;
  readonly port: number;
  /** Of the certificate, when the gateway speaks TLS. */
  readonly tlsFingerprint?: string;
}

const drainMs = 10_000;
/** Whoever shows the gateway's secret as a bearer may what it lets a client of the socket do. */
const ownerOverHttp = { ...ownCaller("client:http", ownerScopes), kind: "client" } as const;

/** The kernel's own; for hello-ok, with those that plugins may send. */
const ownEvents = [
  ...["connect.challenge", "presence", "tick", "shutdown", "health"],
  ...["device.pair.requested", "device.pair.resolved"],
];

/** The gateway's own life: listening, telling clients how things are, and stopping without losing anything. */
export function createServing(options: ServingOptions) {
  const { paths, version, env, log, settings, plugins, sessions, methods, hooks, life } = options;
  const startedAt = Date.now();
  let gateway: Gateway | undefined;
  let started: Started | undefined;
  let isStopping = false;
  const publishing = { now: Date.now, audience: () => gateway?.connections() ?? 0, signal: life.signal };
  const versions = () => ({ presence: presence.version(), health: health.version() });

  const presence = options.service.createPresence({
    ...publishing,
    version,
    publish: (list) =>
      gateway?.broadcast("presence", { presence: list }, { dropIfSlow: true, stateVersion: versions() }),
    wake: (event, call) => methods.call("wake", event, call),
  });
  const health = options.service.createHealth({
    ...publishing,
    publish: (snapshot) => gateway?.broadcast("health", snapshot, { stateVersion: versions() }),
    ports: {
      config: () => settings.config(),
      channels: ({ probe, signal }) =>
        methods.call(
          "channels.status",
          { probe },
          { caller: ownCaller("health", ["operator.read"]), signal },
        ) as Promise<ChannelStates>,
      sessions: () => sessions.list(),
      sessionsPath: () => sessions.indexPath,
      notes() {
        const { source, issues } = settings.current();
        const store = sessions.state();
        return {
          ...(source === "file" ? {} : { config: { source, issues } }),
          ...(store.status === "ok" && store.quarantined === 0 ? {} : { store }),
        };
      },
    },
  });

  /** Writes are refused from the moment the gateway begins to stop; reads go on until the sockets close. */
  const guarded: Methods = {
    ...methods,
    call(name, params, call) {
      if (isStopping && methods.entry(name)?.scope === "operator.write") {
        return Promise.reject(
          new RclawError("UNAVAILABLE", "the gateway is stopping; try again when it is back", {
            retryable: true,
          }),
        );
      }
      return methods.call(name, params, call);
    },
  };

  function authRules(): AuthRules {
    const { auth, trustedProxies, controlUi } = settings.config().gateway ?? {};
    const token = env["RUSTY_CLAW_GATEWAY_TOKEN"] || auth?.token;
    return { ...auth, mode: auth?.mode ?? "token", token, trustedProxies, controlUi };
  }

  /** Ends connections that are open now, but not before they got the answer to what they asked. */
  function closeSoon(test: (caller: Caller) => boolean, reason: string): void {
    const now = new Set<Caller>();
    gateway?.closeWhere((caller) => (test(caller) && now.add(caller), false), 1008, "");
    setTimeout(() => gateway?.closeWhere((caller) => now.has(caller), 1008, reason), 250).unref();
  }

  let opening: Promise<Devices> | undefined;
  const devices = (): Promise<Devices> =>
    (opening ??= plugins.services.get("devices").then(({ openDevices }) =>
      openDevices({
        stateDir: paths.stateDir,
        log,
        redactor: options.redactor,
        now: Date.now,
        broadcast: (event, payload) => gateway?.broadcast(event, payload, { dropIfSlow: true }),
        closeDevice: (deviceId, role, reason) =>
          closeSoon(
            (caller) => caller.deviceId === deviceId && (role ?? caller.role) === caller.role,
            reason,
          ),
        isConnected: (deviceId) =>
          gateway?.clients().some(({ caller }) => caller.deviceId === deviceId) ?? false,
      }),
    ));

  const secretNow = (): string => {
    const { mode, token, password } = authRules();
    return JSON.stringify([mode, token, password]);
  };
  let secret = secretNow();
  settings.onChange(async () => {
    if (secretNow() === secret) return;
    secret = secretNow();
    closeSoon(() => true, "authentication changed");
  });

  /** An active plugin's routes, and those that an enabled one would bring. */
  function isAnswered(route: string): boolean {
    const owner = plugins.catalog().owner("routes", route) ?? "";
    const found = plugins.catalog().plugins.get(owner);
    if (!found || !settings.isEnabled(found.manifest, found.builtIn)) return false;
    return !plugins.host.isActive(owner) || plugins.registries.routes.get(route) !== undefined;
  }

  let answer: Promise<(request: IncomingMessage, response: ServerResponse) => void> | undefined;
  /** fastify costs 10 MB and 50 ms: it is loaded by the first request that needs it. */
  function http(request: IncomingMessage, response: ServerResponse): void {
    answer ??= plugins.services.get("http").then(({ createHttp }) =>
      createHttp({
        log,
        caller: methods.vouch({ ...ownerOverHttp }),
        auth: async (incoming) => (await gateway?.bearer(incoming)) ?? { ok: false },
        isOriginAllowed: (incoming) => gateway?.isOriginAllowed(incoming) ?? false,
        addressOf: (incoming) => gateway?.addressOf(incoming),
        counts: async () => ({
          startedAt,
          connections: gateway?.connections() ?? 0,
          runs: sessions.unsettled(),
          sessions: sessions.list().length,
          calls: methods.names().map((name) => [name, methods.entry(name)?.calls ?? 0]),
        }),
        failed: (route, error) => plugins.failed("routes", route, error),
        routes: {
          names: () => plugins.catalog().names("routes").filter(isAnswered),
          get: (name) => plugins.lookup("routes", name),
        },
      }),
    );
    answer.then(
      (handle) => handle(request, response),
      (error: unknown) => {
        answer = undefined;
        log.error({ err: error }, "HTTP is not available");
        response
          .writeHead(503, { "content-type": "text/plain" })
          .end("HTTP is not available; see the gateway's log\n");
      },
    );
  }

  /** A file that was written by hand may lack one, and then nobody could connect. */
  async function ensureToken(): Promise<void> {
    const { mode, token } = authRules();
    if (mode !== "token" || token) return;
    const value = randomBytes(32).toString("base64url");
    await settings
      .configure([{ path: "gateway.auth.token", value }])
      .catch((error: unknown) => log.warn({ err: error }, "gateway.auth.token could not be written"));
  }

  /** What waits for nodes is brought to life by the first of them. */
  async function tell(event: "client.connected" | "client.disconnected", caller: Caller): Promise<void> {
    if (caller.role === "node" && event === "client.connected") await plugins.startFor("node");
    options.emit(event, { connId: caller.connId });
  }

  async function start(port: number | undefined): Promise<Started> {
    const config = settings.config().gateway;
    const { addressesOf, openTls, tailnetUser } = await plugins.services.get("listening");
    const hosts = addressesOf(config);
    await sessions.store();
    await ensureToken();
    const tls = await openTls({ tls: config.tls, hosts, paths, log });
    const greeting = plugins.greeting();
    gateway = createGateway({
      get auth() {
        return authRules();
      },
      methods: guarded,
      version,
      log,
      get allowedOrigins() {
        return settings.config().gateway?.controlUi?.allowedOrigins ?? [];
      },
      events: [...new Set([...ownEvents, ...greeting.events])],
      capabilities: greeting.capabilities,
      http,
      devices,
      tailnetUser: (ip) => tailnetUser(ip, life.signal),
      ...(tls && { createServer: tls.createServer }),
      joined: (client) => presence.connect(client),
      greeted({ caller }) {
        health.refreshSoon();
        void tell("client.connected", caller);
      },
      left(caller) {
        presence.disconnect(caller);
        void tell("client.disconnected", caller);
      },
      isReady: () => started !== undefined && !isStopping,
      snapshot: () => ({
        presence: presence.list(),
        health: health.current(),
        stateVersion: versions(),
        uptimeMs: Date.now() - startedAt,
        configPath: paths.configFile,
        stateDir: paths.stateDir,
        sessionDefaults: sessionDefaultsOf(settings.config()),
        authMode: settings.config().gateway?.auth?.mode ?? "token",
      }),
    });
    const listening = await gateway.listen(port ?? config.port, hosts);
    started = {
      port: listening.port,
      url: `${tls ? "wss" : "ws"}://${hosts[0]?.includes(":") ? `[${hosts[0]}]` : (hosts[0] ?? "127.0.0.1")}:${listening.port}`,
      ...(tls && { tlsFingerprint: tls.fingerprint }),
    };
    options.service.beThrifty(life.signal);
    await sessions.updateLock();
    await watch();
    // A channel that is slow to connect must not keep the gateway from serving.
    void plugins.startAll().then(resume);
    void hooks.run("gateway_start", { port: started.port }, { port: started.port });
    return started;
  }

  /** Runs that a crash left behind are taken up by the plugin whose method accepted them. */
  async function resume(): Promise<void> {
    const store = await sessions.store();
    const owners = new Set(store.runs.unsettled().map(({ method }) => methods.entry(method)?.owner));
    for (const owner of owners) {
      if (owner === undefined || owner === "kernel") continue;
      await plugins.host
        .activate(owner)
        .catch((error: unknown) =>
          log.error({ err: error, plugin: owner }, "unfinished runs could not be taken up"),
        );
    }
  }

  async function watch(): Promise<void> {
    (await plugins.services.get("config")).watchConfig({
      loaded: () => settings.current(),
      reload: () => settings.reload(),
      signal: life.signal,
      onChange({ loaded, changedPaths, restartNeeded }) {
        if (restartNeeded.length > 0)
          log.warn(
            { keys: restartNeeded },
            "restart needed: these settings take effect when the gateway starts again",
          );
        void settings.takeOver(loaded, changedPaths);
        health.refreshSoon();
      },
    });
  }

  return {
    gateway: () => gateway,
    start,
    describe: (): LockInfo => ({ ...started }),
    groups: [
      {
        owner: "kernel config",
        scopes: configMethodScopes,
        load: async () =>
          (await plugins.services.get("config")).configMethods({
            current: () => settings.current(),
            write: (raw) => settings.write(raw),
            configure: (values) => settings.configure(values),
            plugins: () => settings.pluginSchemas(),
            version,
          }),
      },
      { owner: "kernel devices", scopes: deviceMethods, load: async () => (await devices()).methods() },
    ] satisfies MethodGroup[],
    methods: (): KernelMethod[] => [...presence.methods(), ...health.methods()],
    /** No new work; what runs gets its time. */
    async drain(reason: string): Promise<void> {
      if (!started || isStopping) return;
      isStopping = true;
      sessions.stopReceiving();
      await hooks.run("gateway_stop", { reason }, { port: started.port });
      const until = Date.now() + drainMs;
      while (sessions.unsettled() > 0 && Date.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 25));
    },
    async close(_reason: string): Promise<void> {
      await gateway?.close({ event: { reason: "gateway stopping", restartExpectedMs: null } });
      await sessions.close();
      await (await opening)?.close();
      gateway = undefined;
    },
  };
}
