/**
 * Tool lists as people write them: names, `*` wildcards, `group:*` and plugin ids,
 * in any case. Groups and profiles are OpenClaw's.
 */
const groups: Readonly<Record<string, readonly string[]>> = {
  "group:memory": ["memory_search", "memory_get"],
  "group:web": ["web_search", "web_fetch"],
  "group:fs": ["read", "write", "edit", "apply_patch"],
  "group:runtime": ["exec", "process"],
  "group:sessions": [
    "sessions_list",
    "sessions_history",
    "sessions_send",
    "sessions_spawn",
    "subagents",
    "session_status",
  ],
  "group:ui": ["browser", "canvas"],
  "group:automation": ["cron", "gateway"],
  "group:messaging": ["message"],
  "group:nodes": ["nodes"],
  "group:openclaw": [
    ...[
      "browser",
      "canvas",
      "nodes",
      "cron",
      "message",
      "gateway",
      "agents_list",
      "sessions_list",
      "sessions_history",
    ],
    ...[
      "sessions_send",
      "sessions_spawn",
      "subagents",
      "session_status",
      "memory_search",
      "memory_get",
      "web_search",
    ],
    ...["web_fetch", "image"],
  ],
};

/** undefined: no restriction. */
export const profiles: Readonly<Record<string, readonly string[] | undefined>> = {
  minimal: ["session_status"],
  coding: ["group:fs", "group:runtime", "group:sessions", "group:memory", "image"],
  messaging: ["group:messaging", "sessions_list", "sessions_history", "sessions_send", "session_status"],
  full: undefined,
};

/** The name OpenClaw's configurations use for `exec`. */
const aliases: Readonly<Record<string, string>> = { bash: "exec" };

export interface NameList {
  has(tool: string, plugin: string): boolean;
}

/** A list is read on every tool call and changes with the configuration only, which makes new arrays. */
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
    const members = groups[entry];
    if (entry === "group:plugins") allPlugins = true;
    else if (members) for (const member of members) exact.add(member);
    else if (entry.includes("*")) patterns.push(wildcard(entry));
    else exact.add(aliases[entry] ?? entry);
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
