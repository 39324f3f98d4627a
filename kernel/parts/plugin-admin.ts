import type { Plugin } from "@rclaw/plugin-sdk";
import {
  adminMethods,
  type FoundManifest,
  type PluginAdminPorts,
} from "@rclaw/plugin-sdk/services/plugin-admin";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import { Lifetime } from "../lifetime.ts";
import { createPluginContext, type KernelPorts } from "../plugins/context.ts";
import { createRegistries } from "../ports.ts";
import type { ServiceLoader } from "../services.ts";
import type { Settings } from "../settings.ts";

export interface PluginAdminOptions extends Omit<
  PluginAdminPorts,
  "tryOut" | "config" | "configure" | "store" | "lanes" | "tell"
> {
  readonly services: ServiceLoader;
  readonly settings: Settings;
  readonly ports: KernelPorts;
  readonly signal: AbortSignal;
  load(found: FoundManifest): Promise<Plugin>;
}

/** The methods around plugins, and what they need of the kernel. */
export function pluginAdmin({
  services,
  settings,
  ports,
  signal,
  load,
  ...rest
}: PluginAdminOptions): MethodGroup {
  const tryOut: PluginAdminPorts["tryOut"] = async (found, config, ask) => {
    const apart = createRegistries();
    const nowhere = { [Symbol.dispose]: () => undefined };
    const nothing = { provideMethod: () => nowhere, hooks: { ...ports.hooks, on: () => nowhere } };
    const { manifest } = found;
    await using lifetime = new Lifetime();
    const kernel = { ...ports, ...nothing, registries: apart };
    const plugin = await load(found);
    await plugin.activate(createPluginContext({ manifest, version: rest.version, config, lifetime, kernel }));
    const channels = apart.channels.names().flatMap((id) => apart.channels.get(id) ?? []);
    // Awaited here: the lifetime ends with this function, and what it asks with ends with the lifetime.
    return await ask(channels, AbortSignal.any([signal, lifetime.signal]));
  };
  return {
    owner: "kernel plugins",
    scopes: adminMethods,
    load: async () =>
      (await services.get("plugin-admin")).pluginMethods({
        ...rest,
        tryOut,
        config: () => settings.config(),
        configure: (values) => settings.configure(values),
        store: () => services.get("plugin-store"),
        lanes: () => services.get("lanes"),
        tell: ports.gateway.send,
      }),
  };
}
