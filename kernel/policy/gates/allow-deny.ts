import type { NameList } from "../names.ts";
import type { PolicyGate } from "../pipeline.ts";
import type { ToolRules } from "./profile.ts";

/** `tools.allow` and `tools.deny`; deny wins, and an empty allow list means every tool. */
export function allowDenyGate(
  rules: () => ToolRules,
  listOf: (entries: readonly string[]) => NameList,
): PolicyGate {
  return {
    name: "allow-deny",
    offer: (tool, plugin) => refusedBy(rules(), "tools", tool, plugin, listOf),
  };
}

/** Shared with the group gate: the same two lists stand at several places of the configuration. */
export function refusedBy(
  { allow, deny }: Pick<ToolRules, "allow" | "deny">,
  place: string,
  tool: string,
  plugin: string,
  listOf: (entries: readonly string[]) => NameList,
): string | undefined {
  if (deny && listOf(deny).has(tool, plugin)) return `${place}.deny refuses ${tool}`;
  if (!allow || allow.length === 0 || listOf(allow).has(tool, plugin)) return undefined;
  return `${place}.allow does not list ${tool}`;
}
