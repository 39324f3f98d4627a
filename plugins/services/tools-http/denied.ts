import { aliases, groups } from "@rclaw/plugin-sdk/services/tool-groups";

/**
 * Not over HTTP unless the owner says so: what runs programs or changes files, what steers other
 * sessions or the gateway itself, and what needs somebody to look at it.
 */
const byDefault = [
  ...["exec", "process", "spawn", "shell", "terminal", "computer", "mobile_ui"],
  ...["write", "edit", "apply_patch", "fs_write", "fs_delete", "fs_move"],
  ...["sessions_spawn", "sessions_send", "subagents"],
  ...["conversations_list", "conversations_send", "conversations_turn"],
  ...["cron", "automations", "gateway", "plugins", "nodes", "openclaw", "portal", "whatsapp_login"],
];

const namesIn = (entries: readonly string[]): readonly string[] =>
  entries.flatMap((entry) => {
    const name = entry.trim().toLowerCase();
    return groups.get(name) ?? [aliases.get(name) ?? name];
  });

/** `gateway.tools`: what stands in both lists is denied. */
export function deniedTools({
  allow = [],
  deny = [],
}: {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
}): (tool: string) => boolean {
  const allowed = new Set(namesIn(allow));
  const names = new Set([...byDefault.filter((name) => !allowed.has(name)), ...namesIn(deny)]);
  return (tool) => names.has(aliases.get(tool.toLowerCase()) ?? tool.toLowerCase());
}
