import { type ModelInfo, type PluginContext, type Provider, RclawError } from "@rclaw/plugin-sdk";
import type { OpenAiConfig } from "./index.ts";

const local = "http://127.0.0.1:11434/v1";
/** Somebody waits for the first answer while this is asked; a local server needs a few milliseconds. */
const readyMs = 300;
const listMs = 3_000;

/** Models on this machine, over the OpenAI-compatible half of Ollama's API. */
export function ollama({ config, fetch: guarded }: PluginContext<OpenAiConfig>): Provider {
  const baseUrl = withVersion(config.ollama?.baseUrl ?? local);

  async function list(signal: AbortSignal, limitMs: number): Promise<readonly ModelInfo[]> {
    const response = await guarded(`${baseUrl}/models`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(limitMs)]),
    });
    if (!response.ok)
      throw new RclawError("UNAVAILABLE", `ollama at ${baseUrl} answered ${response.status}`, {
        retryable: true,
      });
    const { data } = (await response.json()) as { data?: readonly { id?: unknown }[] };
    return (data ?? []).flatMap(({ id }) =>
      typeof id === "string" && !/embed/i.test(id) ? [{ id, name: id }] : [],
    );
  }

  return {
    id: "ollama",
    async ready(signal) {
      const none = { ok: false, defaultModel: config.ollama?.defaultModel ?? "", rank: 30 };
      let models: readonly ModelInfo[];
      try {
        models = await list(signal, readyMs);
      } catch {
        return { ...none, reason: `ollama does not answer at ${baseUrl}; start it with: ollama serve` };
      }
      const model = config.ollama?.defaultModel ?? models[0]?.id;
      if (model === undefined)
        return { ...none, reason: "ollama runs but has no model; get one with: ollama pull llama3.2" };
      return { ok: true, reason: `ollama at ${baseUrl}`, defaultModel: model, rank: 30 };
    },
    models: (signal) => list(signal, listMs),
    async *stream(request, signal) {
      const { stream } = await import("./client.ts");
      yield* stream(request, signal, {
        provider: "ollama",
        api: "openai-completions",
        baseUrl,
        // It takes no key, but the SDK insists on one.
        apiKey: "ollama",
        isOfficial: false,
        reasons: false,
        maxTokens: request.maxTokens,
        fetch: guarded,
        keyHint: "check what stands in front of it",
      });
    },
  };
}

/** People write the address with and without /v1. */
function withVersion(url: string): string {
  const base = url.replace(/\/+$/, "");
  return /\/v\d+$/.test(base) ? base : `${base}/v1`;
}
