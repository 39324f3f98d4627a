import type { PluginContext, Run } from "@rclaw/plugin-sdk";
import type { Target } from "./request.ts";

/** Where the session's people were last, for an answer that is to reach them wherever they are. */
export async function lastTarget(
  sessions: Pick<PluginContext["sessions"], "find">,
  { sessionKey, params }: Pick<Run, "sessionKey" | "params">,
): Promise<Target | undefined> {
  const { replyChannel: channel = params["channel"] } = params;
  const entry = (await sessions.find(sessionKey)) ?? {};
  const { lastChannel, lastTo, lastAccountId, lastThreadId } = entry as Readonly<Record<string, unknown>>;
  if (typeof lastChannel !== "string" || typeof lastTo !== "string" || lastChannel === "webchat")
    return undefined;
  if (typeof channel === "string" && channel !== "last" && channel !== lastChannel) return undefined;
  const accountId = typeof lastAccountId === "string" ? lastAccountId : "default";
  const thread = typeof lastThreadId === "string" ? { threadId: lastThreadId } : {};
  return { channel: lastChannel, to: lastTo, accountId, ...thread };
}
