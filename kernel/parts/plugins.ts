import type { ConfigPaths } from "@rclaw/plugin-sdk/services/config";
import type { Lanes, Runtime } from "@rclaw/plugin-sdk/services/lanes";
import type { Secrets, Storage } from "@rclaw/plugin-sdk/services/storage";
import { runtimeOf } from "@rclaw/plugin-sdk/services/runtime-choice";
import { existsSync } from "node:fs";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  isRclawError,
  type Logger,
  type Manifest,
  type Plugin,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { createWorkspaces } from "@rclaw/plugin-sdk/services/workspaces";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import type { Methods } from "../gateway/methods.ts";
import { type HookBus, isGuardFailure } from "../hooks/bus.ts";
import { Lifetime } from "../lifetime.ts";
import { type Catalog, configPathOf, contributed, createCatalog, hooksOf } from "../plugins/catalog.ts";
import { createPluginContext, type KernelPorts } from "../plugins/context.ts";
import { discoverBuiltIns, type Discovered, discoverInstalled, discoverLocked } from "../plugins/discover.ts";
import {
  adminMethods,
  type FoundManifest,
  type PluginAdminPorts,
  type RefusedPlugin,
} from "@rclaw/plugin-sdk/services/plugin-admin";
import { createPluginHost } from "../plugins/host.ts";
import { agentGate, rulesFor } from "../policy/gates/agent.ts";
import { allowDenyGate } from "../policy/gates/allow-deny.ts";
import { groupGate } from "../policy/gates/group.ts";
import { hooksGate } from "../policy/gates/hooks.ts";
import { profileGate } from "../policy/gates/profile.ts";
import { sandboxGate } from "../policy/gates/sandbox.ts";
import { nameLists } from "../policy/names.ts";
import { createPolicy } from "../policy/pipeline.ts";
import { createLookup, createRegistries, providerPort, toolPort } from "../ports.ts";
import type { Redactor } from "../redact.ts";
import { createCulprits } from "../runtime/culprits.ts";
import { loadInProcess } from "../runtime/in-process.ts";
import { parseKey } from "@rclaw/plugin-sdk/session-key";
import { createServices } from "../services.ts";
import { openSettings } from "../settings.ts";
import { createNetwork } from "./network.ts";
import type { SessionParts } from "./sessions.ts";

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

