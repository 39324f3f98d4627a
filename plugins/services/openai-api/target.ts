import { createHash, randomUUID } from "node:crypto";
import type { PluginContext, RouteRequest } from "@rclaw/plugin-sdk";
import { refused } from "./answers.ts";

const agentId = "[a-z0-9][a-z0-9_-]{0,63}";
const modelPattern = new RegExp(`^(?:(?:openclaw|rclaw)[:/]|agent:)(${agentId})$`, "i");
const agentPattern = new RegExp(`^${agentId}$`, "i");

type Sessions = Pick<PluginContext["sessions"], "canonical">;

/** The agent of the session that everything else falls back to. */
export function defaultAgent({ canonical }: Sessions): string {
  return canonical("main").split(":")[1] ?? "main";
}

/** The header names the agent, or the model does: `openclaw:<id>`. Any other model is whatever the default agent uses. */
export function agentFor(
  { headers }: Pick<RouteRequest, "headers">,
  model: string,
  sessions: Sessions,
): string {
  const named = (headers["x-openclaw-agent-id"] ?? headers["x-openclaw-agent"])?.trim();
  if (named) {
    if (!agentPattern.test(named)) throw refused(`Unknown agent '${named.slice(0, 64)}'.`);
    return named.toLowerCase();
  }
  const found = modelPattern.exec(model.trim())?.[1]?.toLowerCase();
  return found === undefined || found === "default" ? defaultAgent(sessions) : found;
}

/** The header names the session, or `user` stands for one; otherwise every request is a conversation of its own. */
export function sessionFor(
  { headers }: Pick<RouteRequest, "headers">,
  { agent, user, prefix, id = randomUUID() }: { agent: string; user: unknown; prefix: string; id?: string },
  sessions: Sessions,
): string {
  const asked = headers["x-openclaw-session-key"]?.trim();
  if (asked)
    return sessions.canonical(/^(?:agent:|global$)/i.test(asked) ? asked : `agent:${agent}:${asked}`);
  const person = typeof user === "string" ? user.trim() : "";
  return sessions.canonical(
    `agent:${agent}:${person ? `${prefix}-user:${keyPart(person)}` : `${prefix}:${id}`}`,
  );
}

/** Keys are folded to lower case, and two users must not share a conversation for that. */
function keyPart(user: string): string {
  if (/^[a-z0-9_@+-](?:[.:]?[a-z0-9_@+-]){0,127}$/.test(user)) return user;
  const plain = user
    .toLowerCase()
    .replaceAll(/[^a-z0-9_@+-]+/g, "-")
    .slice(0, 40);
  return `${plain}~${createHash("sha256").update(user).digest("hex").slice(0, 24)}`;
}

/** A model of a provider, for this request only. */
export function modelFor({ headers }: Pick<RouteRequest, "headers">): string | undefined {
  return headers["x-openclaw-model"]?.trim() || undefined;
}
