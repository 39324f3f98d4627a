import { APIConnectionError, APIError, APIUserAbortError } from "@anthropic-ai/sdk";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { retryAfter, sayable, tryAgain } from "@rclaw/plugin-sdk/refusals";

/**
 * Whatever the SDK throws, as one sentence: who, what, and what to do next. It begins
 * with the provider's id, in whose place the agent puts the model's whole name.
 */
export function toRclawError(error: unknown, apiKey: string): RclawError {
  if (isRclawError(error)) return withName(error, "broke off its answer", "ask again");
  if (error instanceof APIUserAbortError)
    return new RclawError("ABORTED", "the request to anthropic was stopped");
  const cause = (error as { cause?: unknown } | undefined)?.cause;
  const next = "check the network and models.providers.anthropic.baseUrl";
  // The guarded fetch refuses with its own words, which say more than "connection error".
  if (isRclawError(cause)) return withName(cause, "could not be reached", next);
  if (error instanceof APIConnectionError) return unavailable(`could not be reached; ${next}`, error);
  if (!(error instanceof APIError))
    return unavailable("broke off its answer or sent something unreadable; ask again", error);
  return fromStatus(error, apiKey);
}

/** An error of the guarded fetch speaks of a host; whoever reads it knows a model, and wants to know what to do. */
function withName(error: RclawError, what: string, next: string): RclawError {
  if (error.message.startsWith("anthropic")) return error;
  const { code, message, retryable, details } = error;
  const reason = /\(([A-Z_]+)\)$/.exec(message)?.[1];
  const said = code === "UNAVAILABLE" && reason ? ` ${what} (${reason})` : `: ${message}`;
  const advice = code === "UNAVAILABLE" || code === "TIMEOUT" ? `; ${next}` : "";
  return new RclawError(code, `anthropic${said}${advice}`, {
    cause: error,
    retryable,
    ...(details && { details }),
  });
}

function fromStatus(error: APIError, apiKey: string): RclawError {
  const status = error.status ?? statusOfType[error.type ?? ""] ?? 500;
  const said = (error.apiMessage ?? "").replaceAll(apiKey, "[redacted]").slice(0, 300);
  const words = sayable(said);
  const retryAfterMs = retryAfter(error.headers);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (status === 413 || (status === 400 && tooLong.test(said))) {
    const message = "anthropic cannot read a conversation this long; start a new one with /new";
    return new RclawError("INVALID_REQUEST", message, {
      cause: error,
      details: { ...details, kind: "context_length" },
    });
  }
  if (status === 429) {
    const message = `anthropic is limiting requests (429)${words}; ${tryAgain(retryAfterMs)}`;
    return new RclawError("RATE_LIMITED", message, { cause: error, retryable: true, details });
  }
  if (status === 401) {
    return new RclawError(
      "UNAUTHORIZED",
      "anthropic refused the API key (401); check ANTHROPIC_API_KEY or run: rclaw plugin add anthropic",
      { details },
    );
  }
  if (status === 403) {
    const message = `anthropic does not allow this with the API key (403)${words}; choose another model, or check the key's rights`;
    return new RclawError("UNAUTHORIZED", message, { details });
  }
  if (status === 402)
    return new RclawError("UNAUTHORIZED", "anthropic wants payment (402); check the account's credit", {
      details,
    });
  if (status === 503 || status === 529)
    return unavailable(`is overloaded (${status}); ${tryAgain(retryAfterMs)}`, error, details);
  if (status === 408 || status === 409 || status >= 500)
    return unavailable(`failed (${status})${words}; ${tryAgain(retryAfterMs)}`, error, details);
  const next =
    status === 404
      ? "; choose another model, or check its name"
      : "; if it stays like that, start a new session with /new";
  return new RclawError("INVALID_REQUEST", `anthropic refused the request (${status})${words}${next}`, {
    cause: error,
    details,
  });
}

const tooLong =
  /prompt is too long|context (?:limit|window|length)|too many (?:input )?tokens|input is too long/i;
/** An error inside a stream has a type but no status. */
const statusOfType: Readonly<Record<string, number>> = {
  rate_limit_error: 429,
  authentication_error: 401,
  permission_error: 403,
  billing_error: 402,
  invalid_request_error: 400,
  not_found_error: 404,
  request_too_large: 413,
  overloaded_error: 529,
};

function unavailable(what: string, cause: unknown, details?: Readonly<Record<string, unknown>>): RclawError {
  return new RclawError("UNAVAILABLE", `anthropic ${what}`, {
    cause,
    retryable: true,
    ...(details && { details }),
  });
}
