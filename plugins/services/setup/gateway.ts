import type { Caller, PluginContext } from "@rclaw/plugin-sdk";

/** Something that `plugins.add` takes, as a person is asked for it. */
export interface Question {
  readonly key: string;
  readonly title: string;
  readonly description?: string;
  readonly secret: boolean;
  readonly isSet: boolean;
}

export interface ListedPlugin {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly contributes: { readonly providers?: readonly string[]; readonly channels?: readonly string[] };
}

interface Plan {
  readonly questions: readonly Question[];
  readonly manifest: {
    readonly permissions?: { readonly env?: readonly string[] };
    readonly configSchema?: {
      readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    };
  };
}

/** The gateway's own methods, in the name of the person whose request is being answered. */
export interface GatewayFor {
  plugins(): Promise<readonly ListedPlugin[]>;
  plan(id: string): Promise<Plan>;
  add(id: string, values: Readonly<Record<string, string>>): Promise<void>;
  models(): Promise<readonly { readonly id: string; readonly name?: string; readonly provider: string }[]>;
  configured(): Promise<unknown>;
  configure(path: string, value: unknown): Promise<void>;
}

export function gatewayFor({ methods }: Pick<PluginContext, "methods">, caller: () => Caller): GatewayFor {
  // The answers are this gateway's own, so their shapes are known.
  const call = async <T>(method: string, params: object): Promise<T> =>
    (await methods.call(method, params, { as: caller() })) as T;
  return {
    plugins: async () => (await call<{ plugins: ListedPlugin[] }>("plugins.list", {})).plugins,
    plan: (id) => call<Plan>("plugins.plan", { id }),
    add: async (id, values) => void (await call("plugins.add", { id, values })),
    models: async () =>
      (await call<{ models: { id: string; name?: string; provider: string }[] }>("models.list", {})).models,
    configured: async () => (await call<{ config: unknown }>("config.get", {})).config,
    configure: async (path, value) => void (await call("config.edit", { values: [{ path, value }] })),
  };
}
