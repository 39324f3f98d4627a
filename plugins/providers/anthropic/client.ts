import { Anthropic } from "@anthropic-ai/sdk";
import { type Chunk, type CompletionRequest, RclawError } from "@rclaw/plugin-sdk";
import { toRclawError } from "./errors.ts";
import { toParams } from "./request.ts";
import { toChunks } from "./stream.ts";

export interface ClientOptions {
  readonly apiKey: string;
  readonly baseUrl: string | undefined;
  readonly fetch: typeof fetch;
  readonly maxTokens?: number;
}

/** One streamed answer of the Messages API. Asking again after a failure is the agent's business, not the SDK's. */
export async function* streamMessages(
  request: CompletionRequest,
  signal: AbortSignal,
  options: ClientOptions,
): AsyncGenerator<Chunk> {
  const { apiKey, baseUrl, maxTokens } = options;
  // The SDK leaves a listener on the signal it is given, and the caller's may live long.
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const client = new Anthropic({
      apiKey,
      // Without these the SDK would look into the environment and the home folder itself.
      authToken: null,
      baseURL: baseUrl ?? "https://api.anthropic.com",
      fetch: onlyStreams(options.fetch),
      maxRetries: 0,
      logLevel: "off",
    });
    const stream = await client.messages.create(
      { ...toParams(request, maxTokens), stream: true },
      { signal: controller.signal },
    );
    yield* toChunks(stream);
  } catch (error) {
    throw toRclawError(error, apiKey);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  // The SDK ends the stream without a word when it is aborted.
  if (signal.aborted) throw new RclawError("ABORTED", "the request to anthropic was stopped");
}

/** What is no stream would be read as one that was cut, and asked for again in vain. */
function onlyStreams(guarded: typeof fetch): typeof fetch {
  return async (...request) => {
    const response = await guarded(...request);
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !/^(?:text\/html|application\/(?:json|xml|xhtml))/i.test(type)) return response;
    throw new RclawError(
      "INVALID_REQUEST",
      `anthropic answered with ${type.split(";")[0]} instead of a stream; check models.providers.anthropic.baseUrl`,
    );
  };
}
