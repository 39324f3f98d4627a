import type { Static } from "typebox";
import type { JsonSchema } from "../tool.ts";
import type { configSchema } from "./config.schema.ts";
import type { KernelMethod } from "./method.ts";

/** The kernel's own keys, defaults filled in, and whatever plugins keep beside them. */
export type Config = Static<typeof configSchema> & Readonly<Record<string, unknown>>;

export interface ConfigIssue {
  /** Dotted, such as "gateway.port"; "" is the whole file. */
  readonly path: string;
  readonly message: string;
}

export interface PluginConfigSchema {
  readonly owner: string;
  /** Where the part stands, such as "channels.telegram". */
  readonly path: string;
  readonly schema: JsonSchema;
}

export type KeyPath = readonly (string | number)[];

export interface ConfigPaths {
  readonly stateDir: string;
  readonly configFile: string;
}

export interface LoadedConfig {
  readonly path: string;
  readonly exists: boolean;
  /** The file as it is; null when it cannot be read. */
  readonly raw: string | null;
  /** SHA-256 of the file in hex: what a writer has to name as `baseHash`. */
  readonly hash: string | null;
  readonly parsed: unknown;
  /** The file with includes and environment filled in. */
  readonly resolved: unknown;
  /** What `config` was made from, references to the environment as written. */
  readonly unresolved: unknown;
  /** What the gateway runs on. */
  readonly config: Config;
  readonly source: "file" | "last-known-good" | "defaults";
  readonly issues: readonly ConfigIssue[];
  readonly warnings: readonly ConfigIssue[];
  /** Every file this came from or would have, for whoever watches them. */
  readonly files: readonly string[];
  /** Places whose value came from the environment. */
  readonly fromEnv: readonly { readonly path: KeyPath; readonly names: readonly string[] }[];
}

export interface LoadOptions {
  readonly paths: ConfigPaths;
  readonly env: NodeJS.ProcessEnv;
  readonly plugins: readonly PluginConfigSchema[];
}

export interface ConfigChange {
  /** The new state: its `config` is what to run on, also when the file is invalid or gone. */
  readonly loaded: LoadedConfig;
  /** Dotted, as deep as the difference goes; a list counts as one value. */
  readonly changedPaths: readonly string[];
  /** Those of them that only take effect when the gateway starts again. */
  readonly restartNeeded: readonly string[];
}

export interface WatchOptions {
  /** What runs now. As a function it may be changed by others meanwhile, such as a `config.set`. */
  readonly loaded: LoadedConfig | (() => LoadedConfig);
  reload(): Promise<LoadedConfig>;
  onChange(change: ConfigChange): void;
  readonly signal: AbortSignal;
}

export interface ConfigMethodOptions {
  current(): LoadedConfig;
  /** Checks, stores and loads a text; INVALID_REQUEST "invalid config" when it is not valid. */
  write(raw: string): Promise<LoadedConfig>;
  /** Sets or removes values by dotted path, keeping comments. */
  configure(values: readonly { readonly path: string; readonly value?: unknown }[]): Promise<void>;
  plugins(): readonly PluginConfigSchema[];
  /** Of the program, for clients that keep the schema. */
  readonly version: string;
}

export const configMethodScopes = {
  "config.get": "operator.read",
  "config.set": "operator.admin",
  "config.apply": "operator.admin",
  "config.patch": "operator.admin",
  "config.schema": "operator.admin",
  "config.schema.lookup": "operator.read",
  "config.openFile": "operator.admin",
  "config.edit": "operator.admin",
} as const;

/** Service "config": the file that people edit, from its text to what the gateway runs on and back. */
export interface ConfigService {
  /** Always comes back with something to run on; `issues` says what is wrong. The first start creates the file. */
  loadConfig(options: LoadOptions): Promise<LoadedConfig>;
  /** Validates, keeps backups, replaces the file as a whole and loads it. */
  writeConfig(options: LoadOptions & { readonly raw: string }): Promise<LoadedConfig>;
  /** Sets a value in a JSON5 text, or removes it with `undefined`; comments elsewhere stay. */
  setIn(text: string, path: KeyPath, value: unknown): string;
  changeBetween(before: LoadedConfig, after: LoadedConfig): ConfigChange | undefined;
  watchConfig(options: WatchOptions): void;
  /** `config.*` of the gateway protocol, and `config.edit`. */
  configMethods(options: ConfigMethodOptions): KernelMethod[];
}
