import { definePlugin, type ModelInfo, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { openServer, type Server, type ServerConfig } from "./server.ts";
import { streamChat } from "./stream.ts";

const id = "openai-compatible";
const place = `models.providers.${id}`;
const listMs = 5_000;

export default definePlugin<ServerConfig>({
  activate(ctx) {
    const { baseUrl, models = [], defaultModel = models[0]?.id } = ctx.config;

    ctx.providers.register({
      id,
      ready: async () => {
        const reason = !baseUrl
          ? `it has no server; set ${place}.baseUrl`
          : defaultModel
            ? `the server at ${new URL(baseUrl).host}`
            : `it knows no model; set ${place}.defaultModel or ${place}.models`;
        return {
          ok: baseUrl !== undefined && defaultModel !== undefined,
          reason,
          defaultModel: defaultModel ?? "",
          rank: 24,
        };
      },
      models: async (signal) =>
        models.length > 0 ? models.map(toInfo) : listModels(await serverOf(ctx), signal),
      async *stream(request, signal) {
        yield* streamChat(request, await serverOf(ctx), signal);
      },
    });
  },
});

function toInfo({
  id: model,
  name = model,
  contextWindow,
  reasoning,
  input,
}: Partial<ModelInfo> & { id: string }): ModelInfo {
  return {
    id: model,
    name,
    ...(contextWindow !== undefined && { contextWindow }),
    ...(reasoning !== undefined && { reasoning }),
    ...(input && { input }),
  };
}

async function serverOf(ctx: PluginContext<ServerConfig>): Promise<Server> {
  const { baseUrl, apiKey } = ctx.config;
  if (!baseUrl) throw new RclawError("CONFIG_INVALID", `${id} has no server; set ${place}.baseUrl`);
  // Caged, this is a handle: the key itself is put in by egress, towards this server alone.
  const key = apiKey === undefined ? undefined : await ctx.secrets.resolve(apiKey);
  return openServer({ id, place, baseUrl, key, config: ctx.config, fetch: ctx.fetch });
}

async function listModels(server: Server, signal: AbortSignal): Promise<readonly ModelInfo[]> {
  const late = new AbortController();
  const onAbort = (): void => late.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(onAbort, listMs);
  try {
    const response = await server.ask("/models", {}, late.signal);
    const { data } = (await response.json()) as { data?: readonly { id?: unknown }[] };
    return (data ?? []).flatMap(({ id: model }) =>
      typeof model === "string" ? [{ id: model, name: model }] : [],
    );
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
