import { APIConnectionError, APIError, APIUserAbortError } from "openai";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { Endpoint } from "./endpoint.ts";

/** Whatever the SDK throws, as an error that says what to do next and never holds the key. */
export function toRclawError(error: unknown, endpoint: Endpoint): RclawError {
  const { provider, baseUrl } = endpoint;
  if (isRclawError(error)) return error;
  if (error instanceof APIUserAbortError)
    return new RclawError("ABORTED", `the request to ${provider} was stopped`);
  // The guarded fetch refuses with its own words, which say more than "connection error".
  const cause = (error as { cause?: unknown } | undefined)?.cause;
  if (isRclawError(cause)) return cause;
  if (error instanceof APIConnectionError)
    return unavailable(provider, `could not be reached at ${new URL(baseUrl).host}`, error);
  if (!(error instanceof APIError))
    return unavailable(provider, "broke off its answer or sent something unreadable", error);
  return fromStatus(error, endpoint);
}

function fromStatus(error: APIError, { provider, apiKey, keyHint }: Endpoint): RclawError {
  // Inside a stream an error has a code or type but no status.
  const status =
    error.status ?? (error.code === "rate_limit_exceeded" || error.type === "rate_limit_error" ? 429 : 500);
  const said = bodyMessage(error).replaceAll(apiKey, "[redacted]").slice(0, 300);
  const words = said === "" ? "" : `: ${said}`;
  if (status === 429 && error.code === "insufficient_quota") {
    return new RclawError(
      "UNAUTHORIZED",
      `${provider} says the account's quota is used up; check its billing`,
      { details: { status } },
    );
  }
  const retryAfterMs = retryAfter(error.headers);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (status === 429) {
    return new RclawError("RATE_LIMITED", `${provider} is limiting requests (429)${words}`, {
      cause: error,
      retryable: true,
      details,
    });
  }
  if (status === 401 || status === 403) {
    return new RclawError("UNAUTHORIZED", `${provider} refused the API key (${status}); ${keyHint}`, {
      details: { status },
    });
  }
  if (status === 408 || status === 409 || status >= 500) {
    return new RclawError("UNAVAILABLE", `${provider} is overloaded or failing (${status})${words}`, {
      cause: error,
      retryable: true,
      details,
    });
  }
  return new RclawError("INVALID_REQUEST", `${provider} refused the request (${status})${words}`, {
    cause: error,
    details: { status },
  });
}

function bodyMessage({ error }: APIError): string {
  const { message } = (error ?? {}) as { message?: unknown };
  return typeof message === "string" ? message : "";
}

function unavailable(provider: string, what: string, cause: unknown): RclawError {
  return new RclawError("UNAVAILABLE", `${provider} ${what}`, { cause, retryable: true });
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
