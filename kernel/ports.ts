import {
  type Channel,
  type Command,
  type Files,
  type Logger,
  type PluginContext,
  type Provider,
  RclawError,
  type Route,
  type Tool,
} from "@rclaw/plugin-sdk";
import type { Catalog, Kind } from "./plugins/catalog.ts";
import type { PluginHost } from "./plugins/host.ts";
import { createRegistry, type Registry } from "./plugins/registry.ts";
import type { Policy } from "./policy/pipeline.ts";

export interface Registries {
  readonly tools: Registry<Tool>;
  readonly channels: Registry<Channel>;
  readonly providers: Registry<Provider>;
  readonly routes: Registry<Route>;
  readonly commands: Registry<Command>;
}

export function createRegistries(): Registries {
  return {
    tools: createRegistry("tool"),
    channels: createRegistry("channel"),
    providers: createRegistry("provider"),
    routes: createRegistry("route"),
    commands: createRegistry("command"),
  };
}

export interface LookupOptions {
  catalog(): Catalog;
  readonly host: Pick<PluginHost, "activate" | "report">;
  readonly registries: Registries;
}

/** Finds a live contribution by name, bringing its plugin to life first: the one way anything is looked up. */
export function createLookup({ catalog, host, registries }: LookupOptions) {
  return async <K extends Exclude<Kind, "methods" | "services">>(
    kind: K,
    name: string,
  ): Promise<NonNullable<ReturnType<Registries[K]["get"]>>> => {
    type Item = NonNullable<ReturnType<Registries[K]["get"]>>;
    const live = registries[kind].get(name);
    if (live) return live as Item;
    const owner = catalog().owner(kind, name);
    const what = kind.replace(/s$/, "");
    if (!owner)
      throw new RclawError("NOT_FOUND", `there is no ${what} "${name}"; see: rclaw plugin list`, {
        details: { [what]: name },
      });
    await host.activate(owner);
    const item = registries[kind].get(name);
    if (item) return item as Item;
    const error = new RclawError(
      "PLUGIN_FAILED",
      `plugin "${owner}" declares ${what} "${name}" but registered none; see: rclaw plugin info ${owner}`,
    );
    host.report(owner, `${what} ${name}`, error);
    throw error;
  };
}

export type Lookup = ReturnType<typeof createLookup>;

export interface ToolPortOptions {
  catalog(): Catalog;
  readonly host: Pick<PluginHost, "isActive" | "status">;
  readonly lookup: Lookup;
  readonly policy: Policy;
  readonly log: Logger;
  workspace(agentId: string): Promise<string>;
  filesIn(workspace: string): Files;
}

export function toolPort({
  catalog,
  host,
  lookup,
  policy,
  log,
  workspace,
  filesIn,
}: ToolPortOptions): Pick<PluginContext["tools"], "list" | "call"> {
  type Offers = ReturnType<PluginContext["tools"]["list"]>;
  async function offer(
    name: string,
    place: Parameters<PluginContext["tools"]["list"]>[0],
  ): Promise<Awaited<Offers>> {
    const owner = catalog().owner("tools", name);
    if (!owner || policy.refusal(name, owner, place) !== undefined) return [];
    const asleep = host.isActive(owner) ? undefined : host.status(owner);
    if (asleep?.enabled === false) return [];
    const looking = lookup("tools", name);
    if (asleep?.error !== undefined) {
      // Somebody waits for an answer: what failed to start is tried again behind their back.
      looking.catch(() => undefined);
      return [];
    }
    try {
      const { description, params } = await looking;
      return [{ name, description, params }];
    } catch (error) {
      // One broken tool must not cost the person the answer.
      log.warn({ err: error, tool: name, plugin: owner }, "tool is not offered");
      return [];
    }
  }

  return {
    async list(place) {
      const names = catalog().names("tools");
      return (await Promise.all(names.map((name) => offer(name, place)))).flat();
    },
    async call(name, params, { signal, onUpdate, ...place }) {
      const owner = catalog().owner("tools", name);
      if (!owner)
        throw new RclawError("NOT_FOUND", `there is no tool "${name}"`, { details: { tool: name } });
      // A model may ask for what it was not offered.
      policy.admit(name, owner, place);
      const tool = await lookup("tools", name);
      const root = await workspace(place.agentId);
      // The call's own: what the caller keeps, such as a conversation, is not for a tool to change.
      const given = typeof params === "object" ? { ...(params as Record<string, unknown> | null) } : {};
      const call = { tool, plugin: owner, params: given, place: { ...place, workspace: root } };
      return policy.callTool(call, { files: filesIn(root), ...(onUpdate && { onUpdate }) }, signal);
    },
  };
}

export function providerPort(
  catalog: () => Catalog,
  lookup: Lookup,
): Pick<PluginContext["providers"], "ids" | "ready" | "models" | "stream"> {
  return {
    ids: () => catalog().names("providers"),
    ready: async (id, signal) => (await lookup("providers", id)).ready(signal),
    models: async (id, signal) => (await lookup("providers", id)).models(signal),
    async *stream(id, request, signal) {
      yield* (await lookup("providers", id)).stream(request, signal);
    },
  };
}
