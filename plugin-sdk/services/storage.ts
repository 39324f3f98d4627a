import type { PluginContext } from "../plugin.ts";

/** The small durable state of all plugins. */
export interface Storage {
  for(plugin: string): PluginContext["storage"];
  /** Forgets everything of one plugin. */
  remove(plugin: string): Promise<void>;
}

/** Secrets by name in one 0600 file, apart from the configuration that people show each other. */
export interface Secrets {
  get(name: string): Promise<string>;
  /** A config value: `secret:<name>` is looked up, anything else stands for itself. */
  resolve(value: string): Promise<string>;
  /** Durable when it resolves; undefined removes it. */
  set(name: string, value: string | undefined): Promise<void>;
  /** Reads the file again. One that cannot be read rejects, and what was known before goes on counting. */
  reload(): Promise<{
    /** Names of all secrets there are now. */
    readonly names: readonly string[];
    /** Names of those that are new, other than before, or gone. */
    readonly changed: readonly string[];
  }>;
}

/** Service "storage": what plugins keep, and the secrets of all. */
export interface StorageService {
  createStorage(stateDir: string): Storage;
  createSecrets(options: {
    readonly stateDir: string;
    /** Told every secret before anybody can see it. */
    readonly redactor: { add(secret: string): void };
  }): Secrets;
}
