import type { HookName } from "../hooks.ts";
import type { JsonSchema } from "../tool.ts";

/** Parameters that have the right names and nothing right in them. */
export function wrongParams(schema: JsonSchema): unknown {
  const properties = (schema["properties"] as Readonly<Record<string, JsonSchema>> | undefined) ?? {};
  return Object.fromEntries(
    Object.entries(properties).map(([name, { type }]) => [
      name,
      type === "object" || type === "array" ? "wrong" : [{ wrong: true }],
    ]),
  );
}

const message = { role: "user", content: [{ type: "text", text: "rclaw-unrelated" }] };
const zero = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };

/** All fields that events and their places have, with nothing in them that a hook could be waiting for. */
export function unrelatedEvent(name: HookName): { readonly event: object; readonly context: object } {
  const event = {
    assistantTexts: [],
    compactedCount: 0,
    content: "rclaw-unrelated",
    durationMs: 1,
    from: "rclaw-unrelated",
    historyMessages: [],
    imagesCount: 0,
    message,
    messageCount: 0,
    messages: [],
    model: "rclaw-unrelated",
    params: {},
    port: 1,
    prompt: "rclaw-unrelated",
    provider: "rclaw-unrelated",
    reason: "rclaw-unrelated",
    runId: "rclaw-unrelated",
    sessionId: "rclaw-unrelated",
    success: true,
    to: "rclaw-unrelated",
    toolName: "rclaw_unrelated",
    usage: zero,
  };
  const context = {
    agentId: "main",
    channelId: "rclaw-unrelated",
    sessionId: "rclaw-unrelated",
    sessionKey: "agent:main:rclaw-unrelated",
    ...(name.includes("tool") && { toolName: "rclaw_unrelated" }),
  };
  return { event, context };
}
