import { valueAt } from "./value-at.ts";

/** The agent there is when the configuration names none. */
export const mainAgent = "main";

/** One agent, with what `agents.list` says of it. */
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
  if (byId.size === 0) return [{ id: mainAgent, isDefault: true, entry: {} }];
  const all = [...byId];
  const chosen = (all.find(([, entry]) => entry["default"] === true) ?? all[0])?.[0];
  return all.map(([id, entry]) => ({ id, isDefault: id === chosen, entry }));
}

export function defaultAgentOf(config: unknown): string {
  return agentsOf(config).find(({ isDefault }) => isDefault)?.id ?? mainAgent;
}

function isEntry(item: unknown): item is Readonly<Record<string, unknown>> & { readonly id: string } {
  return typeof valueAt(item, "id") === "string" && valueAt(item, "id") !== "";
}
