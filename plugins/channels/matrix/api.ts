import { isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";

export interface Api {
  /** Throws with the code that says whether a later try may help. */
  ask<Answer>(method: "GET" | "POST" | "PUT", path: string, options: AskOptions): Promise<Answer>;
}

interface AskOptions {
  readonly signal: AbortSignal;
  readonly body?: object;
  /** Milliseconds; the server may keep a request open for some of them. */
  readonly timeoutMs?: number;
}

export interface ApiOptions {
  readonly homeserver: string;
  /** The token, or what stands for it. */
  readonly token: string;
  readonly accountId: string;
  readonly fetch: PluginContext["fetch"];
}

const usualMs = 30_000;

/** Matrix's client-server API. */
export function createApi({ homeserver, token, accountId, ...world }: ApiOptions): Api {
  const base = `${homeserver.replace(/\/+$/, "")}/_matrix/client/v3`;
  return {
    async ask<Answer>(
      method: string,
      path: string,
      { signal, body, timeoutMs = usualMs }: AskOptions,
    ): Promise<Answer> {
      const late = new AbortController();
      const onAbort = (): void => late.abort();
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort);
      const timer = setTimeout(onAbort, timeoutMs);
      try {
        const response = await world.fetch(`${base}${path}`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            ...(body && { "content-type": "application/json" }),
          },
          ...(body && { body: JSON.stringify(body) }),
          signal: late.signal,
        });
        const answer: unknown = await response.json().catch(() => undefined);
        if (response.ok && typeof answer === "object" && answer !== null) return answer as Answer;
        throw refusal(response.status, answer ?? {}, accountId);
      } catch (error) {
        throw explained(error, {
          what: `${method} ${path.split("?")[0]}`,
          isStopped: signal.aborted,
          isLate: late.signal.aborted,
        });
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

function explained(
  error: unknown,
  { what, isStopped, isLate }: { what: string; isStopped: boolean; isLate: boolean },
): RclawError {
  if (isStopped) return new RclawError("ABORTED", `matrix: ${what} was stopped`);
  if (isRclawError(error) && !isLate && error.code !== "UNAVAILABLE") return error;
  if (isRclawError(error) && error.message.startsWith("matrix")) return error;
  const why = isLate ? "no answer in time" : error instanceof Error ? error.message : String(error);
  // Every message has a transaction id, so that one sent twice arrives once.
  return new RclawError("UNAVAILABLE", `matrix: ${what} failed: ${why}`, { cause: error, retryable: true });
}

interface Refusal {
  readonly errcode?: string;
  readonly error?: string;
  readonly retry_after_ms?: number;
}

function refusal(
  status: number,
  { errcode = "", error = "", retry_after_ms }: Refusal,
  accountId: string,
): RclawError {
  const said = `matrix refused it: ${error || "no reason given"} (${errcode || status})`;
  const details = { status, errcode, ...(retry_after_ms !== undefined && { retryAfterMs: retry_after_ms }) };
  if (status === 429 || errcode === "M_LIMIT_EXCEEDED")
    return new RclawError("RATE_LIMITED", said, { retryable: true, details });
  if (status === 401)
    return new RclawError(
      "UNAUTHORIZED",
      `matrix does not accept the access token of account "${accountId}"; log in anew and set it again`,
      { details },
    );
  if (status === 404) return new RclawError("NOT_FOUND", said, { details });
  if (status >= 500) return new RclawError("UNAVAILABLE", said, { retryable: true, details });
  return new RclawError("UNAVAILABLE", said, { details });
}
