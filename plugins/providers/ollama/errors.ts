import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { sayable, tryAgain } from "@rclaw/plugin-sdk/refusals";
import type { Server } from "./server.ts";

const tooLong =
  /context[ _](?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|input (?:is )?too long|exceeds? the (?:available|model'?s) context/i;

/**
 * A refusal as one sentence: who, what, and what to do next. It begins with the
 * provider's id, in whose place the agent puts the model's whole name.
 */
export function refusal(
  status: number,
  body: string,
  { server, model, retryAfterMs }: { server: Server; model: string; retryAfterMs?: number | undefined },
): RclawError {
  const { provider, place } = server;
  const said = wordsIn(body).slice(0, 300).trim();
  const words = sayable(said);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (status !== 429 && tooLong.test(said)) {
    const message = `${provider} cannot read a conversation this long; start a new one with /new`;
    return new RclawError("INVALID_REQUEST", message, { details: { ...details, kind: "context_length" } });
  }
  if (status === 401 || status === 403) {
    const message = `${provider} refused the API key (${status})${words}; check ${place}.apiKey`;
    return new RclawError("UNAUTHORIZED", message, { details });
  }
  if (status === 429) {
    const message = `${provider} is limiting requests (429)${words}; ${tryAgain(retryAfterMs)}`;
    return new RclawError("RATE_LIMITED", message, { retryable: true, details });
  }
  if (status === 404) {
    const next = `check the name of the model, "${model}", and ${place}.baseUrl`;
    return new RclawError("INVALID_REQUEST", `${provider} does not know it (404)${words}; ${next}`, {
      details,
    });
  }
  if (status === 408 || status === 409 || status >= 500) {
    const what = status === 503 || status === 529 ? "is overloaded" : "failed";
    const message = `${provider} ${what} (${status})${words}; ${tryAgain(retryAfterMs)}`;
    return new RclawError("UNAVAILABLE", message, { retryable: true, details });
  }
  const next = "if it stays like that, start a new session with /new";
  return new RclawError("INVALID_REQUEST", `${provider} refused the request (${status})${words}; ${next}`, {
    details,
  });
}

export function broken({ provider }: Pick<Server, "provider">, cause?: unknown): RclawError {
  const message = `${provider} broke off its answer or sent something unreadable; ask again`;
  return new RclawError("UNAVAILABLE", message, { cause, retryable: true });
}

/** An error of the guarded fetch speaks of a host; whoever reads it knows a model, and wants to know what to do. */
export function withName({ provider }: Pick<Server, "provider">, error: RclawError): RclawError {
  if (error.message.startsWith(provider)) return error;
  const { code, message, retryable, details } = error;
  const reason = /\(([A-Z_]+)\)$/.exec(message)?.[1];
  const said = code === "UNAVAILABLE" && reason ? ` broke off its answer (${reason})` : `: ${message}`;
  const advice = code === "UNAVAILABLE" || code === "TIMEOUT" ? "; ask again" : "";
  return new RclawError(code, `${provider}${said}${advice}`, {
    cause: error,
    retryable,
    ...(details && { details }),
  });
}

/** A page or the like. It would be read as a stream that was cut, and asked for again in vain. */
export function noStream({ provider, place }: Server, type: string): RclawError {
  const what = type.split(";")[0];
  return new RclawError(
    "INVALID_REQUEST",
    `${provider} answered with ${what} instead of a stream; check ${place}.baseUrl, which ends in /v1 for most servers`,
  );
}

export function unreachable({ provider, baseUrl, place }: Server, cause: unknown): RclawError {
  const {
    code,
    details,
    cause: deeper,
  } = cause as {
    code?: unknown;
    details?: { reason?: unknown };
    cause?: { code?: unknown };
  };
  const reason = [details?.reason, deeper?.code, code].find(
    (word) => typeof word === "string" && /^[A-Z_]{3,}$/.test(word),
  );
  const because = typeof reason === "string" ? ` (${reason})` : "";
  return new RclawError(
    "UNAVAILABLE",
    `${provider} could not be reached at ${new URL(baseUrl).host}${because}; start it, or check ${place}.baseUrl`,
    { cause, retryable: !isRclawError(cause) || cause.retryable },
  );
}

/** OpenAI's `{ error: { message } }`, Ollama's `{ error: "..." }`, or plain text. */
function wordsIn(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as {
      error?: string | { message?: unknown };
      message?: unknown;
    };
    const said = typeof error === "object" ? error.message : (error ?? message);
    return typeof said === "string" ? said : "";
  } catch {
    return /^\s*</.test(body) ? "" : body;
  }
}
