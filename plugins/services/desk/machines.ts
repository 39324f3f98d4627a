import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { environmentsParams, memoryPlanParams, webSearchParams } from "./methods.schema.ts";

type Fields = Readonly<Record<string, unknown>>;

const since = "2026.9";
const gateway = {
  id: "gateway",
  type: "local",
  label: "Gateway local",
  status: "available",
  platform: process.platform,
  sessionHost: true,
  trust: "persistent",
  capabilities: ["agent.run", "sessions", "tools", "workspace"],
};

/** Pages that show what other methods know: the machines, where memories may come from, who searches the web. */
export function machineMethods({ call }: PluginContext["methods"]): readonly Method[] {
  async function rows(method: string, list: string, as: Caller, signal: AbortSignal): Promise<Fields[]> {
    const answer = await call(method, {}, { as, signal });
    const found = isRecord(answer) ? answer[list] : undefined;
    return Array.isArray(found) ? found.filter(isRecord) : [];
  }

  async function agentNamed(agentId: string | undefined, as: Caller, signal: AbortSignal): Promise<Fields> {
    const agents = await rows("agents.list", "agents", as, signal);
    const found = agentId === undefined ? agents[0] : agents.find(({ id }) => id === agentId);
    if (!found) throw new RclawError("INVALID_REQUEST", `unknown agent id "${agentId}"`);
    return found;
  }

  return [
    defineMethod({
      name: "environments.list",
      since,
      params: environmentsParams,
      async handle({ params, caller, signal }) {
        // Profiles are of machines in the cloud, and there are none.
        if (params.projection === "profiles") return { environments: [] };
        const nodes = await rows("node.list", "nodes", caller, signal);
        return { environments: [gateway, ...nodes.map(environmentOf)] };
      },
    }),
    defineMethod({
      name: "migrations.memory.plan",
      since,
      params: memoryPlanParams,
      async handle({ params, caller, signal }) {
        const { id, workspace } = await agentNamed(params.agentId, caller, signal);
        return { agentId: id, workspace, providers: [] };
      },
    }),
    defineMethod({
      name: "webSearch.status",
      since,
      params: webSearchParams,
      async handle({ params, caller, signal }) {
        const { id, model } = await agentNamed(params.agentId, caller, signal);
        const ref = isRecord(model) && typeof model["primary"] === "string" ? model["primary"] : "none/none";
        const slash = ref.indexOf("/");
        const chosen = { provider: ref.slice(0, slash), id: ref.slice(slash + 1), runtime: "rclaw" };
        const reason = "No plugin of this gateway searches the web.";
        return {
          enabled: false,
          provider: null,
          agentId: id,
          model: chosen,
          route: { kind: "unavailable", label: "Not available", reason, testable: false },
          providers: [],
        };
      },
    }),
  ];
}

function environmentOf(node: Fields): Fields {
  const { nodeId, displayName, connected, platform, connectedAtMs, caps, commands } = node;
  const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
  const capabilities = [...new Set([...list(caps), ...list(commands)].map(String))].sort();
  return {
    id: `node:${String(nodeId)}`,
    type: "node",
    label: displayName ?? nodeId,
    status: connected === true ? "available" : "unavailable",
    ...(platform !== undefined && { platform }),
    sessionHost: false,
    ...(connectedAtMs !== undefined && { lastConnectedAtMs: connectedAtMs }),
    trust: "persistent",
    ...(capabilities.length > 0 && { capabilities }),
    ...(list(commands).length > 0 && { invocableCommands: commands }),
  };
}
