import { RclawError } from "@rclaw/plugin-sdk";
import type { ServiceName, Services } from "@rclaw/plugin-sdk/services/service";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { loadModule } from "./runtime/in-process.ts";

export interface ServiceLoader {
  get<Name extends ServiceName>(name: Name): Promise<Services[Name]>;
  /** Has anybody needed this plugin's service yet? */
  isLoaded(plugin: string): boolean;
}

/**
 * The parts of the gateway that stand outside the kernel, found by manifest and loaded when
 * first needed. Only built-ins are asked: the kernel relies on a service as on itself.
 */
export function createServices(found: readonly FoundManifest[]): ServiceLoader {
  const loading = new Map<ServiceName, Promise<unknown>>();
  const loaded = new Set<string>();

  async function load(name: ServiceName): Promise<unknown> {
    const owner = found.find(
      ({ builtIn, manifest }) => builtIn && manifest.contributes.services?.includes(name),
    );
    if (!owner)
      throw new RclawError(
        "NOT_FOUND",
        `no plugin of this installation offers the service "${name}"; install rclaw again`,
      );
    const { id } = owner.manifest;
    const module = (await loadModule(owner.entry)) as { name?: unknown; service?: unknown } | undefined;
    if (module?.name !== name || typeof module.service !== "object") {
      throw new RclawError(
        "PLUGIN_FAILED",
        `plugin "${id}" does not define the service "${name}" that its manifest declares`,
      );
    }
    loaded.add(id);
    return module.service;
  }

  return {
    get<Name extends ServiceName>(name: Name): Promise<Services[Name]> {
      let promise = loading.get(name);
      if (!promise) loading.set(name, (promise = load(name)));
      // The map erases which service a name belongs to; `load` has checked it.
      return promise as Promise<Services[Name]>;
    },
    isLoaded: (plugin) => loaded.has(plugin),
  };
}
