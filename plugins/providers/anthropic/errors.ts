import { APIConnectionError, APIError, APIUserAbortError } from "@anthropic-ai/sdk";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";

/** Whatever the SDK throws, as an error that says what to do next and never holds the key. */
export function toRclawError(error: unknown, apiKey: string): RclawError {
  if (isRclawError(error)) return error;
  if (error instanceof APIUserAbortError)
    return new RclawError("ABORTED", "the request to anthropic was stopped");
  const cause = isRclawError((error as { cause?: unknown }).cause)
    ? (error as { cause: RclawError }).cause
    : undefined;
  // The guarded fetch refuses with its own words, which say more than "connection error".
  if (cause) return cause;
  if (error instanceof APIConnectionError)
    return unavailable(
      "could not be reached; check the network and models.providers.anthropic.baseUrl",
      error,
    );
  if (!(error instanceof APIError))
    return unavailable("broke off its answer or sent something unreadable", error);
  return fromStatus(error, apiKey);
}

function fromStatus(error: APIError, apiKey: string): RclawError {
  const status = error.status ?? statusOfType[error.type ?? ""] ?? 500;
  const said = (error.apiMessage ?? "").replaceAll(apiKey, "[redacted]").slice(0, 300);
  const words = said === "" ? "" : `: ${said}`;
  if (status === 429) {
    const retryAfterMs = retryAfter(error.headers);
    return new RclawError("RATE_LIMITED", `anthropic is limiting requests (429)${words}`, {
      cause: error,
      retryable: true,
      details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  }
  if (status === 401 || status === 403) {
    return new RclawError(
      "UNAUTHORIZED",
      `anthropic refused the API key (${status}); check ANTHROPIC_API_KEY or run: rclaw plugin add anthropic`,
      { details: { status } },
    );
  }
  if (status === 402)
    return new RclawError("UNAUTHORIZED", "anthropic wants payment (402); check the account's credit", {
      details: { status },
    });
  if (status === 408 || status === 409 || status >= 500)
    return unavailable(
      `is overloaded or failing (${status})${words}`,
      error,
      status,
      retryAfter(error.headers),
    );
  return new RclawError("INVALID_REQUEST", `anthropic refused the request (${status})${words}`, {
    cause: error,
    details: { status },
  });
}

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

function unavailable(what: string, cause: unknown, status?: number, retryAfterMs?: number): RclawError {
  return new RclawError("UNAVAILABLE", `anthropic ${what}`, {
    cause,
    retryable: true,
    ...(status !== undefined && { details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) } }),
  });
}

function retryAfter(headers: Headers | undefined): number | undefined {
  const ms = Number(headers?.get("retry-after-ms") ?? Number.NaN);
  if (ms >= 0) return ms;
  const value = headers?.get("retry-after");
  if (!value) return undefined;
  const seconds = Number(value);
  if (seconds >= 0) return seconds * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
