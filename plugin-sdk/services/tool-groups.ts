/** What `group:*` and `bash` in a list of tools mean, and `tools.profile`. All of it is OpenClaw's. */
export const groups: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
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
  }),
);

/** undefined: no restriction. */
export const profiles: Readonly<Record<string, readonly string[] | undefined>> = {
  minimal: ["session_status"],
  coding: ["group:fs", "group:runtime", "group:sessions", "group:memory", "image"],
  messaging: ["group:messaging", "sessions_list", "sessions_history", "sessions_send", "session_status"],
  full: undefined,
};

/** The name OpenClaw's configurations use for `exec`. */
export const aliases: ReadonlyMap<string, string> = new Map([["bash", "exec"]]);

/** An entry of a list that is written like a group and is none: in a deny list such a slip would go unnoticed. */
export function isStrayGroup(entry: string): boolean {
  const name = entry.trim().toLowerCase();
  return name.startsWith("group:") && !name.includes("*") && name !== "group:plugins" && !groups.has(name);
}
