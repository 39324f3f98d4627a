/**
 * Every code an rclaw error may carry. A code is stable: people search for it,
 * clients branch on it. `docs/errors.md` has a paragraph for each.
 */
export const errorCodes = [
  "INVALID_REQUEST",
  "UNAUTHORIZED",
  "NOT_FOUND",
  "CONFLICT",
  "UNAVAILABLE",
  "ABORTED",
  "TIMEOUT",
  "TOO_LARGE",
  "RATE_LIMITED",
  "POLICY_DENIED",
  "PERMISSION_DENIED",
  "EGRESS_DENIED",
  "PATH_OUTSIDE_WORKSPACE",
  "NOT_REGULAR_FILE",
  "SANDBOX_UNAVAILABLE",
  "PLUGIN_FAILED",
  "ARTEFACT_REFUSED",
  "MANIFEST_INVALID",
  "CONFIG_INVALID",
  "STORE_DEGRADED",
  "GATEWAY_LOCKED",
  "PORT_IN_USE",
  "GATEWAY_UNREACHABLE",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export interface RclawErrorOptions {
  /** What led to this. Logged on the near side; it never crosses a plugin boundary. */
  readonly cause?: unknown;
  /** The same call may succeed later. Default false. */
  readonly retryable?: boolean;
  /**
   * Plain data for programs: the plugin, tool, session or file concerned. Never a secret. A member `payload`
   * stands beside the error in the answer to a request.
   */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * The one error type of rclaw. The message says what happened, to which plugin,
 * tool, session or file, and what to do next. A plugin may carry its own copy of
 * this package, so recognise it with `isRclawError`, never with `instanceof`.
 */
export class RclawError extends Error {
  override readonly name = "RclawError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    { cause, retryable = false, details }: RclawErrorOptions = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.details = details;
  }
}

/** Recognises an `RclawError` by shape, whichever copy of this package made it. */
export function isRclawError(error: unknown): error is RclawError {
  return (
    error instanceof Error &&
    error.name === "RclawError" &&
    (errorCodes as readonly unknown[]).includes((error as { code?: unknown }).code)
  );
}
