import { isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";

export interface Api {
  readonly socketUrl: string;
  readonly token: string;
  /** Throws with the code that says whether a later try may help. */
  ask<Answer>(method: "GET" | "POST", path: string, signal: AbortSignal, body?: object): Promise<Answer>;
}

export interface ApiOptions {
  readonly baseUrl: string;
  /** The token, or what stands for it. */
  readonly token: string;
  readonly accountId: string;
  readonly fetch: PluginContext["fetch"];
}

const limitMs = 30_000;

/** Mattermost's REST API, version 4. */
export function createApi({ baseUrl, token, accountId, ...world }: ApiOptions): Api {
  const base = `${baseUrl.replace(/\/+$/, "")}/api/v4`;
  return {
    socketUrl: `${base.replace(/^http/, "ws")}/websocket`,
    token,
    async ask<Answer>(method: string, path: string, signal: AbortSignal, body?: object): Promise<Answer> {
      const late = new AbortController();
      const onAbort = (): void => late.abort();
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort);
      const timer = setTimeout(onAbort, limitMs);
      const what = `${method} ${path.split("?")[0]}`;
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
        throw refusal(response, answer ?? {}, { what, accountId });
      } catch (error) {
        if (signal.aborted) throw new RclawError("ABORTED", `mattermost: ${what} was stopped`);
        const isOurs =
          isRclawError(error) && (error.code !== "UNAVAILABLE" || error.message.startsWith("mattermost"));
        if (isOurs && !late.signal.aborted) throw error;
        const why = late.signal.aborted ? "no answer in time" : (error as Error).message;
        throw new RclawError("UNAVAILABLE", `mattermost: ${what} failed: ${why}`, {
          cause: error,
          retryable: true,
        });
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}

function refusal(
  { status, headers }: Response,
  { message = "no reason given" }: { readonly message?: string },
  { what, accountId }: { readonly what: string; readonly accountId: string },
): RclawError {
  const said = `mattermost refused ${what}: ${message} (${status})`;
  const reset = Number(headers.get("x-ratelimit-reset") ?? headers.get("retry-after") ?? Number.NaN);
  if (status === 429)
    return new RclawError("RATE_LIMITED", said, {
      retryable: true,
      details: { status, ...(reset >= 0 && { retryAfterMs: reset * 1_000 }) },
    });
  if (status === 401)
    return new RclawError(
      "UNAUTHORIZED",
      `mattermost does not accept the token of account "${accountId}"; copy it anew from the bot account`,
      { details: { status } },
    );
  if (status === 404) return new RclawError("NOT_FOUND", said, { details: { status } });
  return new RclawError("UNAVAILABLE", said, { retryable: status >= 500, details: { status } });
}
