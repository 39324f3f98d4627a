import { definePlugin } from "@rclaw/plugin-sdk";
import { createChat } from "./chat.ts";
import { createModelList } from "./models.ts";
import { createResponses } from "./responses.ts";
import { createRunner } from "./run.ts";

interface Endpoint {
  readonly enabled?: boolean;
  readonly maxBodyBytes?: number;
}

interface Endpoints {
  readonly chatCompletions?: Endpoint;
  readonly responses?: Endpoint;
}

const defaultBodyLimit = 20 * 1_024 * 1_024;

/**
 * OpenAI's API in front of the agent, for programs that know nothing else. Whoever shows the
 * gateway's token talks to the agent as its owner; which tools are called on the way stays inside.
 */
export default definePlugin<Endpoints>({
  activate(ctx) {
    const { chatCompletions = {}, responses = {} } = ctx.config;
    if (!chatCompletions.enabled && !responses.enabled) return;
    const runner = createRunner(ctx);
    // A run has a time limit of its own; until then its client may wait.
    const shared = { auth: "gateway", timeoutMs: 0 } as const;
    if (chatCompletions.enabled) {
      ctx.routes.register({
        ...shared,
        route: "POST /v1/chat/completions",
        bodyLimit: chatCompletions.maxBodyBytes ?? defaultBodyLimit,
        handle: createChat(ctx, runner),
      });
    }
    if (responses.enabled) {
      ctx.routes.register({
        ...shared,
        route: "POST /v1/responses",
        bodyLimit: responses.maxBodyBytes ?? defaultBodyLimit,
        handle: createResponses(ctx, runner),
      });
    }
    const list = createModelList(ctx);
    ctx.routes.register({ route: "GET /v1/models", auth: "gateway", handle: list });
    ctx.routes.register({ route: "GET /v1/models/*", auth: "gateway", handle: list });
  },
});
