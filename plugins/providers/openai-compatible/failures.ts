import { RclawError } from "@rclaw/plugin-sdk";
import { retryAfter, tryAgain } from "@rclaw/plugin-sdk/refusals";

export interface Refused {
  readonly status: number;
  readonly headers?: Headers;
  readonly said: string;
}

const tooLong =
  /context[ _](?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|input (?:is )?too long/i;

/**
 * A refusal as one sentence: who, what, and what to do next. It begins with the provider's id, in whose
 * place the agent puts the model's whole name.
 */
export function refusal(
  { status, headers, said }: Refused,
  { id, place }: { readonly id: string; readonly place: string },
): RclawError {
  const words = wordsIn(said).slice(0, 300).trim();
  const quoted = words === "" ? "" : `: ${words.replace(/[.;:\s]+$/, "")}`;
  const retryAfterMs = retryAfter(headers);
  const details = { status, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  const next = tryAgain(retryAfterMs);
  if (status !== 429 && tooLong.test(words))
    return new RclawError(
      "INVALID_REQUEST",
      `${id} cannot read a conversation this long; start a new one with /new`,
      {
        details: { ...details, kind: "context_length" },
      },
    );
  if (status === 401 || status === 403)
    return new RclawError(
      "UNAUTHORIZED",
      `${id} refused the API key (${status})${quoted}; check ${place}.apiKey`,
      {
        details,
      },
    );
  if (status === 402 || /insufficient_quota/.test(said))
    return new RclawError(
      "UNAUTHORIZED",
      `${id} says the account's quota is used up (${status}); check its billing`,
      {
        details,
      },
    );
  if (status === 429)
    return new RclawError("RATE_LIMITED", `${id} is limiting requests (429)${quoted}; ${next}`, {
      retryable: true,
      details,
    });
  if (status === 408 || status === 409 || status >= 500)
    return new RclawError("UNAVAILABLE", `${id} failed (${status})${quoted}; ${next}`, {
      retryable: true,
      details,
    });
  const check =
    status === 404 ? `check the model's name and ${place}.baseUrl` : "if it stays so, start anew with /new";
  return new RclawError("INVALID_REQUEST", `${id} refused the request (${status})${quoted}; ${check}`, {
    details,
  });
}

/** The stream ended or said something before it had come to its end. */
export function broken(id: string, cause?: unknown): RclawError {
  return new RclawError("UNAVAILABLE", `${id} broke off its answer or sent something unreadable; ask again`, {
    cause,
    retryable: true,
  });
}

/** `{ error: { message } }`, `{ error: "..." }`, or plain text; not a page. */
function wordsIn(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as { error?: unknown; message?: unknown };
    const said =
      typeof error === "object" && error !== null && "message" in error ? error.message : (error ?? message);
    return typeof said === "string" ? said : "";
  } catch {
    return /^\s*</.test(body) ? "" : body;
  }
}
