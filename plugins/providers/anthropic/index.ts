import {
  type CompletionRequest,
  definePlugin,
  isRclawError,
  type ModelInfo,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";

interface ConfiguredModel extends Partial<ModelInfo> {
  readonly id: string;
  readonly maxTokens?: number;
}

export interface AnthropicConfig {
  readonly apiKey?: string;
  readonly baseUrl?: string;
  readonly defaultModel?: string;
  readonly models?: readonly ConfiguredModel[];
}

const defaultModel = "claude-sonnet-5-5";
const known: readonly ModelInfo[] = (
  [
    ["claude-opus-5-5", "Claude Opus 5.5"],
    [defaultModel, "Claude Sonnet 5.5"],
    ["claude-haiku-5-5", "Claude Haiku 5.5"],
    ["claude-sonnet-5", "Claude Sonnet 5"],
    ["claude-opus-5", "Claude Opus 5"],
    ["claude-opus-4-6", "Claude Opus 4.6"],
    ["claude-sonnet-4-6", "Claude Sonnet 4.6"],
    ["claude-haiku-4-5", "Claude Haiku 4.5"],
  ] as const
).map(([id, name]) => ({ id, name, contextWindow: 200_000, reasoning: true, input: ["text", "image"] }));

/** Claude, over Anthropic's own SDK; the SDK is only loaded with the first request. */
export default definePlugin<AnthropicConfig>({
  activate(context) {
    const { config } = context;
    context.providers.register({
      id: "anthropic",
      async ready() {
        const fallback = {
          defaultModel: config.defaultModel ?? config.models?.[0]?.id ?? defaultModel,
          rank: 10,
        };
        try {
          const { from } = await keyOf(context);
          return { ok: true, reason: `API key from ${from}`, ...fallback };
        } catch (error) {
          if (!isRclawError(error)) throw error;
          return { ok: false, reason: error.message, ...fallback };
        }
      },
      models: () => Promise.resolve(modelsOf(config.models ?? [])),
      async *stream(request: CompletionRequest, signal: AbortSignal) {
        const { key } = await keyOf(context);
        const { streamMessages } = await import("./client.ts");
        const maxTokens = config.models?.find(({ id }) => id === request.model)?.maxTokens;
        yield* streamMessages(request, signal, {
          apiKey: key,
          baseUrl: config.baseUrl,
          fetch: context.fetch,
          ...(maxTokens !== undefined && { maxTokens }),
        });
      },
    });
  },
});

async function keyOf({
  config,
  env,
  secrets,
}: PluginContext<AnthropicConfig>): Promise<{ key: string; from: string }> {
  if (config.apiKey) {
    const from = "models.providers.anthropic.apiKey";
    let stored: string;
    try {
      stored = await secrets.resolve(config.apiKey);
    } catch (error) {
      throw new RclawError(
        "UNAUTHORIZED",
        "anthropic: the secret that models.providers.anthropic.apiKey names is not stored; run: rclaw plugin add anthropic",
        { cause: error },
      );
    }
    return { key: usable(stored, from), from };
  }
  const key = env("ANTHROPIC_API_KEY")?.trim();
  if (key) return { key: usable(key, "ANTHROPIC_API_KEY"), from: "ANTHROPIC_API_KEY" };
  throw new RclawError(
    "UNAUTHORIZED",
    "anthropic: no API key; set ANTHROPIC_API_KEY or run: rclaw plugin add anthropic",
  );
}

/** A header cannot hold more, and a key that was pasted with its line end is meant without. */
function usable(given: string, from: string): string {
  const key = given.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new RclawError(
    "UNAUTHORIZED",
    `anthropic: what stands in ${from} is no API key: it is empty, or holds a space, a line end or a letter that is not ASCII`,
  );
}

function modelsOf(configured: readonly ConfiguredModel[]): readonly ModelInfo[] {
  const own = configured.map(({ maxTokens: _maxTokens, ...model }) => ({
    name: model.id,
    ...known.find(({ id }) => id === model.id),
    ...model,
  }));
  return [...own, ...known.filter(({ id }) => !own.some((model) => model.id === id))];
}
