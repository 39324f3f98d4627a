import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { gatewayFor } from "./gateway.ts";
import { authKeyParams } from "./methods.schema.ts";

/** `models.authSetApiKey`: what setting the provider's plugin up does, with the one answer that a page asked for. */
export function authKeyMethod(context: Pick<PluginContext, "methods">): Method {
  return defineMethod({
    name: "models.authSetApiKey",
    since: "2026.9",
    params: authKeyParams,
    async handle({ params, caller }) {
      const provider = params.provider.trim().toLowerCase();
      const gateway = gatewayFor(context, () => caller);
      const plugins = await gateway.plugins();
      const plugin = plugins.find(({ contributes }) => contributes.providers?.includes(provider));
      if (!plugin) throw new RclawError("INVALID_REQUEST", `there is no provider "${provider}"`);
      const { questions } = await gateway.plan(plugin.id);
      const asked = questions.find(({ secret }) => secret);
      if (!asked) throw new RclawError("INVALID_REQUEST", `provider "${provider}" needs no key`);
      await gateway.add(plugin.id, { [asked.key]: params.apiKey.trim() });
      return { provider, profileId: `${provider}:default` };
    },
  });
}
