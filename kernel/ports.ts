import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
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
  readonly host: Pick<PluginHost, "activate" | "isActive">;
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
    throw new RclawError(
      "PLUGIN_FAILED",
      `plugin "${owner}" declares ${what} "${name}" but registered none; see: rclaw plugin info ${owner}`,
    );
  };
}

export type Lookup = ReturnType<typeof createLookup>;

export interface ToolPortOptions {
  catalog(): Catalog;
  readonly lookup: Lookup;
  readonly policy: Policy;
  readonly log: Logger;
  workspace(agentId: string): Promise<string>;
  filesIn(workspace: string): Files;
}

export function toolPort({
  catalog,
  lookup,
  policy,
  log,
  workspace,
  filesIn,
}: ToolPortOptions): Pick<PluginContext["tools"], "list" | "call"> {
  return {
    async list(place) {
      const offered: { name: string; description: string; params: Tool["params"] }[] = [];
      for (const name of catalog().names("tools")) {
        const owner = catalog().owner("tools", name);
        if (!owner || policy.refusal(name, owner, place) !== undefined) continue;
        try {
          const { description, params } = await lookup("tools", name);
          offered.push({ name, description, params });
        } catch (error) {
          // One broken tool must not cost the person the answer.
          log.warn({ err: error, tool: name, plugin: owner }, "tool is not offered");
        }
      }
      return offered;
    },
    async call(name, params, { signal, onUpdate, ...place }) {
      const owner = catalog().owner("tools", name);
      // A model may ask for what it was not offered: the answer must not depend on what is installed.
      const refusal = owner === undefined ? undefined : policy.refusal(name, owner, place);
      if (!owner)
        throw new RclawError("NOT_FOUND", `there is no tool "${name}"`, { details: { tool: name } });
      if (refusal) throw new RclawError("POLICY_DENIED", refusal, { details: { tool: name } });
      const tool = await lookup("tools", name);
      const root = await workspace(place.agentId);
      const given = typeof params === "object" && params !== null ? (params as Record<string, unknown>) : {};
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

/** Makes each agent's workspace once; afterwards the answer costs nothing. */
export function createWorkspaces(
  folderOf: (agentId: string) => string,
): (agentId: string) => Promise<string> {
  const made = new Map<string, Promise<string>>();
  return (agentId) => {
    const folder = folderOf(agentId);
    let ready = made.get(folder);
    if (!ready) {
      ready = makeWorkspace(folder);
      made.set(folder, ready);
      ready.catch(() => made.delete(folder));
    }
    return ready;
  };
}

const welcome = `# Workspace

This folder belongs to your assistant: its tools read and write here and nowhere else.
Put files here that it should work with. Files with these names are read before every
answer, when they are there:

- AGENTS.md: rules it should follow
- SOUL.md: how it should sound
- USER.md: what it should know about you
- IDENTITY.md: its own name
- TOOLS.md: notes about this machine
`;

/** A new workspace says what it is; one that exists is left alone. */
async function makeWorkspace(folder: string): Promise<string> {
  const created = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (created !== undefined) await writeFile(path.join(folder, "README.md"), welcome, { mode: 0o600 });
  return folder;
}
