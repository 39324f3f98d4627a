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

/** The candidate that was probably meant, if one is close enough to be worth naming. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const limit = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const name of candidates) {
    if (Math.abs(name.length - word.length) > limit) continue;
    const distance = editDistance(word.toLowerCase(), name.toLowerCase());
    if (distance <= limit && distance < (best?.distance ?? Number.POSITIVE_INFINITY))
      best = { name, distance };
  }
  return best?.name;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_item, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + cost));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
