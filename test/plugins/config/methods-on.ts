import type { ConfigMethodOptions, LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import type { Caller, Scope } from "@rclaw/plugin-sdk";
import { expect } from "vitest";
import { setIn } from "../../../plugins/services/config/edit.ts";
import { configMethods } from "../../../plugins/services/config/methods.ts";
import { writeConfig } from "../../../plugins/services/config/write.ts";
import { toProtocolError } from "../../../kernel/errors.ts";
import { addKernelMethods, createMethods } from "../../../kernel/gateway/methods.ts";
import { type ConfigHome, configHome, telegram, token } from "./config-home.ts";

const caller = (scope: Scope, connId = "test"): Caller => ({
  kind: "client",
  principal: "client:test",
  connId,
  role: "operator",
  scopes: [scope],
  caps: [],
  isOwner: true,
});

interface Get {
  raw: string;
  hash: string;
  config: { gateway: { auth: { token: string }; port: number } };
  [key: string]: unknown;
}

/** The methods on a configuration file of its own, as a client of the gateway calls them. */
export async function methodsOn(home: ConfigHome) {
  let current: LoadedConfig = await home.load();
  const methods = createMethods({ activate: () => Promise.resolve() });
  const write = async (raw: string): Promise<LoadedConfig> => (current = await writeConfig({ ...home, raw }));
  const configure: ConfigMethodOptions["configure"] = async (values) => {
    const edit = (text: string, { path, value }: (typeof values)[number]): string =>
      setIn(text, path.split("."), value);
    await write(values.reduce(edit, current.raw ?? "{}\n"));
  };
  const plugins = () => home.plugins;
  const options = { current: () => current, write, configure, plugins, version: "1.2.3" };
  addKernelMethods(methods, configMethods(options));
  const signal = new AbortController().signal;
  const call = (
    name: string,
    params: unknown,
    scope: Scope = "operator.admin",
    connId?: string,
  ): Promise<unknown> => methods.call(name, params, { caller: caller(scope, connId), signal });
  return {
    call,
    get: async () => (await call("config.get", {})) as Get,
    /** The error as a client sees it. */
    refusal: (name: string, params: unknown, scope?: Scope) =>
      call(name, params, scope).then(
        () => expect.fail(`${name} was not refused`),
        (error: unknown) => toProtocolError(error),
      ),
    reload: async () => (current = await home.load()),
  };
}

export const file = `// mine
{
  gateway: { port: 19000, auth: { token: "${token}" } }, // the gateway
  channels: { telegram: { botToken: "1:c4n4ry" } },
  agents: { list: [{ id: "main", name: "Molty" }, { id: "work" }] },
}
`;

export async function configured(text = file) {
  const home = await configHome(text);
  home.plugins.push(telegram);
  return { home, ...(await methodsOn(home)) };
}
