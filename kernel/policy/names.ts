import { aliases, groups } from "@rclaw/plugin-sdk/services/tool-groups";

export interface NameList {
  has(tool: string, plugin: string): boolean;
}

/**
 * Tool lists as people write them: names, `*` wildcards, `group:*` and plugin ids, in any case.
 * A list is read on every tool call and changes with the configuration only, which makes new arrays.
 */
export function nameLists(builtIn: (plugin: string) => boolean): (entries: readonly string[]) => NameList {
  const lists = new WeakMap<readonly string[], NameList>();
  return (entries) => {
    let list = lists.get(entries);
    if (!list) lists.set(entries, (list = nameList(entries, builtIn)));
    return list;
  };
}

function nameList(entries: readonly string[], builtIn: (plugin: string) => boolean): NameList {
  const exact = new Set<string>();
  const patterns: RegExp[] = [];
  let allPlugins = false;
  for (const raw of entries) {
    const entry = raw.trim().toLowerCase();
    const members = groups.get(entry);
    if (entry === "group:plugins") allPlugins = true;
    else if (members) for (const member of members) exact.add(member);
    else if (entry.includes("*")) patterns.push(wildcard(entry));
    else exact.add(aliases.get(entry) ?? entry);
  }
  return {
    has(tool, plugin) {
      const name = tool.toLowerCase();
      if (exact.has(name) || exact.has(plugin) || patterns.some((pattern) => pattern.test(name))) return true;
      return allPlugins && !builtIn(plugin);
    },
  };
}

function wildcard(entry: string): RegExp {
  const parts = entry.split(/\*+/).map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`);
}
