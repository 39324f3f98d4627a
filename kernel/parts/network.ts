import type { Logger, Manifest } from "@rclaw/plugin-sdk";
import { type Egress, egressMethodScopes, type SecretHandles } from "@rclaw/plugin-sdk/services/egress";
import { netGrants, secretBindings } from "@rclaw/plugin-sdk/services/net-grants";
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
}

/** What plugins reach of the network; the service behind it is loaded by the first request. */
export function createNetwork({ services, settings, log, life }: NetworkOptions) {
  let egress: Promise<Egress> | undefined;
  const open = (): Promise<Egress> => {
    egress ??= services
      .get("egress")
      .then(({ createEgress }) =>
        createEgress({ log, allowCidrs: settings().config().egress?.allowCidrs ?? [] }),
      );
    return egress;
  };
  life.defer(async () => (await egress)?.close());

  return {
    /** Text that stands for secrets, for one life of one caged plugin. */
    async handles(manifest: Manifest, resolve: (name: string) => Promise<string>): Promise<SecretHandles> {
      const bindings = secretBindings(manifest, settings().pluginConfig(manifest));
      const { createSecretHandles } = await services.get("egress");
      return createSecretHandles({ owner: manifest.id, bindings, resolve });
    },
    portFor(
      handles: Promise<SecretHandles> | undefined,
      ...[manifest, config, signal]: Parameters<KernelPorts["networkFor"]>
    ): ReturnType<KernelPorts["networkFor"]> {
      const { id } = manifest;
      const granted = () => valueAt(settings().config(), `plugins.entries.${id}.grants.net`);
      const grants = () => netGrants(manifest, config, granted());
      const options = async () => ({ signal, ...(handles && { secrets: await handles }) });
      const openFetch = async () => (await open()).fetchFor(grants, id, await options());
      let own: Promise<typeof fetch> | undefined;
      return {
        fetch: async (...call) => (await (own ??= openFetch()))(...call),
        webSocket: async (...call) => (await open()).webSocketFor(grants, id, await options())(...call),
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
