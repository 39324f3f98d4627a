import type { Logger, Manifest, Plugin, PluginContext } from "@rclaw/plugin-sdk";
import { type Egress, egressMethodScopes } from "@rclaw/plugin-sdk/services/egress";
import { netGrants } from "@rclaw/plugin-sdk/services/net-grants";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import type { MethodGroup } from "../gateway/lazy-methods.ts";
import type { Lifetime } from "../lifetime.ts";
import type { KernelPorts } from "../plugins/context.ts";
import type { ServiceLoader } from "../services.ts";
import type { Settings } from "../settings.ts";

export interface NetworkOptions {
  readonly services: ServiceLoader;
  settings(): Settings;
  readonly log: Logger;
  readonly life: Lifetime;
  readonly gateway: PluginContext["gateway"];
}

/** What plugins reach of the network; the service behind it is loaded by the first request. */
export function createNetwork({ services, settings, log, life, gateway }: NetworkOptions) {
  let egress: Promise<Egress> | undefined;
  const open = (): Promise<Egress> => {
    egress ??= services.get("egress").then(({ createEgress }) =>
      createEgress({
        log,
        allowCidrs: settings().config().egress?.allowCidrs ?? [],
        onDenied: (card) => gateway.broadcast("egress.denied", card),
        onResolved: (answered) => gateway.broadcast("egress.resolved", answered),
      }),
    );
    return egress;
  };
  life.defer(async () => (await egress)?.close());
  const granted = (id: string): unknown => valueAt(settings().config(), `plugins.entries.${id}.grants.net`);

  return {
    /** The same plugin, whose context holds handles instead of secrets. */
    async cage(plugin: Plugin, manifest: Manifest): Promise<Plugin> {
      const service = await services.get("egress");
      const ports = { egress: open, manifest, granted: () => granted(manifest.id) };
      return { activate: (context) => plugin.activate(service.cage(context, ports)) };
    },
    portFor(
      ...[manifest, config, signal]: Parameters<KernelPorts["networkFor"]>
    ): ReturnType<KernelPorts["networkFor"]> {
      const { id } = manifest;
      const grants = () => netGrants(manifest, config, granted(id));
      const openFetch = async () => (await open()).fetchFor(grants, id, { signal });
      let own: Promise<typeof fetch> | undefined;
      return {
        fetch: async (...call) => (await (own ??= openFetch()))(...call),
        webSocket: async (...call) => (await open()).webSocketFor(grants, id, { signal })(...call),
      };
    },
    fetchSource: async (host: string) => (await open()).fetchFor(["*", host], "plugin-store"),
    group: {
      owner: "kernel egress",
      scopes: egressMethodScopes,
      load: async () =>
        (await services.get("egress")).egressMethods({
          egress: open,
          config: () => settings().config(),
          configure: (values) => settings().configure(values),
        }),
    } satisfies MethodGroup,
  };
}
