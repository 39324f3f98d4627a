/**
 * Settings of OpenClaw (February 2026) that rclaw's kernel does not have. A migrated
 * file may hold them: they are named in a warning, unless a plugin has taken them over.
 */
const openclawKeys: Readonly<Record<string, string>> = {
  "": "env diagnostics update browser ui auth nodeHost bindings broadcast audio media approvals cron web discovery canvasHost talk memory skills",
  gateway: "channelHealthCheckMinutes tailscale nodes",
  "gateway.http": "securityHeaders",
  "gateway.controlUi": "basePath root",
  "gateway.reload": "mode",
  "gateway.remote": "transport sshTarget sshIdentity",
  session:
    "resetTriggers idleMinutes reset resetByType resetByChannel store typingIntervalSeconds typingMode sendPolicy agentToAgent maintenance",
  tools:
    "byProvider web media links sessions loopDetection message agentToAgent elevated exec fs sandbox subagents",
  messages:
    "messagePrefix responsePrefix queue inbound ackReaction ackReactionScope removeAckAfterReply suppressToolErrors tts",
  "messages.groupChat": "historyLimit",
  commands: "native nativeSkills text bash bashForegroundMs config debug restart useAccessGroups allowFrom",
  logging: "maxFileBytes consoleLevel consoleStyle redactSensitive redactPatterns",
  plugins: "load slots installs",
  channels: "defaults modelByChannel",
  models: "mode bedrockDiscovery",
};

/** OpenClaw's book-keeping: nobody expects it to do anything. */
const silentKeys: ReadonlySet<string> = new Set(["$schema", "meta", "wizard"]);

export function isSilent(path: string): boolean {
  return silentKeys.has(path);
}

export function openclawKeysAt(path: string): readonly string[] {
  return Object.hasOwn(openclawKeys, path) ? (openclawKeys[path] ?? "").split(" ") : [];
}
