import { agentsOf } from "@rclaw/plugin-sdk/services/agents";
import type { NameList } from "../names.ts";
import type { PolicyGate } from "../pipeline.ts";
import { refusedBy } from "./allow-deny.ts";
import type { ToolRules } from "./profile.ts";

/** `agents.list[].tools`, which the agent's own schema has checked. */
function ownRules(config: unknown, agentId: string): ToolRules | undefined {
  return agentsOf(config).find(({ id }) => id === agentId)?.entry["tools"] as ToolRules | undefined;
}

/** The rules for all with the profile an agent has in the place of theirs. */
export function rulesFor(config: { readonly tools?: ToolRules }, agentId: string): ToolRules {
  const { profile, alsoAllow } = ownRules(config, agentId) ?? {};
  return { ...config.tools, ...(profile && { profile }), ...(alsoAllow && { alsoAllow }) };
}

/** What one agent may not, though the others may. It can only narrow. */
export function agentGate(
  config: () => unknown,
  listOf: (entries: readonly string[]) => NameList,
): PolicyGate {
  return {
    name: "agent",
    offer(tool, plugin, { agentId }) {
      const own = ownRules(config(), agentId);
      return own && refusedBy(own, `agents.list["${agentId}"].tools`, tool, plugin, listOf);
    },
  };
}
