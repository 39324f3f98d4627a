import { isRclawError, type ModelInfo, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { refusal } from "./failures.ts";

export interface ServerConfig {
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly defaultModel?: string;
  readonly models?: readonly (Partial<ModelInfo> & { readonly id: string; readonly maxTokens?: number })[];
}

/** The one server of this provider, and how it is spoken to. */
export interface Server {
  readonly id: string;
  readonly config: ServerConfig;
  /** The answer, when it is not a refusal; those are thrown, in words for people. */
  ask(path: string, init: { method?: string; body?: string }, signal: AbortSignal): Promise<Response>;
  /** The key, or what stands for it, never gets into a message. */
  withoutKey(text: string): string;
}

export interface ServerOptions {
  readonly id: string;
  readonly place: string;
  readonly baseUrl: string;
  readonly key: string | undefined;
  readonly config: ServerConfig;
  readonly fetch: PluginContext["fetch"];
}

export function openServer({ id, place, baseUrl, key, config, ...world }: ServerOptions): Server {
  const base = baseUrl.replace(/\/+$/, "");
  const withoutKey = (text: string): string => (key ? text.replaceAll(key, "[redacted]") : text);
  return {
    id,
    config,
    withoutKey,
    async ask(path, init, signal) {
      const headers = {
        ...config.headers,
        ...(key && { authorization: `Bearer ${key}` }),
        ...(init.body !== undefined && { "content-type": "application/json" }),
      };
      let response: Response;
      try {
        response = await world.fetch(`${base}${path}`, { ...init, headers, signal });
      } catch (error) {
        if (signal.aborted) throw new RclawError("ABORTED", `the request to ${id} was stopped`);
        // A refusal by policy says itself what to change.
        if (isRclawError(error) && error.code !== "UNAVAILABLE") throw error;
        throw new RclawError(
          "UNAVAILABLE",
          `${id} could not be reached at ${new URL(base).host}; start it, or check ${place}.baseUrl`,
          { cause: error, retryable: true },
        );
      }
      if (response.ok) return response;
      const said = withoutKey(await response.text().catch(() => ""));
      throw refusal({ status: response.status, headers: response.headers, said }, { id, place });
    },
  };
}
