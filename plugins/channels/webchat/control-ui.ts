import type { PluginContext } from "@rclaw/plugin-sdk";

/** What OpenClaw's page asks for before it has a token: how to call the assistant. */
export async function uiConfig({ methods }: Pick<PluginContext, "methods">): Promise<object> {
  const { name, avatar: picture, agentId } = await identity(methods);
  return {
    basePath: "",
    assistantName: name ?? "Assistant",
    assistantAvatar: picture ?? "A",
    assistantAgentId: agentId ?? "main",
  };
}

interface Identity {
  readonly agentId?: string;
  readonly name?: string;
  readonly avatar?: string;
}

/** Without somebody who knows, the assistant has no name of its own. */
async function identity(methods: PluginContext["methods"]): Promise<Identity> {
  try {
    const known = await methods.call("agent.identity.get", {});
    return known as Identity;
  } catch {
    return {};
  }
}

/** Agents have no pictures here; asked what there is, the answer is that there is none. */
export function avatar(path: string, query: Readonly<Record<string, string>>): object | undefined {
  const isAgent = /^\/avatar\/[a-z0-9][a-z0-9_-]{0,63}$/i.test(path);
  return isAgent && query["meta"] === "1" ? { avatarUrl: null } : undefined;
}
