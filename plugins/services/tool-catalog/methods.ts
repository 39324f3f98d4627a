import { defineMethod, isRclawError, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { agentIdOf, agentsOf } from "@rclaw/plugin-sdk/services/agents";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { parseKey } from "@rclaw/plugin-sdk/session-key";
import { groupsOf, isCore, type KnownTool, profileLines, summaryOf } from "./groups.ts";
import { catalogParams, effectiveParams } from "./methods.schema.ts";

interface PluginRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly builtIn: boolean;
  readonly enabled: boolean;
  readonly contributes: { readonly tools?: readonly string[] };
}

type Place = Parameters<PluginContext["tools"]["list"]>[0];

/** `tools.catalog`: what there is. `tools.effective`: what a session's agent may use. */
export function catalogMethods({ methods, tools, sessions }: PluginContext): readonly Method[] {
  const configNow = async (): Promise<unknown> =>
    ((await methods.call("config.get", {})) as { config: unknown }).config;

  /** What is kept from this place has only its plugin's description: nobody asks it for its own. */
  async function toolsAt(
    place: Place,
  ): Promise<{ known: readonly KnownTool[]; offered: ReadonlySet<string> }> {
    const [{ plugins }, offers] = await Promise.all([
      methods.call("plugins.list", {}) as Promise<{ plugins: readonly PluginRow[] }>,
      tools.list(place),
    ]);
    const described = new Map(offers.map(({ name, description }) => [name, description]));
    const known = plugins
      .filter(({ enabled }) => enabled)
      .flatMap(({ contributes, description, ...plugin }) =>
        (contributes.tools ?? []).map((id) => ({
          id,
          plugin,
          description: described.get(id) ?? description,
        })),
      );
    return { known, offered: new Set(described.keys()) };
  }

  function agentFor(config: unknown, asked: string | undefined): string {
    const agents = agentsOf(config);
    const agent = asked?.trim()
      ? agents.find(({ id }) => id === agentIdOf(asked))
      : agents.find(({ isDefault }) => isDefault);
    if (!agent) throw new RclawError("INVALID_REQUEST", `unknown agent id "${asked}"`);
    return agent.id;
  }

  const catalog = defineMethod({
    name: "tools.catalog",
    since: "2026.2.26",
    params: catalogParams,
    async handle({ params, caller }) {
      const agentId = agentFor(await configNow(), params.agentId);
      const { known } = await toolsAt({ sessionKey: `agent:${agentId}:main`, agentId, isOwner: true });
      const groups = groupsOf(known, {
        withPlugins: params.includePlugins !== false,
        inFull: (caller.protocol ?? 3) >= 4,
      });
      return { agentId, profiles: profileLines, groups };
    },
  });

  async function sessionOf(
    key: string,
  ): Promise<{ key: string; agentId: string | undefined; channel?: string }> {
    const unknown = new RclawError("INVALID_REQUEST", `unknown session key "${key}"`);
    try {
      const canonical = sessions.canonical(key);
      if (!(await sessions.find(canonical))) throw unknown;
      const { agentId, channel } = parseKey(canonical);
      return { key: canonical, agentId, ...(channel !== undefined && { channel }) };
    } catch (error) {
      throw isRclawError(error) && error.code === "INVALID_REQUEST" ? unknown : error;
    }
  }

  const effective = defineMethod({
    name: "tools.effective",
    since: "2026.5.7",
    params: effectiveParams,
    async handle({ params }) {
      const config = await configNow();
      const asked = params.agentId === undefined ? undefined : agentFor(config, params.agentId);
      const session = await sessionOf(params.sessionKey);
      const agentId = session.agentId ?? agentFor(config, undefined);
      if (asked !== undefined && asked !== agentId)
        throw new RclawError(
          "INVALID_REQUEST",
          `agent id "${asked}" does not match session agent "${agentId}"`,
        );
      const { channel } = session;
      const place = {
        sessionKey: session.key,
        agentId,
        isOwner: true,
        ...(channel !== undefined && { channel }),
      };
      const { known, offered } = await toolsAt(place);
      const mine = known.filter(({ id }) => offered.has(id));
      const own = agentsOf(config).find(({ id }) => id === agentId)?.entry;
      const profile = valueAt(own, "tools.profile") ?? valueAt(config, "tools.profile");
      return {
        agentId,
        profile: typeof profile === "string" ? profile : "full",
        groups: [
          ...groupOf("core", "Built-in tools", mine.filter(isCore)),
          ...groupOf(
            "plugin",
            "Connected tools",
            mine.filter((tool) => !isCore(tool)),
          ),
        ],
      };
    },
  });

  return [catalog, effective];
}

function groupOf(source: "core" | "plugin", label: string, tools: readonly KnownTool[]): readonly object[] {
  if (tools.length === 0) return [];
  const lines = tools
    .toSorted((a, b) => a.id.localeCompare(b.id))
    .map(({ id, description, plugin }) => ({
      id,
      label: id,
      description: summaryOf(description),
      rawDescription: description,
      source,
      ...(source === "plugin" && { pluginId: plugin.id }),
    }));
  return [{ id: source, label, source, tools: lines }];
}
