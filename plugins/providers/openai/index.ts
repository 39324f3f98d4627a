import {
  type CompletionRequest,
  definePlugin,
  isRclawError,
  type ModelInfo,
  type PluginContext,
  type Provider,
  RclawError,
} from "@rclaw/plugin-sdk";
import type { Endpoint } from "./endpoint.ts";

interface ConfiguredModel extends Partial<ModelInfo> {
  readonly id: string;
  readonly maxTokens?: number;
}

export interface OpenAiConfig {
  readonly apiKey?: string;
  readonly baseUrl?: string;
  readonly api?: "openai-completions" | "openai-responses";
  readonly defaultModel?: string;
  readonly models?: readonly ConfiguredModel[];
}

const official = "https://api.openai.com/v1";
const defaultModel = "gpt-5.4";
const known: readonly ModelInfo[] = [
  ...[
    ["gpt-5.4", "GPT-5.4"],
    ["gpt-5.4-mini", "GPT-5.4 mini"],
    ["gpt-5.4-nano", "GPT-5.4 nano"],
    ["gpt-5.2", "GPT-5.2"],
    ["gpt-5.1", "GPT-5.1"],
    ["gpt-5", "GPT-5"],
    ["gpt-5-mini", "GPT-5 mini"],
    ["o4-mini", "o4-mini"],
  ].map(([id = "", name = ""]) => ({ id, name, reasoning: true, input: ["text", "image"] }) as const),
  ...[
    ["gpt-4.1", "GPT-4.1"],
    ["gpt-4.1-mini", "GPT-4.1 mini"],
    ["gpt-4o", "GPT-4o"],
    ["gpt-4o-mini", "GPT-4o mini"],
  ].map(([id = "", name = ""]) => ({ id, name, reasoning: false, input: ["text", "image"] }) as const),
];

/** OpenAI's API and what is compatible with it; the SDK is only loaded with the first request. */
export default definePlugin<OpenAiConfig>({
  activate(context) {
    context.providers.register(openai(context));
  },
});

function openai(context: PluginContext<OpenAiConfig>): Provider {
  const { config } = context;
  const baseUrl = config.baseUrl ?? official;
  const isOfficial = new URL(baseUrl).hostname === "api.openai.com";
  const api = config.api ?? (isOfficial ? "openai-responses" : "openai-completions");
  return {
    id: "openai",
    async ready() {
      const fallback = {
        defaultModel: config.defaultModel ?? config.models?.[0]?.id ?? defaultModel,
        rank: 20,
      };
      try {
        const { from } = await keyOf(context);
        return { ok: true, reason: `API key from ${from}`, ...fallback };
      } catch (error) {
        if (!isRclawError(error)) throw error;
        return { ok: false, reason: error.message, ...fallback };
      }
    },
    models: () => Promise.resolve(modelsOf(config.models ?? [], isOfficial)),
    async *stream(request: CompletionRequest, signal: AbortSignal) {
      const { key } = await keyOf(context);
      const { stream } = await import("./client.ts");
      const model = config.models?.find(({ id }) => id === request.model);
      const endpoint: Endpoint = {
        provider: "openai",
        api,
        baseUrl,
        apiKey: key,
        isOfficial,
        reasons: model?.reasoning ?? /^(?:gpt-5|o\d)/.test(request.model),
        maxTokens: request.maxTokens ?? model?.maxTokens,
        fetch: context.fetch,
        keyHint: "check OPENAI_API_KEY or run: rclaw plugin add openai",
      };
      yield* stream(request, signal, endpoint);
    },
  };
}

async function keyOf({
  config,
  env,
  secrets,
}: PluginContext<OpenAiConfig>): Promise<{ key: string; from: string }> {
  if (config.apiKey) {
    const from = "models.providers.openai.apiKey";
    let stored: string;
    try {
      stored = await secrets.resolve(config.apiKey);
    } catch (error) {
      throw new RclawError(
        "UNAUTHORIZED",
        "openai: the secret that models.providers.openai.apiKey names is not stored; run: rclaw plugin add openai",
        { cause: error },
      );
    }
    return { key: usable(stored, from), from };
  }
  const key = env("OPENAI_API_KEY")?.trim();
  if (key) return { key: usable(key, "OPENAI_API_KEY"), from: "OPENAI_API_KEY" };
  throw new RclawError(
    "UNAUTHORIZED",
    "openai: no API key; set OPENAI_API_KEY or run: rclaw plugin add openai",
  );
}

/** A header cannot hold more, and a key that was pasted with its line end is meant without. */
function usable(given: string, from: string): string {
  const key = given.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new RclawError(
    "UNAUTHORIZED",
    `openai: what stands in ${from} is no API key: it is empty, or holds a space, a line end or a letter that is not ASCII`,
  );
}

/** A compatible server has models of its own; OpenAI's list would only mislead. */
function modelsOf(configured: readonly ConfiguredModel[], isOfficial: boolean): readonly ModelInfo[] {
  const own = configured.map(({ maxTokens: _maxTokens, ...model }) => ({
    name: model.id,
    ...known.find(({ id }) => id === model.id),
    ...model,
  }));
  return isOfficial ? [...own, ...known.filter(({ id }) => !own.some((model) => model.id === id))] : own;
}
