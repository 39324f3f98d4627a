import type { Config } from "./config.ts";
import { isRecord } from "./record.ts";
import { valueAt } from "./value-at.ts";

/** The agent there is when the configuration names none. */
export const mainAgent = "main";

/** One agent, with what `agents.list` and, on top of it, `agents.entries` say of it. */
export interface Agent {
  readonly id: string;
  readonly isDefault: boolean;
  readonly entry: Readonly<Record<string, unknown>>;
}

/** An id as it stands in session keys and folder names, from what a person calls an agent. */
export function agentIdOf(name: string): string {
  const id = name
    .trim()
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, "-")
    .replace(/^[-_]+/, "")
    .slice(0, 64)
    .replace(/-+$/, "");
  return id || mainAgent;
}

/** The agents of a configuration in its order, never none. The first that says `default` is it, else the first. */
export function agentsOf(config: unknown): readonly Agent[] {
  const list: unknown = valueAt(config, "agents.list");
  const byId = new Map<string, Readonly<Record<string, unknown>>>();
  for (const entry of Array.isArray(list) ? list.filter(isEntry) : []) {
    const id = agentIdOf(entry.id);
    if (!byId.has(id)) byId.set(id, entry);
  }
  const named: unknown = valueAt(config, "agents.entries");
  for (const [name, entry] of Object.entries(isRecord(named) ? named : {})) {
    const id = agentIdOf(name);
    if (isRecord(entry)) byId.set(id, { ...byId.get(id), ...entry });
  }
  if (byId.size === 0) return [{ id: mainAgent, isDefault: true, entry: {} }];
  const all = [...byId];
  const chosen = (all.find(([, entry]) => entry["default"] === true) ?? all[0])?.[0];
  return all.map(([id, entry]) => ({ id, isDefault: id === chosen, entry }));
}

export function defaultAgentOf(config: unknown): string {
  return agentsOf(config).find(({ isDefault }) => isDefault)?.id ?? mainAgent;
}

/** The model that the operator chose, for lists that show it; who answers is another plugin's business. */
export interface ModelDefaults {
  readonly modelProvider?: string;
  readonly model?: string;
  /** Where the configuration tells it: asking would load the provider. */
  readonly contextTokens?: number;
}

export function modelDefaultsOf(config: unknown): ModelDefaults {
  const chosen = valueAt(config, "agents.defaults.model");
  const ref = typeof chosen === "string" ? chosen : valueAt(chosen, "primary");
  if (typeof ref !== "string") return {};
  const slash = ref.indexOf("/");
  const [provider, model] = [ref.slice(0, Math.max(slash, 0)), ref.slice(slash + 1)];
  const own = valueAt(config, `models.providers.${provider}.models`);
  const described: unknown = Array.isArray(own)
    ? own.find((item) => valueAt(item, "id") === model)
    : undefined;
  const size = valueAt(config, "agents.defaults.contextTokens") ?? valueAt(described, "contextWindow");
  return {
    model,
    ...(provider && { modelProvider: provider }),
    ...(typeof size === "number" && { contextTokens: size }),
  };
}

/** Where conversations go by default, as clients are told when they connect. */
export function sessionDefaultsOf(config: Pick<Config, "session">): object {
  const defaultAgentId = defaultAgentOf(config);
  const mainKey = config.session?.mainKey ?? "main";
  const scope = config.session?.scope ?? "per-sender";
  const mainSessionKey = scope === "global" ? "global" : `agent:${defaultAgentId}:${mainKey}`;
  return { defaultAgentId, mainKey, mainSessionKey, scope };
}

function isEntry(item: unknown): item is Readonly<Record<string, unknown>> & { readonly id: string } {
  return typeof valueAt(item, "id") === "string" && valueAt(item, "id") !== "";
}
