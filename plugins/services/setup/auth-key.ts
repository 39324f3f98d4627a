import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { gatewayFor } from "./gateway.ts";
import { authKeyParams, authLogoutParams } from "./methods.schema.ts";

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

/** `models.authLogout`: takes the key away that was stored for a provider. There are no profiles besides it. */
export function authLogoutMethod({ methods }: Pick<PluginContext, "methods">): Method {
  return defineMethod({
    name: "models.authLogout",
    since: "2026.5.7",
    params: authLogoutParams,
    async handle({ params, caller, signal }) {
      const provider = params.provider.trim().toLowerCase();
      const own = `${provider}:default`;
      if (params.profileIds?.some((id) => id !== own))
        throw new RclawError("INVALID_REQUEST", "profileIds contain unavailable auth profiles");
      const answer = await methods.call("plugins.logout", { provider }, { as: caller, signal });
      const isCleared = valueAt(answer, "cleared") === true;
      return {
        provider,
        removedProfiles: isCleared ? [own] : [],
        abortedRunIds: [],
        ...(!isCleared && {
          warning: `no key of "${provider}" is stored; one from the environment stays until it is taken away there`,
        }),
      };
    },
  });
}
