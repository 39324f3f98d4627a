import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
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
  const said = wordsIn(body)
    .slice(0, 300)
    .trim()
    .replace(/[.;:\s]+$/, "");
  const words = said === "" ? "" : `: ${said}`;
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  if (status !== 429 && tooLong.test(said)) {
    const message = `${provider} cannot read a conversation this long; start a new one with /new`;
    return new RclawError("INVALID_REQUEST", message, { details: { ...details, kind: "context_length" } });
  }
  if (status === 401 || status === 403)
    return new RclawError(
      "UNAUTHORIZED",
      `${provider} refused the API key (${status}); check ${place}.apiKey`,
      {
        details,
      },
    );
  if (status === 429)
    return new RclawError(
      "RATE_LIMITED",
      `${provider} is limiting requests (429)${words}; try again in a minute`,
      {
        retryable: true,
        details,
      },
    );
  if (status === 404) {
    const next = `check the name of the model, "${model}", and ${place}.baseUrl`;
    return new RclawError("INVALID_REQUEST", `${provider} does not know it (404)${words}; ${next}`, {
      details,
    });
  }
  if (status === 408 || status === 409 || status >= 500) {
    const what = status === 503 || status === 529 ? "is overloaded" : "failed";
    return new RclawError("UNAVAILABLE", `${provider} ${what} (${status})${words}; try again in a minute`, {
      retryable: true,
      details,
    });
  }
  return new RclawError("INVALID_REQUEST", `${provider} refused the request (${status})${words}`, {
    details,
  });
}

export function broken({ provider }: Pick<Server, "provider">, cause?: unknown): RclawError {
  const message = `${provider} broke off its answer or sent something unreadable; ask again`;
  return new RclawError("UNAVAILABLE", message, { cause, retryable: true });
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
    (word) => typeof word === "string" && /^E[A-Z]+$/.test(word),
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
