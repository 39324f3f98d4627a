import type { Manifest } from "../manifest.ts";
import type { KernelMethod } from "./method.ts";

/** A validated manifest and where it was found. No code of the plugin has run. */
export interface FoundManifest {
  readonly manifest: Manifest;
  /** Absolute path of the entry file. */
  readonly entry: string;
  readonly file: string;
  readonly builtIn: boolean;
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
}

export interface PluginAdminPorts {
  plugins(): ReadonlyMap<string, FoundManifest>;
  /** Where a plugin's configuration stands. */
  configPathOf(manifest: Manifest): string;
  status(id: string): PluginStatus;
  activate(id: string): Promise<void>;
  deactivate(id: string): Promise<void>;
  readonly version: string;
  config(): unknown;
  /** Writes several config values at once, comments kept; undefined removes. Applied live when it resolves. */
  configure(values: readonly { path: string; value: unknown }[]): Promise<void>;
  setSecret(name: string, value: string | undefined): Promise<void>;
  /** Tries a configuration on the real platform without keeping anything. Undefined when there is nothing to try. */
  probe(
    found: FoundManifest,
    config: unknown,
  ): Promise<{ ok: boolean; name?: string; error?: string } | undefined>;
  /** A gateway serves here, so an enabled plugin starts at once. */
  isServing(): boolean;
  forget(id: string): Promise<void>;
  /** A part of the gateway itself: it cannot be switched off, only not needed yet. */
  isService(id: string): PluginStatus | undefined;
}

/** Service "plugin-admin": rclaw's own methods around plugins. */
export interface PluginAdminService {
  pluginMethods(ports: PluginAdminPorts): KernelMethod[];
}
