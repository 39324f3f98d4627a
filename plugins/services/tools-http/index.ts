import { randomUUID } from "node:crypto";
import {
  type Caller,
  definePlugin,
  isRclawError,
  type PluginContext,
  RclawError,
  type RouteRequest,
  type ToolResult,
} from "@rclaw/plugin-sdk";
import type { RouteAnswer } from "@rclaw/plugin-sdk/gateway";
import { deniedTools } from "./denied.ts";

type Params = Readonly<Record<string, unknown>>;
type Place = Parameters<PluginContext["tools"]["call"]>[2];

const bodyLimit = 2 * 1_024 * 1_024;
/** They decide whether a tool is there at all; the others decide about one call of it. */
const offering: ReadonlySet<unknown> = new Set(["profile", "allow-deny", "group"]);

/** POST /tools/invoke: one tool, through the whole policy, in the name of whoever showed the gateway's token. */
export default definePlugin<{ readonly allow?: readonly string[]; readonly deny?: readonly string[] }>({
  activate(ctx) {
    const isDenied = deniedTools(ctx.config);

    async function placeOf(
      { headers, caller }: RouteRequest,
      body: Params,
      signal: AbortSignal,
    ): Promise<Place> {
      const asked = text(body["sessionKey"]);
      const sessionKey = ctx.sessions.canonical(asked === "" ? "main" : asked);
      const agentId = agentOf(sessionKey) ?? defaultAgent(ctx);
      if (agentId !== defaultAgent(ctx) && !(await isKnownAgent(ctx, agentId, caller)))
        throw new RclawError("INVALID_REQUEST", `unknown agent id "${agentId}"`);
      const channel = text(headers["x-openclaw-message-channel"]).toLowerCase();
      const id = randomUUID();
      return {
        sessionKey,
        agentId,
        runId: `http-${id}`,
        toolCallId: `http-${id}`,
        isOwner: true,
        ...(/^[a-z][a-z0-9-]{0,63}$/.test(channel) && { channel }),
        signal,
      };
    }

    /** `action` is a shorthand for tools that have such a parameter; for the others it says nothing. */
    async function paramsFor(tool: string, body: Params, place: Place): Promise<Params> {
      const given = body["args"];
      const args = (
        typeof given === "object" && given !== null && !Array.isArray(given) ? given : {}
      ) as Params;
      const action = text(body["action"]);
      if (action === "" || args["action"] !== undefined) return args;
      const offered = await find(tool, place);
      const properties: unknown = offered?.params["properties"];
      return typeof properties === "object" && properties !== null && Object.hasOwn(properties, "action")
        ? { ...args, action }
        : args;
    }

    const find = async (tool: string, place: Place) =>
      (await ctx.tools.list(place)).find(({ name }) => name === tool);

    async function invoke(request: RouteRequest, signal: AbortSignal): Promise<RouteAnswer> {
      const body = bodyOf(request.body);
      const tool = text(body["tool"]) || text(body["name"]);
      if (tool === "") throw new RclawError("INVALID_REQUEST", "tools.invoke requires body.tool");
      if (isDenied(tool)) return missing(tool);
      const place = await placeOf(request, body, signal);
      try {
        const params = await paramsFor(tool, body, place);
        if (body["dryRun"] === true) return (await find(tool, place)) ? dryRun(tool, params) : missing(tool);
        return resultOf(await ctx.tools.call(tool, params, place));
      } catch (error) {
        return refusal(tool, error);
      }
    }

    function refusal(tool: string, error: unknown): RouteAnswer {
      if (!isRclawError(error)) throw error;
      const { code, message, details } = error;
      if (code === "NOT_FOUND" && details?.["tool"] === tool) return missing(tool);
      if (code === "POLICY_DENIED")
        return offering.has(details?.["gate"]) ? missing(tool) : fault(403, "tool_call_blocked", message);
      if (code === "INVALID_REQUEST") return fault(400, "tool_error", message);
      ctx.log.warn({ err: error, tool }, "a tool that was called over HTTP failed");
      return fault(500, "tool_error", "tool execution failed");
    }

    ctx.routes.register({
      route: "POST /tools/invoke",
      auth: "gateway",
      bodyLimit,
      // A tool has a time limit of its own.
      timeoutMs: 0,
      handle: invoke,
    });
  },
});

function bodyOf(bytes: Uint8Array): Params {
  const source = Buffer.from(bytes).toString("utf8");
  try {
    const body: unknown = source.trim() === "" ? {} : JSON.parse(source);
    return (typeof body === "object" && body !== null ? body : {}) as Params;
  } catch (error) {
    throw new RclawError("INVALID_REQUEST", (error as Error).message);
  }
}

/** An agent that nobody configured gets no folder by being named. */
async function isKnownAgent(
  { methods }: PluginContext,
  agentId: string,
  caller: Caller | undefined,
): Promise<boolean> {
  const { config } = (await methods.call("config.get", {}, caller ? { as: caller } : {})) as {
    config?: { agents?: { list?: readonly { id?: string }[] } };
  };
  return (config?.agents?.list ?? []).some(({ id }) => id === agentId);
}

const agentOf = (sessionKey: string): string | undefined => /^agent:([^:]+):/.exec(sessionKey)?.[1];
const defaultAgent = ({ sessions }: PluginContext): string => agentOf(sessions.canonical("main")) ?? "main";
const text = (value: unknown): string => (typeof value === "string" ? value.trim() : "");

/** In the shape that tools of OpenClaw answer in. A tool that says it failed has failed. */
function resultOf({ content, isError, details }: ToolResult): RouteAnswer {
  if (isError) return fault(500, "tool_error", content);
  const { policy: _policy, ...rest } = (details ?? {}) as Params;
  return json(200, { ok: true, result: { content: [{ type: "text", text: content }], details: rest } });
}

function dryRun(tool: string, args: Params): RouteAnswer {
  const content = [{ type: "text", text: `Dry run: ${tool} was not called.` }];
  return json(200, { ok: true, result: { content, details: { dryRun: true, tool, args } } });
}

const missing = (tool: string): RouteAnswer =>
  fault(404, "not_found", `Tool not available: ${tool.slice(0, 128)}`);

function fault(status: number, type: string, message: string): RouteAnswer {
  return json(status, { ok: false, error: { type, message } });
}

function json(status: number, body: object): RouteAnswer {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status, headers, body: JSON.stringify(body) };
}
