import type { PluginContext } from "@rclaw/plugin-sdk";
import type { Secrets, Storage } from "@rclaw/plugin-sdk/services/storage";
import type { Redactor } from "../redact.ts";
import type { ServiceLoader } from "../services.ts";

export interface VaultOptions {
  readonly services: ServiceLoader;
  readonly stateDir: string;
  readonly redactor: Redactor;
}

const signatures = () => import("@rclaw/plugin-sdk/services/signatures");

/** Secrets, and what plugins keep; the service behind them is loaded by the first who asks. */
export function createVault({ services, stateDir, redactor }: VaultOptions) {
  let kept: { readonly storage: Storage; readonly secrets: Secrets } | undefined;
  const opened = async (): Promise<NonNullable<typeof kept>> => {
    const { createSecrets, createStorage } = await services.get("storage");
    return (kept ??= { storage: createStorage(stateDir), secrets: createSecrets({ stateDir, redactor }) });
  };
  const secrets: Secrets = {
    get: async (name) => (await opened()).secrets.get(name),
    resolve: async (value) => (value.startsWith("secret:") ? (await opened()).secrets.resolve(value) : value),
    set: async (...call) => (await opened()).secrets.set(...call),
    reload: async () => (await opened()).secrets.reload(),
  };
  const pluginSecrets: PluginContext["secrets"] = {
    ...secrets,
    sign: async (name, request) => (await signatures()).sign(name, await secrets.get(name), request),
    verify: async (name, request) => (await signatures()).verify(name, await secrets.get(name), request),
  };
  return {
    secrets,
    pluginSecrets,
    storageFor: (plugin: string): PluginContext["storage"] => ({
      get: async (key) => (await opened()).storage.for(plugin).get(key),
      set: async (...call) => (await opened()).storage.for(plugin).set(...call),
      where: async () => (await opened()).storage.for(plugin).where(),
    }),
    forget: async (plugin: string): Promise<void> => (await opened()).storage.remove(plugin),
  };
}

export type Vault = ReturnType<typeof createVault>;
