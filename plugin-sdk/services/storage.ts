import type { PluginContext } from "../plugin.ts";

/** The small durable state of all plugins. */
export interface Storage {
  for(plugin: string): PluginContext["storage"];
  /** Forgets everything of one plugin. */
  remove(plugin: string): Promise<void>;
}

/** Service "storage": what plugins keep. */
export interface StorageService {
  createStorage(stateDir: string): Storage;
}
