import { APIConnectionError, APIError, APIUserAbortError } from "openai";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { retryAfter, sayable, tryAgain } from "@rclaw/plugin-sdk/refusals";
import type { Endpoint } from "./endpoint.ts";

/**
 * Whatever the SDK throws, as one sentence: who, what, and what to do next. It begins
 * with the provider's id, in whose place the agent puts the model's whole name.
 */
export function toRclawError(error: unknown, endpoint: Endpoint): RclawError {
  const { provider, baseUrl } = endpoint;
  if (isRclawError(error)) return withName(error, provider, ["broke off its answer", "ask again"]);
  if (error instanceof APIUserAbortError)
    return new RclawError("ABORTED", `the request to ${provider} was stopped`);
  const cause = (error as { cause?: unknown } | undefined)?.cause;
  const unreached = `could not be reached at ${new URL(baseUrl).host}`;
  const next = "check the network and models.providers.openai.baseUrl";
  // The guarded fetch refuses with its own words, which say more than "connection error".
  if (isRclawError(cause)) return withName(cause, provider, [unreached, next]);
  if (error instanceof APIConnectionError) return unavailable(`${provider} ${unreached}; ${next}`, error);
  if (!(error instanceof APIError))
    return unavailable(`${provider} broke off its answer or sent something unreadable; ask again`, error);
  return fromStatus(error, endpoint);
}

/** An error of the guarded fetch speaks of a host; whoever reads it knows a model, and wants to know what to do. */
function withName(
  error: RclawError,
  provider: string,
  [what, next]: readonly [what: string, next: string],
): RclawError {
  if (error.message.startsWith(provider)) return error;
  const { code, message, retryable, details } = error;
  const reason = /\(([A-Z_]+)\)$/.exec(message)?.[1];
  const said = code === "UNAVAILABLE" && reason ? ` ${what} (${reason})` : `: ${message}`;
  const advice = code === "UNAVAILABLE" || code === "TIMEOUT" ? `; ${next}` : "";
  return new RclawError(code, `${provider}${said}${advice}`, {
    cause: error,
    retryable,
    ...(details && { details }),
  });
}

function fromStatus(error: APIError, endpoint: Endpoint): RclawError {
  const { provider, apiKey, keyHint } = endpoint;
  const said = bodyMessage(error).replaceAll(apiKey, "[redacted]").slice(0, 300);
  return failure(
    {
      // Inside a stream an error has a code or type but no status.
      status: error.status,
      code: error.code ?? error.type,
      said,
      retryAfterMs: retryAfter(error.headers),
      cause: error,
    },
    { provider, keyHint },
  );
}

export interface Refusal {
  readonly status: number | undefined;
  readonly code: string | null | undefined;
  readonly said: string;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

const tooLong =
  /context[ _](?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|input (?:is )?too long|exceeds? the (?:available|model'?s) context/i;

/** One refusal, from an answer's status or from within a stream. */
export function failure(
  { status: given, code, said, retryAfterMs, cause }: Refusal,
  { provider, keyHint }: Pick<Endpoint, "provider" | "keyHint">,
): RclawError {
  const status = given ?? statusOfCode[code ?? ""] ?? 500;
  const number = given === undefined ? "" : ` (${status})`;
  const words = sayable(said);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (code === "context_length_exceeded" || (status !== 429 && tooLong.test(said))) {
    const message = `${provider} cannot read a conversation this long; start a new one with /new`;
    return new RclawError("INVALID_REQUEST", message, {
      cause,
      details: { ...details, kind: "context_length" },
    });
  }
  if (code === "insufficient_quota" || status === 402) {
    const message = `${provider} says the account's quota is used up${number}; check its billing`;
    return new RclawError("UNAUTHORIZED", message, { details });
  }
  if (status === 429) {
    const message = `${provider} is limiting requests${number}${words}; ${tryAgain(retryAfterMs)}`;
    return new RclawError("RATE_LIMITED", message, { cause, retryable: true, details });
  }
  if (status === 401)
    return new RclawError("UNAUTHORIZED", `${provider} refused the API key${number}; ${keyHint}`, {
      details,
    });
  if (status === 403) {
    const message = `${provider} does not allow this with the API key${number}${words}; choose another model, or check the key's rights`;
    return new RclawError("UNAUTHORIZED", message, { details });
  }
  if (status === 503 || status === 529)
    return unavailable(`${provider} is overloaded${number}; ${tryAgain(retryAfterMs)}`, cause, details);
  if (status === 408 || status === 409 || status >= 500)
    return unavailable(`${provider} failed${number}${words}; ${tryAgain(retryAfterMs)}`, cause, details);
  const next =
    code === "model_not_found" || status === 404
      ? "; choose another model, or check its name"
      : "; if it stays like that, start a new session with /new";
  return new RclawError("INVALID_REQUEST", `${provider} refused the request${number}${words}${next}`, {
    cause,
    details,
  });
}

const statusOfCode: Readonly<Record<string, number>> = {
  rate_limit_exceeded: 429,
  rate_limit_error: 429,
  invalid_prompt: 400,
  invalid_request_error: 400,
  overloaded_error: 503,
  server_overloaded: 503,
  slow_down: 503,
};

function bodyMessage({ error }: APIError): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === "string" ? message : "";
}

function unavailable(
  message: string,
  cause: unknown,
  details?: Readonly<Record<string, unknown>>,
): RclawError {
  return new RclawError("UNAVAILABLE", message, { cause, retryable: true, ...(details && { details }) });
}
