/** What the operator says about nodes: the section `gateway.nodes`. */
export interface NodesConfig {
  readonly allowCommands: readonly string[];
  readonly denyCommands: readonly string[];
  readonly browser: { readonly mode: "auto" | "manual" | "off"; readonly node?: string };
}

/** A node as far as the policy looks at it. */
export interface Judged {
  readonly platform: string;
  readonly deviceFamily?: string | undefined;
  /** What it said it can do. */
  readonly declared: readonly string[];
}

const canvas = [
  "canvas.present",
  "canvas.hide",
  "canvas.navigate",
  "canvas.eval",
  "canvas.snapshot",
  "canvas.a2ui.push",
  "canvas.a2ui.pushJSONL",
  "canvas.a2ui.reset",
];
const system = ["system.run.prepare", "system.run", "system.which", "system.notify", "browser.proxy"];
/** Reading what a phone or a Mac knows. Taking pictures, recording, sending and adding are not here: somebody has to allow those. */
const personal = [
  "device.info",
  "device.status",
  "contacts.search",
  "calendar.events",
  "reminders.list",
  "photos.latest",
  "motion.activity",
  "motion.pedometer",
];
const senses = ["camera.list", "location.get"];

const platforms = {
  ios: [...canvas, ...senses, ...personal, "system.notify"],
  android: [...canvas, ...senses, ...personal, "notifications.list"],
  macos: [...canvas, ...senses, ...personal, ...system],
  linux: system,
  windows: system,
  unknown: [...canvas, ...senses, ...system],
} as const satisfies Record<string, readonly string[]>;

function platformOf({ platform, deviceFamily = "" }: Judged): keyof typeof platforms {
  const said = platform.trim().toLowerCase();
  if (said.startsWith("ios")) return "ios";
  if (said.startsWith("android")) return "android";
  if (said.startsWith("mac") || said.startsWith("darwin")) return "macos";
  if (said.startsWith("win")) return "windows";
  if (said.startsWith("linux")) return "linux";
  const family = deviceFamily.trim().toLowerCase();
  if (/iphone|ipad|ios/.test(family)) return "ios";
  if (family.includes("android")) return "android";
  if (family.includes("mac")) return "macos";
  if (family.includes("windows")) return "windows";
  return family.includes("linux") ? "linux" : "unknown";
}

/** What the gateway lets a node of this kind do, whatever it says it can. */
export function allowedCommands(node: Judged, config: NodesConfig): ReadonlySet<string> {
  const trimmed = (names: readonly string[]): string[] => names.map((name) => name.trim()).filter(Boolean);
  const allowed = new Set([...platforms[platformOf(node)], ...trimmed(config.allowCommands)]);
  for (const name of trimmed(config.denyCommands)) allowed.delete(name);
  return allowed;
}

/** What it can do and may: the only commands that anybody is told of. */
export function commandsOf(node: Judged, config: NodesConfig): readonly string[] {
  const allowed = allowedCommands(node, config);
  return sorted(node.declared.filter((name) => allowed.has(name.trim())));
}

/** Why a command is not for this node; undefined when it is. */
export function refusalOf(
  command: string,
  node: Judged,
  config: NodesConfig,
): { readonly reason: string; readonly message: string } | undefined {
  const { platform } = node;
  const known = platform === "" ? "unknown" : platform;
  if (!allowedCommands(node, config).has(command)) {
    const message = `node command not allowed: "${command}" is not in the allowlist for platform "${known}"`;
    return { reason: "command not allowlisted", message };
  }
  const declared = commandsOf(node, config);
  if (declared.length === 0) {
    const message = "node command not allowed: the node did not declare any supported commands";
    return { reason: "node did not declare commands", message };
  }
  if (declared.includes(command)) return undefined;
  const message = `node command not allowed: the node (platform: ${known}) does not support "${command}"`;
  return { reason: "command not declared by node", message };
}

export const sorted = (names: readonly string[]): readonly string[] =>
  [...new Set(names.map((name) => name.trim()).filter(Boolean))].sort();