const signatures = () => import("@rclaw/plugin-sdk/services/signatures");
const secretName = /KEY|TOKEN|SECRET|PASSWORD/;

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

  const listOf = nameLists(isBuiltIn);
  const policy = createPolicy({
    hooks,
    log,
    gates: [
      profileGate((agentId) => rulesFor(settings.config(), agentId), listOf),
      allowDenyGate(() => settings.config().tools ?? {}, listOf),
      agentGate(() => settings.config(), listOf),
      groupGate({
        groupOf(sessionKey) {
          const { kind, channel, rest } = parseKey(sessionKey);
          const groupId = rest.split(":")[2];
          return kind === "group" && channel !== undefined && groupId !== undefined
            ? { channel, groupId: decodeURIComponent(groupId) }
            : undefined;
        },
        groups: (channel) => valueAt(settings.config(), `channels.${channel}.groups`) as never,
        listOf,
      }),
      sandboxGate(async (folder, file) =>
        (await services.get("files")).checkPath(folder, file, { closed: [paths.stateDir] }),
      ),
      hooksGate(hooks),
    ],
  });

  const workspaces = createWorkspaces({
    config: () => settings.config(),
    env,
    stateDir: paths.stateDir,
    service: () => services.get("files"),
  });

  let kept: { readonly storage: Storage; readonly secrets: Secrets } | undefined;
  const opened = async (): Promise<NonNullable<typeof kept>> => {
    const { createSecrets, createStorage } = await services.get("storage");
    return (kept ??= {
      storage: createStorage(paths.stateDir),
      secrets: createSecrets({ stateDir: paths.stateDir, redactor }),
    });
  };
  const secrets: Secrets = {
    get: async (name) => (await opened()).secrets.get(name),
    resolve: async (value) => (value.startsWith("secret:") ? (await opened()).secrets.resolve(value) : value),
    set: async (...call) => (await opened()).secrets.set(...call),
    reload: async () => (await opened()).secrets.reload(),
  };
  const network = createNetwork({ services, settings: () => settings, log, life, gateway: options.gateway });

  function failed(kind: "tools" | "routes", name: string, error: unknown): void {
    const owner = catalog.owner(kind, name);
    if (owner !== undefined) host.report(owner, `${kind.replace(/s$/, "")} ${name}`, error);
  }

  const ports: KernelPorts = {
    log,
    hooks,
    registries,
    provideMethod: (plugin, method) => methods.provide(plugin, method),
    tools: toolPort({
      catalog: () => catalog,
      host,
      lookup,
      policy: {
        ...policy,
        callTool: (call, ...rest) =>
          policy.callTool(call, ...rest).catch((error: unknown) => {
            if (isBroken(error)) failed("tools", call.tool.name, error.cause ?? error);
            throw error;
          }),
      },
      log,
      workspace: workspaces.of,
      filesIn: workspaces.filesIn,
    }),
    channels: {
      deliver: async (...call) => (await options.sessions().channels()).deliver(...call),
      typing: async (...call) => (await options.sessions().channels()).typing(...call),
    },
    providers: providerPort(() => catalog, lookup),
    callMethod: (plugin, signal, method, params, extras = {}) => {
      const scope = methods.entry(method)?.scope;
      const own = {
        kind: "plugin",
        principal: `plugin:${plugin}`,
        role: "operator",
        scopes: scope ? [scope] : [],
        caps: [],
        isOwner: false,
      } as const;
      if (extras.as && !methods.isVouched(extras.as))
        throw new RclawError(
          "PERMISSION_DENIED",
          `plugin "${plugin}" calls ${method} for a caller it made up`,
        );
      return methods.call(method, params, {
        caller: extras.as ?? own,
        signal: extras.signal ?? signal,
        ...(extras.onAccepted && { accept: extras.onAccepted }),
      });
    },
    get sessions() {
      return options.sessions().forPlugins(workspaces.of);
    },
    get runs() {
      return options.sessions().runs;
    },
    gateway: options.gateway,
    secrets: {
      ...secrets,
      sign: async (name, request) => (await signatures()).sign(name, await secrets.get(name), request),
      verify: async (name, request) => (await signatures()).verify(name, await secrets.get(name), request),
    },
    env(name) {
      const value = env[name] || undefined;
      if (value !== undefined && secretName.test(name)) redactor.add(value);
      return value;
    },
    networkFor: network.portFor,
    storageFor: (plugin) => ({
      get: async (key) => (await opened()).storage.for(plugin).get(key),
      set: async (...call) => (await opened()).storage.for(plugin).set(...call),
      where: async () => (await opened()).storage.for(plugin).where(),
    }),
  };

  const tryOut: PluginAdminPorts["tryOut"] = async (found, config, ask) => {
    const apart = createRegistries();
    const nowhere = { [Symbol.dispose]: () => undefined };
    const nothing = { provideMethod: () => nowhere, hooks: { ...hooks, on: () => nowhere } };
    const { manifest } = found;
    await using lifetime = new Lifetime();
    const kernel = { ...ports, ...nothing, registries: apart };
    const plugin = await load(found);
    await plugin.activate(createPluginContext({ manifest, version, config, lifetime, kernel }));
    const channels = apart.channels.names().flatMap((id) => apart.channels.get(id) ?? []);
    // Awaited here: the lifetime ends with this function, and what it asks with ends with the lifetime.
    return await ask(channels, AbortSignal.any([life.signal, lifetime.signal]));
  };

  const declared = new Map<string, Lifetime>();
  /** What an enabled plugin's manifest says, made known without running it. */
  function declare({ manifest }: FoundManifest): void {
    const lifetime = new Lifetime();
    declared.set(manifest.id, lifetime);
    for (const [name, access] of Object.entries(manifest.contributes.methods ?? {})) {
      const { scope, ...role } = typeof access === "string" ? { scope: access } : { scope: null, ...access };
      const entry = methods.declare({ name, scope, owner: manifest.id, ...role });
      lifetime.defer(() => entry[Symbol.dispose]());
    }
    for (const hook of hooksOf(manifest)) {
      const interest = hooks.declare({ ...hook, plugin: manifest.id });
      lifetime.defer(() => interest[Symbol.dispose]());
    }
  }

  function declareAll(): void {
    reservedMethods = methods.names();
    catalog = draw();
    for (const [id, item] of catalog.plugins)
      if (!catalog.conflicts.has(id) && isEnabled(item.manifest)) declare(item);
  }

  async function undeclare(id: string): Promise<void> {
    await declared.get(id)?.[Symbol.asyncDispose]();
    declared.delete(id);
  }

  let applied = settings.config();
  /** A changed configuration restarts exactly the plugins that read what changed. */
  async function apply(): Promise<void> {
    const before = applied;
    applied = settings.config();
    const after = applied;
    for (const [id, item] of catalog.plugins) {
      if (catalog.conflicts.has(id)) continue;
      const enabled = isEnabled(item.manifest);
      if (!enabled) {
        await host.deactivate(id);
        await undeclare(id);
        continue;
      }
      if (!declared.has(id)) declare(item);
      const own = configPathOf(item.manifest);
      const touched = !isDeepStrictEqual(valueAt(before, own), valueAt(after, own));
      const wasUp = host.status(id).state !== "inactive";
      if (touched && wasUp) await host.deactivate(id);
      if (!runsByItself(item.manifest) && !(touched && wasUp)) continue;
      await host
        .activate(id)
        .catch((error: unknown) =>
          log.error({ err: error, plugin: id }, "plugin did not start after a configuration change"),
        );
    }
  }
  settings.onChange(apply);
  life.defer(() => Promise.all([...declared.keys()].map(undeclare)));

  async function swap(id: string): Promise<boolean> {
    const found = catalog.plugins.get(id);
    return (found && host.isActive(id) && (await lanes?.swap(found, runtime(found)))) ?? false;
  }

  /** Looks at the plugins folder again: what is new becomes known, what is gone ends, what changed starts anew. */
  async function rescan(): Promise<readonly string[]> {
    const before = catalog;
    installed = await discover();
    catalog = draw();
    const ids = [...new Set([...before.plugins.keys(), ...catalog.plugins.keys()])].filter(
      (id) =>
        !isDeepStrictEqual(before.plugins.get(id), catalog.plugins.get(id)) ||
        before.conflicts.get(id) !== catalog.conflicts.get(id),
    );
    const broken: unknown[] = [];
    for (const id of ids) {
      // A version that does not come to life leaves the one before where it is, and the others alone.
      if (await swap(id).catch((error: unknown) => broken.push(error))) continue;
      await host.deactivate(id);
      await undeclare(id);
    }
    // Their settings were nobody's until now, or are nobody's any longer.
    await settings.takeOver(await settings.reload(), []);
    if (broken.length > 0) throw broken[0];
    return ids;
  }
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
    secrets,
    workspaces,
    catalog: () => catalog,
    /** Something of a plugin broke while it was asked. */
    failed,
    declareAll,
    /** What enabled plugins may send to clients. */
    events: (): string[] =>
      [...catalog.plugins.values()]
        .filter(({ manifest }) => isEnabled(manifest))
        .flatMap(({ manifest }) => manifest.permissions?.events ?? []),
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
      {
        owner: "kernel plugins",
        scopes: adminMethods,
        load: async () =>
          (await services.get("plugin-admin")).pluginMethods({
            plugins: () => catalog.plugins,
            refused,
            rescan,
            configPathOf,
            status: host.status,
            activate: host.activate,
            deactivate: host.deactivate,
            swap,
            version,
            config: () => settings.config(),
            configure: (values) => settings.configure(values),
            setSecret: (name, value) => secrets.set(name, value),
            reloadSecrets: () => secrets.reload(),
            tryOut,
            isServing: options.isServing,
            forget: async (found) => {
              await (await opened()).storage.remove(found.manifest.id);
              await (await openLanes()).forget(found);
            },
            use: (id) => lanes?.use(id),
            log,
            stateDir: paths.stateDir,
            store: () => services.get("plugin-store"),
            lanes: () => services.get("lanes"),
            fetchSource: network.fetchSource,
            tell: options.gateway.send,
            isService(id) {
              if (!isBuiltIn(id) || !catalog.plugins.get(id)?.manifest.contributes.services) return undefined;
              return { id, enabled: true, state: services.isLoaded(id) ? "active" : "inactive", restarts: 0 };
            },
          }),
      },
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

/** A tool that broke or never answered is in trouble; one that says no is not. */
function isBroken(error: unknown): error is RclawError {
  return isRclawError(error) && /TIMEOUT|PLUGIN_FAILED/.test(error.code) && !isGuardFailure(error);
}
