import { groups, profiles } from "@rclaw/plugin-sdk/services/tool-groups";

/** The tools OpenClaw has built in, in its sections and in its order. */
const sections: readonly (readonly [id: string, label: string])[] = [
  ["fs", "Files"],
  ["runtime", "Runtime"],
  ["web", "Web"],
  ["memory", "Memory"],
  ["sessions", "Sessions"],
  ["ui", "UI"],
  ["messaging", "Messaging"],
  ["automation", "Automation"],
  ["nodes", "Nodes"],
  ["agents", "Agents"],
  ["media", "Media"],
];
/** Sections that no list of tools can name. */
const unnamed: Readonly<Record<string, readonly string[]>> = {
  agents: ["agents_list"],
  media: ["image", "tts"],
};
const labels = { minimal: "Minimal", coding: "Coding", messaging: "Messaging", full: "Full" };

/** A tool as it is, whoever may use it. */
export interface KnownTool {
  readonly id: string;
  readonly description: string;
  readonly plugin: { readonly id: string; readonly name: string; readonly builtIn: boolean };
}

interface Line {
  readonly id: string;
  readonly label: string;
  readonly description: string;
  readonly source: "core" | "plugin";
  readonly pluginId?: string;
  readonly fullDescription?: string;
  readonly defaultProfiles: readonly string[];
}

interface Group {
  readonly id: string;
  readonly label: string;
  readonly source: "core" | "plugin";
  readonly pluginId?: string;
  readonly tools: readonly Line[];
}

export const profileLines = Object.entries(labels).map(([id, label]) => ({ id, label }));

/** Whether it stands in the place of a tool that OpenClaw has built in. */
export function isCore({ id, plugin }: KnownTool): boolean {
  return plugin.builtIn && sections.some(([section]) => membersOf(section).includes(id));
}

/** Sections with the tools that there are, then one group a plugin. */
export function groupsOf(
  tools: readonly KnownTool[],
  { withPlugins, inFull }: { readonly withPlugins: boolean; readonly inFull: boolean },
): readonly Group[] {
  const core = new Map(tools.filter(isCore).map((tool) => [tool.id, tool]));
  const own = sections.flatMap(([id, label]): Group[] => {
    const lines = membersOf(id).flatMap((name) => core.get(name) ?? []);
    if (lines.length === 0) return [];
    return [{ id, label, source: "core", tools: lines.map((tool) => lineOf(tool, "core", inFull)) }];
  });
  if (!withPlugins) return own;
  const strays = tools.filter((tool) => !isCore(tool));
  const others = [...new Map(strays.map(({ plugin }) => [plugin.id, plugin])).values()].map(
    ({ id: pluginId, name: label }): Group => ({
      id: `plugin:${pluginId}`,
      label,
      source: "plugin",
      pluginId,
      tools: strays
        .filter(({ plugin }) => plugin.id === pluginId)
        .sort((a, b) => a.id.localeCompare(b.id))
        .map((tool) => ({ ...lineOf(tool, "plugin", inFull), pluginId })),
    }),
  );
  return [...own, ...others.toSorted((a, b) => a.label.localeCompare(b.label))];
}

/** The model gets the whole description; in a list the first sentence tells what a tool is for. */
export function summaryOf(description: string): string {
  const end = description.search(/[.!?](?:\s|$)/);
  const sentence = end === -1 ? description : description.slice(0, end);
  return sentence.length > 200 ? `${sentence.slice(0, 197)}...` : sentence;
}

function membersOf(section: string): readonly string[] {
  return groups.get(`group:${section}`) ?? unnamed[section] ?? [];
}

function lineOf({ id, description }: KnownTool, source: Line["source"], inFull: boolean): Line {
  return {
    id,
    label: id,
    description: summaryOf(description),
    source,
    ...(inFull && { fullDescription: description }),
    defaultProfiles: profilesOf(id),
  };
}

/** "full" has every tool, so it says nothing of one. */
function profilesOf(tool: string): readonly string[] {
  return Object.entries(profiles).flatMap(([id, entries]) => {
    const members = entries?.flatMap((entry) => groups.get(entry) ?? [entry]) ?? [];
    return members.includes(tool) ? [id] : [];
  });
}
