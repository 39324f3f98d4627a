import { type ErrorCode, isRclawError } from "@rclaw/plugin-sdk";

/** The gateway protocol's error shape. */
export interface ProtocolError {
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
  /** Stands beside the error in the answer: a run that failed tells which one it was. */
  readonly payload?: unknown;
}

/**
 * OpenClaw's clients know two codes that matter: the caller's fault, or not.
 * Ours travels in `details.code`, unless the details already carry one of the protocol's.
 */
const callersFault = new Set<ErrorCode>([
  "INVALID_REQUEST",
  "UNAUTHORIZED",
  "NOT_FOUND",
  "CONFLICT",
  "TOO_LARGE",
  "POLICY_DENIED",
  "PERMISSION_DENIED",
  "EGRESS_DENIED",
  "PATH_OUTSIDE_WORKSPACE",
  "NOT_REGULAR_FILE",
  "MANIFEST_INVALID",
  "CONFIG_INVALID",
]);

export function toProtocolError(error: unknown): ProtocolError {
  if (!isRclawError(error)) {
    // The message may hold paths or tokens; the log has it in full.
    return { code: "UNAVAILABLE", message: "internal error; see the gateway's log" };
  }
  const { retryAfterMs, payload, ...details } = error.details ?? {};
  const plain = error.code === "INVALID_REQUEST" || error.code === "UNAVAILABLE";
  const shown = plain || "code" in details ? details : { code: error.code, ...details };
  return {
    code: callersFault.has(error.code) ? "INVALID_REQUEST" : "UNAVAILABLE",
    message: error.message,
    ...(Object.keys(shown).length > 0 && { details: shown }),
    ...(error.retryable && { retryable: true }),
    ...(typeof retryAfterMs === "number" && { retryAfterMs }),
    ...(payload !== undefined && { payload }),
  };
}
