import { isRclawError, type ModelInfo, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { unreachable } from "./errors.ts";

interface ConfiguredModel extends Partial<ModelInfo> {
  readonly id: string;
  readonly maxTokens?: number;
  readonly compat?: { readonly supportsUsageInStreaming?: boolean; readonly maxTokensField?: string };
}

/** One entry of `models.providers`, as OpenClaw's configuration has them. */
export interface ServerConfig {
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly api?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly defaultModel?: string;
  readonly models?: readonly ConfiguredModel[];
}

export type ServersConfig = Readonly<Record<string, ServerConfig>>;

/** A server that speaks OpenAI's chat completions. */
export interface Server {
  /** The id of the provider that asks: what error messages begin with. */
  readonly provider: string;
  /** Where it is configured, for error messages. */
  readonly place: string;
  readonly baseUrl: string;
  readonly config: ServerConfig;
  readonly fetch: typeof fetch;
  key(): Promise<string | undefined>;
}

export function serverOf(
  { fetch: guarded, secrets }: PluginContext<ServersConfig>,
  { provider, name, config }: { provider: string; name: string; config: ServerConfig & { baseUrl: string } },
): Server {
  const place = `models.providers.${name}`;
  return {
    provider,
    place,
    baseUrl: config.baseUrl.replace(/\/+$/, ""),
    config,
    fetch: guarded,
    async key() {
      if (!config.apiKey) return undefined;
      try {
        return await secrets.resolve(config.apiKey);
      } catch (error) {
        throw new RclawError(
          "UNAUTHORIZED",
          `${provider}: the secret that ${place}.apiKey names cannot be read`,
          {
            cause: error,
          },
        );
      }
    },
  };
}

export async function headersOf({ config, key }: Server): Promise<Record<string, string>> {
  const secret = await key();
  return { ...config.headers, ...(secret !== undefined && { authorization: `Bearer ${secret}` }) };
}

/** What the configuration says of its models, and what the server itself lists. */
export async function listModels(
  server: Server,
  signal: AbortSignal,
  limitMs: number,
): Promise<readonly ModelInfo[]> {
  const configured = (server.config.models ?? []).map(
    ({ maxTokens: _maxTokens, compat: _compat, ...model }) => ({ name: model.id, ...model }),
  );
  const listed = await ask(server, signal, limitMs);
  return [...configured, ...listed.filter(({ id }) => !configured.some((model) => model.id === id))];
}

async function ask(server: Server, signal: AbortSignal, limitMs: number): Promise<readonly ModelInfo[]> {
  const { baseUrl, provider } = server;
  // Not `AbortSignal.any`: on Node 20 it keeps every signal it ever made.
  const limit = new AbortController();
  const onAbort = (): void => limit.abort();
  const timer = setTimeout(onAbort, limitMs).unref();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const options = { headers: await headersOf(server), signal: limit.signal };
    const response = await server.fetch(`${baseUrl}/models`, options);
    if (!response.ok)
      throw new RclawError("UNAVAILABLE", `${provider} at ${baseUrl} answered ${response.status}`, {
        retryable: true,
      });
    return idsIn(await response.json()).map((id) => ({ id, name: id }));
  } catch (error) {
    throw isRclawError(error) ? error : unreachable(server, error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/** Models that only turn text into vectors cannot talk. */
function idsIn(body: unknown): readonly string[] {
  const { data } = (body ?? {}) as { data?: unknown };
  if (!Array.isArray(data)) return [];
  return data.flatMap((item: { id?: unknown } | null) =>
    typeof item?.id === "string" && !/embed/i.test(item.id) ? [item.id] : [],
  );
}
