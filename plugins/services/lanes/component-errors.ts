import { type ErrorCode, isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { PluginError } from "@rclaw/plugin-sdk/boundary/reactor";
import { errorCodes } from "@rclaw/plugin-sdk/errors";
import { parseGuestJson } from "./guest-json.ts";

const maxDetails = { maxBytes: 65_536, maxDepth: 16 };

/** An error of a guest, as everybody else knows errors. */
export function fromGuest({ code, message, retryable, details }: PluginError): RclawError {
  const known = (errorCodes as readonly string[]).includes(code) ? (code as ErrorCode) : "PLUGIN_FAILED";
  return new RclawError(known, message.slice(0, 4096), {
    retryable: retryable === true,
    ...(details !== undefined && { details: plainDetails(details) }),
  });
}

function plainDetails(details: string): Record<string, unknown> {
  try {
    const value = parseGuestJson(details, maxDetails);
    return typeof value === "object" && value !== null ? { ...value } : { value };
  } catch {
    return {};
  }
}

/** An error of the host, as a guest is told of it. */
export function toGuest(error: unknown): PluginError {
  if (!isRclawError(error))
    return { code: "PLUGIN_FAILED", message: "the host failed", retryable: undefined, details: undefined };
  const { code, message, retryable, details } = error;
  return { code, message, retryable, details: details && JSON.stringify(details) };
}

/** What an export threw: the error that its interface says, or undefined when the instance broke. */
export function thrownByGuest(thrown: unknown): RclawError | undefined {
  const value = (thrown as { payload?: unknown } | null)?.payload ?? thrown;
  if (value instanceof Error || typeof value !== "object" || value === null) return undefined;
  const { code, message } = value as Partial<PluginError>;
  if (typeof code !== "string" || typeof message !== "string") return undefined;
  return fromGuest(value as PluginError);
}

/** The instance trapped. */
export function crashed(id: string, thrown: unknown): RclawError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new RclawError(
    "PLUGIN_FAILED",
    `plugin "${id}" crashed in its sandbox (${why.slice(0, 200)}). It starts afresh at the next call; its author should look for an endless recursion, too much memory, or an error that is not caught`,
    { cause: thrown },
  );
}
