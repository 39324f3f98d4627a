import { OpenAI } from "openai";
import { type Chunk, type CompletionRequest, RclawError } from "@rclaw/plugin-sdk";
import { completionChunks, completionParams } from "./completions.ts";
import type { Endpoint } from "./endpoint.ts";
import { toRclawError } from "./errors.ts";
import { responseChunks, responseParams } from "./responses.ts";

/** One streamed answer. Asking again after a failure is the agent's business, not the SDK's. */
export async function* stream(
  request: CompletionRequest,
  signal: AbortSignal,
  endpoint: Endpoint,
): AsyncGenerator<Chunk> {
  const { apiKey, baseUrl, provider } = endpoint;
  // The SDK leaves a listener on the signal it is given, and the caller's may live long.
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  const options = { signal: controller.signal };
  try {
    const client = new OpenAI({
      apiKey,
      baseURL: baseUrl,
      // Without these the SDK would look into the environment itself.
      organization: null,
      project: null,
      adminAPIKey: null,
      fetch: onlyStreams(endpoint),
      maxRetries: 0,
      logLevel: "off",
    });
    if (endpoint.api === "openai-responses") {
      yield* responseChunks(
        await client.responses.create(responseParams(request, endpoint), options),
        endpoint,
      );
    } else {
      yield* completionChunks(
        await client.chat.completions.create(completionParams(request, endpoint), options),
      );
    }
  } catch (error) {
    throw toRclawError(error, endpoint);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  // The SDK ends the stream without a word when it is aborted.
  if (signal.aborted) throw new RclawError("ABORTED", `the request to ${provider} was stopped`);
}

/** What is no stream would be read as one that was cut, and asked for again in vain. */
function onlyStreams({ fetch: guarded, provider }: Endpoint): typeof fetch {
  return async (...request) => {
    const response = await guarded(...request);
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || !/^(?:text\/html|application\/(?:json|xml|xhtml))/i.test(type)) return response;
    throw new RclawError(
      "INVALID_REQUEST",
      `${provider} answered with ${type.split(";")[0]} instead of a stream; check models.providers.openai.baseUrl, which ends in /v1 for most servers`,
    );
  };
}
