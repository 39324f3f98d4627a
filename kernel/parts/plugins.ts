import { existsSync } from "node:fs";
import path from "node:path";
import type { Logger, Manifest, Plugin, PluginContext } from "@rclaw/plugin-sdk";
import type { ConfigPaths } from "@rclaw/plugin-sdk/services/config";
import type { Lanes, Runtime } from "@rclaw/plugin-sdk/services/lanes";
import type { FoundManifest, RefusedPlugin } from "@rclaw/plugin-sdk/services/plugin-admin";
import { runtimeOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { createWorkspaces } from "@rclaw/plugin-sdk/services/workspaces";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import type { Methods } from "../gateway/methods.ts";
import type { HookBus } from "../hooks/bus.ts";
import type { Lifetime } from "../lifetime.ts";
import { type Catalog, configPathOf, contributed, createCatalog } from "../plugins/catalog.ts";
import { createPluginContext } from "../plugins/context.ts";
import { createDeclarations } from "../plugins/declarations.ts";
import { discoverBuiltIns, type Discovered, discoverInstalled, discoverLocked } from "../plugins/discover.ts";
import { createPluginHost } from "../plugins/host.ts";
import { createGates } from "../policy/gates/index.ts";
import { createPolicy } from "../policy/pipeline.ts";
import { createLookup, createRegistries } from "../ports.ts";
import type { Redactor } from "../redact.ts";
import { createCulprits } from "../runtime/culprits.ts";
import { loadInProcess } from "../runtime/in-process.ts";
import { createServices } from "../services.ts";
import { openSettings } from "../settings.ts";
import { createNetwork } from "./network.ts";
import { pluginAdmin } from "./plugin-admin.ts";
import { createPluginChanges } from "./plugin-changes.ts";
import { createPluginPorts } from "./plugin-ports.ts";
import type { SessionParts } from "./sessions.ts";
import { createVault } from "./vault.ts";

export interface PluginPartsOptions {
  readonly paths: ConfigPaths;
  readonly env: NodeJS.ProcessEnv;
  readonly root: string;
  readonly version: string;
  readonly log: Logger;
  readonly redactor: Redactor;
  readonly methods: Methods;
  readonly hooks: HookBus;
  readonly gateway: PluginContext["gateway"];
  readonly life: Lifetime;
  sessions(): SessionParts;
  isServing(): boolean;
}

/** Names no plugin may take: answered by the gateway itself before any plugin is asked. */
const reservedRoutes = ["/healthz", "/readyz", "/health", "/ready", "/metrics"].map((path) => `GET ${path}`);

export type PluginParts = Awaited<ReturnType<typeof createPluginParts>>;

/** Manifests, catalog, host, policy, and what a plugin is given: everything the kernel knows of plugins. */
export async function createPluginParts(options: PluginPartsOptions) {
  const { paths, env, root, version, log, redactor, methods, hooks, life } = options;
  const builtIns = await discoverBuiltIns(root);
  const services = createServices(builtIns.found);
  const pluginsDir = path.join(paths.stateDir, "plugins");
  async function discover(): Promise<Discovered> {
    const results = [await discoverInstalled(pluginsDir)];
    // Without a lock nothing was installed, and what reads it need not be loaded.
    if (existsSync(path.join(pluginsDir, "rclaw.lock")))
      results.push(
        await discoverLocked(await (await services.get("plugin-store")).installed(paths.stateDir)),
      );
    const refused = results.flatMap((result) => result.refused);
    for (const fields of refused) log.warn(fields, "plugin manifest refused");
    return { found: results.flatMap((result) => result.found), refused };
  }
  /** Throws when a file is not as it was installed. */
  async function verify({ installed: item }: FoundManifest, file: string): Promise<void> {
    if (!item) return;
    const store = await services.get("plugin-store");
    await store.verifyEntry(item.folder, item.files, path.relative(item.folder, file));
  }
  let installed = await discover();
  /** The kernel's own; until all of them are known, no plugin that claims one can be found out. */
  let reservedMethods: readonly string[] = [];
  const draw = (): Catalog =>
    createCatalog([...builtIns.found, ...installed.found], {
      methods: reservedMethods,
      routes: reservedRoutes,
    });
  let catalog = draw();
  const culprits = createCulprits(() => catalog.plugins.values(), root);
  const service = await services.get("config");
  const settings = await openSettings({ service, paths, env, redactor, log, catalog: () => catalog });
  const registries = createRegistries();

  const isBuiltIn = (id: string): boolean => catalog.plugins.get(id)?.builtIn ?? false;
  const isEnabled = (manifest: Manifest): boolean => settings.isEnabled(manifest, isBuiltIn(manifest.id));
  const isConfigured = (manifest: Manifest): boolean =>
    (manifest.contributes.channels ?? []).some((id) => {
      const own = valueAt(settings.config(), `channels.${id}`);
      // A token in the environment is configuration enough.
      if (own === undefined) return (manifest.permissions?.env ?? []).some((name) => env[name]);
      return typeof own === "object" && own !== null && valueAt(own, "enabled") !== false;
    });
  /** Runs without being asked for: a channel with an account, or a plugin that says so. */
  const runsByItself = (manifest: Manifest): boolean =>
    options.isServing() &&
    isEnabled(manifest) &&
    (isConfigured(manifest) || (manifest.activation ?? []).includes("startup"));

  let lanes: Lanes | undefined;
  const openLanes = async (): Promise<Lanes> => {
    const { createLanes } = await services.get("lanes");
    return (lanes ??= createLanes({
      log,
      stateDir: paths.stateDir,
      limits: (id) =>
        (valueAt(settings.config(), `plugins.entries.${id}.limits`) as object | undefined) ?? {},
      report: (id, where, error) => host.report(id, where, error),
      verify,
    }));
  };
  life.defer(() => lanes?.close());
  const runtime = (found: FoundManifest): Runtime =>
    runtimeOf(found, valueAt(settings.config(), `plugins.entries.${found.manifest.id}.runtime`));
  async function loadRuntime(found: FoundManifest): Promise<Plugin> {
    const own = runtime(found);
    if (own !== "in-process") return network.cage(await (await openLanes()).load(found, own), found.manifest);
    await verify(found, found.entry);
    return loadInProcess(found.manifest.id, found.entry);
  }
  const load = async (found: FoundManifest): Promise<Plugin> =>
    culprits.inside(found, await culprits.run(found, () => loadRuntime(found)));
  const host = createPluginHost({
    catalog: () => catalog,
    log,
    isEnabled,
    load,
    context: (found, lifetime) =>
      createPluginContext({
        manifest: found.manifest,
        version: found.manifest.version ?? version,
        config: settings.pluginConfig(found.manifest),
        lifetime,
        kernel: ports,
        inside: (item) => culprits.inside(found, item),
        onFlood: found.builtIn ? undefined : (message) => host.report(found.manifest.id, "log", message),
      }),
    async onActive({ manifest }, lifetime) {
      if (!options.isServing()) return;
      for (const id of contributed(manifest, "channels")) {
        const channel = registries.channels.get(id);
        if (channel && isConfigured(manifest)) await options.sessions().startChannel(channel, lifetime);
      }
    },
    wantsToRun: runsByItself,
  });
  const lookup = createLookup({ catalog: () => catalog, host, registries });

  const gates = createGates({ settings, services, hooks, stateDir: paths.stateDir, isBuiltIn });
  const policy = createPolicy({ hooks, log, gates });

  const workspaces = createWorkspaces({
    config: () => settings.config(),
    env,
    stateDir: paths.stateDir,
    service: () => services.get("files"),
  });

  const vault = createVault({ services, stateDir: paths.stateDir, redactor });
  const network = createNetwork({ services, settings: () => settings, log, life, gateway: options.gateway });

  function failed(kind: "tools" | "routes", name: string, error: unknown): void {
    const owner = catalog.owner(kind, name);
    if (owner !== undefined) host.report(owner, `${kind.replace(/s$/, "")} ${name}`, error);
  }

  const ports = createPluginPorts({
    log,
    env,
    redactor,
    methods,
    hooks,
    gateway: options.gateway,
    registries,
    host,
    lookup,
    policy,
    vault,
    workspaces,
    networkFor: network.portFor,
    catalog: () => catalog,
    sessions: () => options.sessions(),
    failed,
  });

  const declarations = createDeclarations({ methods, hooks });
  life.defer(() => declarations.removeAll());

  function declareAll(): void {
    reservedMethods = methods.names();
    catalog = draw();
    for (const [id, item] of catalog.plugins)
      if (!catalog.conflicts.has(id) && isEnabled(item.manifest)) declarations.add(item);
  }

  async function swap(id: string): Promise<boolean> {
    const found = catalog.plugins.get(id);
    return (found && host.isActive(id) && (await lanes?.swap(found, runtime(found)))) ?? false;
  }

  const changes = createPluginChanges({
    settings,
    host,
    declarations,
    log,
    catalog: () => catalog,
    isEnabled,
    runsByItself,
    async discover() {
      installed = await discover();
      catalog = draw();
    },
    swap,
  });
  const refused = (): readonly RefusedPlugin[] => [
    ...builtIns.refused,
    ...installed.refused,
    ...catalog.refused,
  ];

  return {
    settings,
    services,
    host,
    lookup,
    registries,
    secrets: vault.secrets,
    workspaces,
    catalog: () => catalog,
    /** Something of a plugin broke while it was asked. */
    failed,
    declareAll,
    /** What clients are told of enabled plugins when they come in. */
    greeting() {
      const enabled = [...catalog.plugins.values()].filter(({ manifest }) => isEnabled(manifest));
      return {
        events: enabled.flatMap(({ manifest }) => manifest.permissions?.events ?? []),
        capabilities: enabled.flatMap(({ manifest }) => manifest.contributes.capabilities ?? []),
      };
    },
    /** Brings up what runs by itself; one that fails does not hold up the others. */
    async startAll(): Promise<void> {
      const starting = [...catalog.plugins.values()].filter(
        ({ manifest }) => !catalog.conflicts.has(manifest.id) && runsByItself(manifest),
      );
      await Promise.allSettled(starting.map(({ manifest }) => host.activate(manifest.id)));
    },
    /** Brings up what its manifest says waits for something. */
    async startFor(what: "node"): Promise<void> {
      const waiting = [...catalog.plugins.values()].filter(
        ({ manifest }) => manifest.activation?.includes(what) && isEnabled(manifest),
      );
      await Promise.allSettled(waiting.map(({ manifest }) => host.activate(manifest.id)));
    },
    groups: [
      pluginAdmin({
        services,
        settings,
        ports,
        signal: life.signal,
        load,
        plugins: () => catalog.plugins,
        refused,
        rescan: changes.rescan,
        configPathOf,
        status: host.status,
        activate: host.activate,
        deactivate: host.deactivate,
        swap,
        version,
        setSecret: (name, value) => vault.secrets.set(name, value),
        reloadSecrets: () => vault.secrets.reload(),
        isServing: options.isServing,
        forget: async (found) => {
          await vault.forget(found.manifest.id);
          await (await openLanes()).forget(found);
        },
        use: (id) => lanes?.use(id),
        log,
        stateDir: paths.stateDir,
        fetchSource: network.fetchSource,
        isService(id) {
          if (!isBuiltIn(id) || !catalog.plugins.get(id)?.manifest.contributes.services) return undefined;
          return { id, enabled: true, state: services.isLoaded(id) ? "active" : "inactive", restarts: 0 };
        },
      }),
      network.group,
    ] satisfies MethodGroup[],
    warnings(): string[] {
      const conflicts = [...catalog.conflicts].map(([id, reason]) => `plugin "${id}" is off: ${reason}`);
      const { source, issues, warnings } = settings.current();
      const config = [...issues, ...warnings].map(({ path: at, message }) => `${at}: ${message}`);
      const fellBack =
        source === "last-known-good"
          ? ["the configuration is invalid; running on the last one that was valid"]
          : [];
      return [...fellBack, ...config, ...refused().map(({ reason }) => reason), ...conflicts];
    },
    blame(error: unknown): boolean {
      const id = culprits.of(error);
      if (id === undefined) return false;
      void host.blame(id, error);
      return true;
    },
  };
}
