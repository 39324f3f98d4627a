import {
  definePlugin,
  isRclawError,
  type PluginContext,
  RclawError,
  type RouteRequest,
} from "@rclaw/plugin-sdk";
import type { RouteAnswer } from "@rclaw/plugin-sdk/gateway";
import { json, plain, Refusal } from "./answers.ts";
import { type HooksConfig, mappingsOf } from "./config.ts";
import { createDispatch } from "./dispatch.ts";
import { createDoor } from "./door.ts";
import { onceKey } from "./once.ts";
import { agentFrom, mappedFrom, wakeFrom } from "./work.ts";

const defaultBodyLimit = 262_144;

/** Other systems wake the assistant or give it work. What they send is a stranger's, whatever token they have. */
export default definePlugin<HooksConfig>({
  async activate(ctx) {
    const token = (await ctx.secrets.resolve(ctx.config.token ?? "")).trim();
    if (token === "") throw new RclawError("CONFIG_INVALID", "hooks.enabled requires hooks.token");
    const shared = {
      auth: "open",
      admit: createDoor(token, Date.now),
      bodyLimit: ctx.config.maxBodyBytes ?? defaultBodyLimit,
    } as const;
    const handle = createHandler(ctx);
    ctx.routes.register({ ...shared, route: "POST /hooks", handle: async () => plain(404, "Not Found") });
    ctx.routes.register({ ...shared, route: "POST /hooks/*", handle });
  },
});

function createHandler(ctx: PluginContext<HooksConfig>): (request: RouteRequest) => Promise<RouteAnswer> {
  const { config, log } = ctx;
  const mappings = mappingsOf(config);
  const dispatch = createDispatch(ctx, config);

  async function perform({ path, headers, query, body }: RouteRequest): Promise<RouteAnswer> {
    const what = path.replace(/^\/hooks\//, "");
    const payload = payloadOf(body);
    const source = { payload, headers, query, path: what };
    const work =
      what === "wake"
        ? wakeFrom(payload)
        : what === "agent"
          ? agentFrom(payload, config)
          : mappedFrom(mappings, source, config);
    if (!work) return plain(404, "Not Found");
    const key = onceOf(headers, payload);
    const once = key === undefined ? undefined : onceKey(what, key, work);
    if (work.kind === "wake") {
      await dispatch.wake(work, once);
      return json(200, { ok: true, mode: work.mode });
    }
    return json(202, { ok: true, runId: await dispatch.agent(work, once) });
  }

  return async (request) => {
    try {
      return await perform(request);
    } catch (error) {
      if (error instanceof Refusal) return json(error.status, { ok: false, error: error.message });
      if (isRclawError(error) && error.code === "INVALID_REQUEST")
        return json(400, { ok: false, error: error.message.replace(/^invalid agent params: /, "") });
      if (isRclawError(error) && error.code === "CONFLICT")
        return json(409, { ok: false, error: error.message });
      log.warn({ err: error, path: request.path }, "a hook failed");
      return json(503, { ok: false, error: "the hook was not accepted; see the gateway's log" });
    }
  };
}

function payloadOf(body: Uint8Array): Readonly<Record<string, unknown>> {
  const text = Buffer.from(body).toString("utf8");
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new Refusal((error as Error).message);
  }
}

/** A sender that tries again says so with the same key, and the work is done once. */
function onceOf(
  headers: Readonly<Record<string, string>>,
  { idempotencyKey }: Readonly<Record<string, unknown>>,
): string | undefined {
  const keys = [headers["idempotency-key"], headers["x-openclaw-idempotency-key"], idempotencyKey];
  return keys.find((key): key is string => typeof key === "string" && key.trim() !== "")?.trim();
}
