import type { ConfigMethodOptions } from "@rclaw/plugin-sdk/services/config";
import { defineMethod, RclawError } from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { configForm } from "./form.ts";
import { lookUp } from "./lookup.ts";
import { lookupParams, noParams } from "./methods.schema.ts";

/** What clients ask about the configuration rather than of it: what there is to set, and where the file stands. */
export function formMethods({ current, plugins, version }: ConfigMethodOptions): KernelMethod[] {
  return [
    {
      ...defineMethod({
        name: "config.schema",
        since: "2026.2.17",
        params: noParams,
        handle: async () => ({
          ...configForm(plugins()),
          version,
          generatedAt: new Date().toISOString(),
        }),
      }),
      scope: "operator.admin",
    },
    {
      ...defineMethod({
        name: "config.schema.lookup",
        since: "2026.5.7",
        params: lookupParams,
        async handle({ params: { path } }) {
          const found = lookUp(configForm(plugins()), path);
          if (!found) throw new RclawError("INVALID_REQUEST", "config schema path not found");
          return found;
        },
      }),
      scope: "operator.read",
    },
    {
      ...defineMethod({
        name: "config.openFile",
        since: "2026.9",
        params: noParams,
        async handle() {
          const { path } = current();
          const error = `rclaw opens no windows on the machine it runs on. The file is ${path}`;
          return { ok: false, path, error };
        },
      }),
      scope: "operator.admin",
    },
  ];
}
