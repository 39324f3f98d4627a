import { type Caller, isRclawError, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { Workspaces } from "@rclaw/plugin-sdk/services/workspaces";
import { type Methods, ownCaller } from "../gateway/methods.ts";
import { type HookBus, isGuardFailure } from "../hooks/bus.ts";
import type { Catalog } from "../plugins/catalog.ts";
import type { KernelPorts } from "../plugins/context.ts";
import type { PluginHost } from "../plugins/host.ts";
import type { Policy } from "../policy/pipeline.ts";
import { type Lookup, providerPort, type Registries, toolPort } from "../ports.ts";
import type { Redactor } from "../redact.ts";
import type { SessionParts } from "./sessions.ts";
import type { Vault } from "./vault.ts";

export interface PluginPortsOptions {
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
  readonly redactor: Redactor;
  readonly methods: Methods;
  readonly hooks: HookBus;
  readonly gateway: KernelPorts["gateway"];
  readonly registries: Registries;
  readonly host: PluginHost;
  readonly lookup: Lookup;
  readonly policy: Policy;
  readonly vault: Vault;
  readonly workspaces: Workspaces;
  readonly networkFor: KernelPorts["networkFor"];
  catalog(): Catalog;
  sessions(): SessionParts;
  /** Something of a plugin broke while it was asked. */
  failed(kind: "tools", name: string, error: unknown): void;
}

const secretName = /KEY|TOKEN|SECRET|PASSWORD/;

/** What plugins are given, before any one's permissions are applied to it. */
export function createPluginPorts(options: PluginPortsOptions): KernelPorts {
  const { log, env, redactor, methods, hooks, gateway, registries, lookup, policy, vault, workspaces } =
    options;
  const reported: Policy = {
    ...policy,
    callTool: (call, ...rest) =>
      policy.callTool(call, ...rest).catch((error: unknown) => {
        if (isBroken(error)) options.failed("tools", call.tool.name, error.cause ?? error);
        throw error;
      }),
  };
  return {
    log,
    hooks,
    registries,
    provideMethod: (plugin, method) => methods.provide(plugin, method),
    tools: toolPort({
      catalog: options.catalog,
      host: options.host,
      lookup,
      policy: reported,
      log,
      workspace: workspaces.of,
      filesIn: workspaces.filesIn,
    }),
    channels: {
      deliver: async (...call) => (await options.sessions().channels()).deliver(...call),
      typing: async (...call) => (await options.sessions().channels()).typing(...call),
    },
    providers: providerPort(options.catalog, lookup),
    callMethod: callPort(methods),
    get sessions() {
      return options.sessions().forPlugins(workspaces.of);
    },
    get runs() {
      return options.sessions().runs;
    },
    gateway,
    secrets: vault.pluginSecrets,
    env(name) {
      const value = env[name] || undefined;
      if (value !== undefined && secretName.test(name)) redactor.add(value);
      return value;
    },
    networkFor: options.networkFor,
    storageFor: vault.storageFor,
  };
}

/** A plugin calls with the scope of the method and no more, or for a caller that was let in and handed to it. */
function callPort(methods: Methods): KernelPorts["callMethod"] {
  return (plugin, signal, method, params, extras = {}) => {
    const scope = methods.entry(method)?.scope;
    const own: Caller = {
      ...ownCaller(`plugin:${plugin}`, scope ? [scope] : []),
      kind: "plugin",
      isOwner: false,
    };
    if (extras.as && !methods.isVouched(extras.as))
      throw new RclawError("PERMISSION_DENIED", `plugin "${plugin}" calls ${method} for a caller it made up`);
    return methods.call(method, params, {
      caller: extras.as ?? own,
      signal: extras.signal ?? signal,
      ...(extras.onAccepted && { accept: extras.onAccepted }),
    });
  };
}

/** A tool that broke or never answered is in trouble; one that says no is not. */
function isBroken(error: unknown): error is RclawError {
  return isRclawError(error) && /TIMEOUT|PLUGIN_FAILED/.test(error.code) && !isGuardFailure(error);
}
