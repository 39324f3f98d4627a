import type { NameList } from "../names.ts";
import type { PolicyGate } from "../pipeline.ts";
import { refusedBy } from "./allow-deny.ts";
import type { ToolRules } from "./profile.ts";

interface GroupPlace {
  readonly channel: string;
  readonly groupId: string;
}

export interface GroupGateOptions {
  /** Which group a session belongs to, if it is one. */
  groupOf(sessionKey: string): GroupPlace | undefined;
  /** `channels.<channel>.groups`, where "*" speaks for every group that has no entry. */
  groups(
    channel: string,
  ): Readonly<Record<string, { readonly tools?: Pick<ToolRules, "allow" | "deny"> }>> | undefined;
  listOf(entries: readonly string[]): NameList;
}

/** What a group's own entry allows: strangers sit in groups, so a group can only narrow. */
export function groupGate({ groupOf, groups, listOf }: GroupGateOptions): PolicyGate {
  return {
    name: "group",
    offer(tool, plugin, { sessionKey }) {
      const place = groupOf(sessionKey);
      if (!place) return undefined;
      const entries = groups(place.channel) ?? {};
      const id = Object.hasOwn(entries, place.groupId) ? place.groupId : "*";
      const rules = Object.hasOwn(entries, id) ? entries[id]?.tools : undefined;
      return (
        rules && refusedBy(rules, `channels.${place.channel}.groups["${id}"].tools`, tool, plugin, listOf)
      );
    },
  };
}
