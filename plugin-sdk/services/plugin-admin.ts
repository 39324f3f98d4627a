import type { Logger } from "../plugin.ts";
import type { Channel } from "../channel.ts";
import type { Manifest } from "../manifest.ts";
import type { LanesService, LaneUse } from "./lanes.ts";
import type { InstalledPlugin, PluginStoreService } from "./plugin-store.ts";
import type { KernelMethod } from "./method.ts";
import type { Secrets } from "./storage.ts";

/** A validated manifest and where it was found. No code of the plugin has run. */
export interface FoundManifest {
  readonly manifest: Manifest;
  /** Absolute path of the entry file; of the script when there is a WASM artefact as well. */
  readonly entry: string;
  /** Absolute path of the WASM artefact. */
  readonly wasm?: string;
  readonly file: string;
  readonly builtIn: boolean;
  /** There for what the lock names: every file is compared with it before it is used. */
  readonly installed?: InstalledPlugin;
}

/** A plugin that nothing else is known of than why it is not there. */
export interface RefusedPlugin {
  readonly id: string;
  readonly file: string;
  readonly reason: string;
}

export type PluginState = "inactive" | "activating" | "active" | "failed" | "disabled";

export interface PluginStatus {
  readonly id: string;
  readonly state: PluginState;
  readonly enabled: boolean;
  readonly error?: string;
  /** Milliseconds; how long the last activation took. */
  readonly timings?: { readonly importMs: number; readonly activateMs: number };
  readonly restarts: number;
  /** It claims what is not its own, so it cannot be started until its manifest is changed. */
  readonly isConflict?: true;
  /** What went wrong while it ran, since it was last started anew; the newest is described. */
  readonly trouble?: {
    readonly count: number;
    /** Such as `hook before_tool_call` or `tool dice`. */
    readonly where: string;
    readonly error: string;
    readonly at: number;
  };
}

export interface PluginAdminPorts {
  plugins(): ReadonlyMap<string, FoundManifest>;
  refused(): readonly RefusedPlugin[];
  /** Looks at the plugins folder again and takes over what changed; resolves with the ids. */
  rescan(): Promise<readonly string[]>;
  /** Where a plugin's configuration stands. */
  configPathOf(manifest: Manifest): string;
  status(id: string): PluginStatus;
  activate(id: string): Promise<void>;
  deactivate(id: string): Promise<void>;
  /** Goes on with a caged plugin's files as they are now, without an interruption; false when that is not possible. */
  swap(id: string): Promise<boolean>;
  readonly version: string;
  config(): unknown;
  /** Writes several config values at once, comments kept; undefined removes. Applied live when it resolves. */
  configure(values: readonly { path: string; value: unknown }[]): Promise<void>;
  setSecret(name: string, value: string | undefined): Promise<void>;
  reloadSecrets: Secrets["reload"];
  /** Brings a plugin to life beside the running one, with a configuration that may never be kept, until `ask` settles. */
  tryOut<T>(
    found: FoundManifest,
    config: unknown,
    ask: (channels: readonly Channel[], signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** A gateway serves here, so an enabled plugin starts at once. */
  isServing(): boolean;
  /** Its storage, and what was remembered about its artefacts. */
  forget(found: FoundManifest): Promise<void>;
  readonly log: Logger;
  /** Where plugins are kept. */
  readonly stateDir: string;
  store(): Promise<PluginStoreService>;
  /** For cages beside those of the gateway. */
  lanes(): Promise<LanesService>;
  /** The guarded fetch for sources of plugins: public hosts, and the one that a person named. */
  fetchSource(host: string): Promise<typeof fetch>;
  /** To the connection of the person who waits; nobody is there when false. */
  tell(connId: string, event: string, payload: unknown): boolean;
  /** What a caged plugin has used; undefined for one that never was in a cage. */
  use(id: string): LaneUse | undefined;
  /** A part of the gateway itself: it cannot be switched off, only not needed yet. */
  isService(id: string): PluginStatus | undefined;
}

/** The methods of the service and the scope each one needs. */
export const adminMethods = {
  "plugins.list": "operator.read",
  "plugins.info": "operator.read",
  "plugins.plan": "operator.read",
  "plugins.add": "operator.admin",
  "plugins.enable": "operator.admin",
  "plugins.disable": "operator.admin",
  "plugins.reload": "operator.admin",
  "plugins.runtime": "operator.admin",
  "plugins.panic": "operator.admin",
  "plugins.top": "operator.read",
  "plugins.stage": "operator.admin",
  "plugins.commit": "operator.admin",
  "plugins.discard": "operator.admin",
  "plugins.rollback": "operator.admin",
  "plugins.verify": "operator.read",
  "plugins.ci": "operator.admin",
  "plugins.search": "operator.read",
  "plugins.pack": "operator.admin",
  "plugins.check": "operator.admin",
  "plugins.link": "operator.admin",
  "plugins.unlink": "operator.admin",
  "plugins.logs": "operator.admin",
  "plugins.remove": "operator.admin",
  "plugins.logout": "operator.admin",
  "secrets.reload": "operator.admin",
} as const;

/** Service "plugin-admin": rclaw's own methods around plugins. */
export interface PluginAdminService {
  pluginMethods(ports: PluginAdminPorts): KernelMethod[];
}
