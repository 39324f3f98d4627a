import { profiles } from "@rclaw/plugin-sdk/services/tool-groups";
import type { NameList } from "../names.ts";
import type { PolicyGate } from "../pipeline.ts";

export interface ToolRules {
  readonly profile?: string;
  readonly alsoAllow?: readonly string[];
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}

const none: readonly string[] = [];

/** `tools.profile`: a named starting set, widened by `tools.alsoAllow`. An agent may have others. */
export function profileGate(
  rules: (agentId: string) => ToolRules,
  listOf: (entries: readonly string[]) => NameList,
): PolicyGate {
  return {
    name: "profile",
    offer(tool, plugin, { agentId }) {
      const { profile = "full", alsoAllow = none } = rules(agentId);
      const members = profiles[profile];
      if (!members || listOf(members).has(tool, plugin) || listOf(alsoAllow).has(tool, plugin))
        return undefined;
      return `the tool profile "${profile}" does not include ${tool}; add it to tools.alsoAllow or choose another tools.profile`;
    },
  };
}
