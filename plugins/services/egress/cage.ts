import type { PluginContext } from "@rclaw/plugin-sdk";
import type { CagePorts } from "@rclaw/plugin-sdk/services/egress";
import { netGrants, secretBindings } from "@rclaw/plugin-sdk/services/net-grants";
import { createSecretHandles } from "./secrets.ts";

/** The context of a plugin that is not trusted with secrets: it gets handles, and its network knows what they stand for. */
export function cage(
  context: PluginContext,
  { egress, manifest, granted, onBytes }: CagePorts,
): PluginContext {
  const { id, config, signal } = context;
  const secrets = createSecretHandles({
    owner: id,
    bindings: secretBindings(manifest, config),
    // The context's own, so that the manifest's permission is asked first.
    resolve: (name) => context.secrets.get(name),
  });
  const grants = () => netGrants(manifest, config, granted());
  const options = { signal, secrets, ...(onBytes && { onBytes }) };
  let own: Promise<Pick<PluginContext, "fetch" | "webSocket">> | undefined;
  const open = async (): Promise<Pick<PluginContext, "fetch" | "webSocket">> => {
    const guard = await egress();
    return { fetch: guard.fetchFor(grants, id, options), webSocket: guard.webSocketFor(grants, id, options) };
  };
  const network = () => (own ??= open());
  return {
    ...context,
    fetch: async (...call) => (await network()).fetch(...call),
    webSocket: async (...call) => (await network()).webSocket(...call),
    secrets: { ...context.secrets, get: secrets.handleFor, resolve: secrets.resolve },
  };
}
