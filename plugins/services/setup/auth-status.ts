import { defineMethod, type Method, type PluginContext } from "@rclaw/plugin-sdk";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { gatewayFor, type GatewayFor, type ListedPlugin } from "./gateway.ts";
import { authStatusParams } from "./methods.schema.ts";

/** Where a key comes from; the key itself is never looked at here. */
type KeySource = { readonly source: "config" } | { readonly source: "env"; readonly envVar: string };

/** `models.authStatus`: which providers have a key, for the apps that ask people for one. */
export function authStatusMethod(context: Pick<PluginContext, "methods" | "providers" | "signal">): Method {
  const { providers, signal } = context;

  async function rowsOf(plugin: ListedPlugin, gateway: GatewayFor, config: unknown): Promise<object[]> {
    const offers = (plugin.contributes.providers ?? []).filter((id) => providers.ids().includes(id));
    if (offers.length === 0) return [];
    const { manifest } = await gateway.plan(plugin.id);
    const envVar = manifest.permissions?.env?.find((name) => /KEY|TOKEN/.test(name));
    const rows = offers.map(async (id) => {
      const isMentioned = valueAt(config, `models.providers.${id}`) !== undefined;
      const isStored = valueAt(config, `models.providers.${id}.apiKey`) !== undefined;
      // One that knows no key, such as a server on this machine, has no status.
      if (!isStored && envVar === undefined) return [];
      const { ok } = await providers.ready(id, signal).catch(() => ({ ok: false }));
      if (!ok && !isMentioned) return [];
      const key: KeySource | undefined = isStored
        ? { source: "config" }
        : envVar === undefined
          ? undefined
          : { source: "env", envVar };
      return [
        {
          provider: id,
          authProvider: id,
          displayName: plugin.name,
          status: ok ? "static" : "missing",
          profiles: [],
          ...(ok && key && { apiKey: key }),
        },
      ];
    });
    return (await Promise.all(rows)).flat();
  }

  return defineMethod({
    name: "models.authStatus",
    since: "2026.5.7",
    params: authStatusParams,
    async handle({ caller }) {
      const gateway = gatewayFor(context, () => caller);
      const [plugins, config] = await Promise.all([gateway.plugins(), gateway.configured()]);
      const rows = await Promise.all(plugins.map((plugin) => rowsOf(plugin, gateway, config)));
      return { ts: Date.now(), providers: rows.flat() };
    },
  });
}
