import {
  definePlugin,
  isRclawError,
  type ModelInfo,
  type PluginContext,
  type Provider,
  RclawError,
} from "@rclaw/plugin-sdk";
import { listModels, type Server, type ServerConfig, serverOf, type ServersConfig } from "./server.ts";

const local = "http://127.0.0.1:11434";
/** Somebody waits for the first answer while this is asked; a local server needs a few milliseconds, a busy small machine more. */
const readyMs = 1_000;
const listMs = 3_000;

/**
 * Ollama, found by itself on this machine, and every other server of `models.providers`
 * that speaks OpenAI's chat completions.
 */
export default definePlugin<ServersConfig>({
  activate(context) {
    context.providers.register(ollama(context));
    context.providers.register(compatible(context));
  },
});

function ollama(context: PluginContext<ServersConfig>): Provider {
  const config = context.config["ollama"] ?? {};
  const server = serverOf(context, {
    provider: "ollama",
    name: "ollama",
    config: { ...config, baseUrl: withVersion(config.baseUrl ?? local) },
  });
  return {
    id: "ollama",
    async ready(signal) {
      const none = { ok: false, defaultModel: config.defaultModel ?? "", rank: 30 };
      let models: readonly ModelInfo[];
      try {
        models = await listModels(server, signal, readyMs);
      } catch {
        return {
          ...none,
          reason: `ollama does not answer at ${server.baseUrl}; start it with: ollama serve`,
        };
      }
      const model = config.defaultModel ?? models[0]?.id;
      if (model === undefined)
        return { ...none, reason: "ollama runs but has no model; get one with: ollama pull llama3.2" };
      return { ok: true, reason: `ollama at ${server.baseUrl}`, defaultModel: model, rank: 30 };
    },
    models: (signal) => listModels(server, signal, listMs),
    async *stream(request, signal) {
      const { streamChat } = await import("./client.ts");
      yield* streamChat(request, signal, server);
    },
  };
}

/** Its models are called `<name in the configuration>/<model>`. */
function compatible(context: PluginContext<ServersConfig>): Provider {
  const others = new Set(context.providers.ids().filter((id) => id !== "compatible"));
  const servers = new Map(
    Object.entries(context.config).flatMap(([name, config]) =>
      config.baseUrl && !others.has(name)
        ? [[name, { name, config: { ...config, baseUrl: config.baseUrl } }] as const]
        : [],
    ),
  );
  const usable = [...servers.values()].filter(({ config }) => speaksCompletions(config));
  const server = ({ name, config }: (typeof usable)[number]): Server =>
    serverOf(context, { provider: "compatible", name, config });

  function find(ref: string): { server: Server; model: string } {
    const slash = ref.indexOf("/");
    const [name, model] = slash === -1 ? [ref, ""] : [ref.slice(0, slash), ref.slice(slash + 1)];
    const found = servers.get(name);
    if (!found) throw refused(`there is no server "${name}"; add models.providers.${name}.baseUrl`);
    if (!speaksCompletions(found.config))
      throw refused(
        `models.providers.${name}.api is "${found.config.api}", which is not spoken here; only "openai-completions" is`,
      );
    return { server: server(found), model };
  }

  return {
    id: "compatible",
    ready() {
      const [first] = usable.flatMap(({ name, config }) => {
        const model = config.defaultModel ?? config.models?.[0]?.id;
        return model === undefined ? [] : [{ name, model }];
      });
      const state = first
        ? { ok: true, reason: `models.providers.${first.name}`, defaultModel: `${first.name}/${first.model}` }
        : { ok: false, reason: "no server of models.providers names a model", defaultModel: "" };
      return Promise.resolve({ ...state, rank: 25 });
    },
    async models(signal) {
      const lists = await Promise.all(
        usable.map(async ({ name, config }) => {
          const models = await listModels(server({ name, config }), signal, listMs).catch(
            (error: unknown) => {
              if (!isRclawError(error)) throw error;
              return (config.models ?? []).map(({ id }) => ({ id, name: id }));
            },
          );
          return models.map((model) => ({ ...model, id: `${name}/${model.id}` }));
        }),
      );
      return lists.flat();
    },
    async *stream(request, signal) {
      const { server: asked, model } = find(request.model);
      const { streamChat } = await import("./client.ts");
      yield* streamChat({ ...request, model }, signal, asked);
    },
  };
}

/** OpenClaw's word for Ollama's own API; Ollama speaks both. */
function speaksCompletions({ api = "openai-completions" }: ServerConfig): boolean {
  return api === "openai-completions";
}

function refused(message: string): RclawError {
  return new RclawError("INVALID_REQUEST", `compatible: ${message}`);
}

/** People write the address with and without /v1. */
function withVersion(url: string): string {
  const base = url.replace(/\/+$/, "");
  return /\/v\d+$/.test(base) ? base : `${base}/v1`;
}
