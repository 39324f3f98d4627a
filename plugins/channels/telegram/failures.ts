import { isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";

type Fetch = PluginContext["fetch"];

/** What Telegram answered, read by shape: grammY's classes are only loaded with a running account. */
export interface ApiFailure {
  readonly status: number;
  readonly description: string;
  readonly retryAfterMs: number | undefined;
  readonly newChatId: number | undefined;
}

export function apiFailure(error: unknown): ApiFailure | undefined {
  if (!(error instanceof Error) || !("error_code" in error) || typeof error.error_code !== "number")
    return undefined;
  const { description, parameters } = error as {
    description?: unknown;
    parameters?: { retry_after?: number; migrate_to_chat_id?: number };
  };
  return {
    status: error.error_code,
    description: String(description),
    retryAfterMs: parameters?.retry_after === undefined ? undefined : parameters.retry_after * 1_000,
    newChatId: parameters?.migrate_to_chat_id,
  };
}

/**
 * Telegram speaks JSON, also when it refuses. What does not is in between, a proxy or a login
 * page, and is told as such: grammY would name only a character that it did not expect.
 */
export function jsonOnly(ask: Fetch): Fetch {
  return async (input, init) => {
    const response = await ask(input, init);
    const { status } = response;
    const text = await response.text();
    try {
      const answer: unknown = JSON.parse(text);
      // All that grammY reads.
      return { status, json: async () => answer } as Response;
    } catch {
      const type = response.headers.get("content-type") ?? "something";
      throw new RclawError(
        "UNAVAILABLE",
        `HTTP status ${status} with ${type.slice(0, 64)} instead of JSON; is a proxy in between?`,
        // A server in trouble is taken at its word that it did nothing, whatever it says it in.
        { retryable: true, details: { status, sent: status === 504 || (status < 500 && status !== 429) } },
      );
    }
  };
}

/** The token is wrong: no later try will help. A token that was never one makes a path Telegram does not know. */
export function isRefusedToken(error: unknown): boolean {
  const status = apiFailure(error)?.status;
  return status === 401 || status === 404;
}

/**
 * One failed call as the kernel should see it. The causes are left out on purpose: they
 * carry the request, and Telegram's URLs hold the token.
 */
export function toRclawError(error: unknown, what: string, token: string, signal?: AbortSignal): RclawError {
  if (signal?.aborted) return new RclawError("ABORTED", `telegram: ${what} was aborted`);
  const answer = apiFailure(error);
  if (answer)
    return fromAnswer(
      answer,
      redact(`telegram refused ${what}: ${answer.description} (${answer.status})`, token),
    );
  const inner: unknown = error instanceof Error && "error" in error ? error.error : error;
  if (isRclawError(inner)) {
    if (inner.code !== "UNAVAILABLE" && inner.code !== "TIMEOUT") return inner;
    return unreached(what, redact(inner.message, token), inner.details?.["sent"] !== false);
  }
  return unreached(what, redact(inner instanceof Error ? inner.message : String(inner), token), true);
}

function fromAnswer({ status, retryAfterMs }: ApiFailure, message: string): RclawError {
  if (status === 429) {
    return new RclawError("RATE_LIMITED", message, {
      retryable: true,
      details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  }
  // "Gateway timeout": what stands behind it may well have done what it was asked.
  if (status === 504)
    return new RclawError("UNAVAILABLE", `${message}${doubt}`, { details: { status, uncertain: true } });
  if (status >= 500) return new RclawError("UNAVAILABLE", message, { retryable: true, details: { status } });
  if (status === 401)
    return new RclawError("UNAUTHORIZED", `${message}; check channels.telegram.botToken`, {
      details: { status },
    });
  if (status === 400 && /chat not found/i.test(message))
    return new RclawError("NOT_FOUND", message, { details: { status } });
  return new RclawError("UNAVAILABLE", message, { details: { status } });
}

/** Telegram knows no idempotency keys: what may have arrived is not sent again, and says so. */
const doubt = "; it may have arrived, so it is not tried again";

function unreached(what: string, reason: string, sent: boolean): RclawError {
  return new RclawError("UNAVAILABLE", `telegram: ${what} failed: ${reason}${sent ? doubt : ""}`, {
    retryable: !sent,
    details: { uncertain: sent },
  });
}

export function redact(text: string, token: string): string {
  return token ? text.replaceAll(token, "[token]") : text;
}
