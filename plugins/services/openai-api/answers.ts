import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { RouteAnswer } from "@rclaw/plugin-sdk/gateway";

export interface ApiError {
  readonly message: string;
  readonly type: string;
}

/** The request cannot be done as it is; the text is for whoever made it. */
export function refused(message: string): RclawError {
  return new RclawError("INVALID_REQUEST", message);
}

export function json(status: number, body: unknown): RouteAnswer {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8" },
    body: JSON.stringify(body),
  };
}

/** Server-sent events, and the line that ends them. */
export function events(body: AsyncIterable<string>): RouteAnswer {
  return {
    status: 200,
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
    body,
  };
}

export const done = "data: [DONE]\n\n";

/** What a body holds; an empty one is an object without anything. */
export function parsed(body: Uint8Array): unknown {
  const text = Buffer.from(body).toString("utf8");
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused((error as Error).message);
  }
}

/** Status and words for a failure; undefined for one that only the log should know. */
export function told(error: unknown): { readonly status: number; readonly error: ApiError } | undefined {
  if (!isRclawError(error)) return undefined;
  const message = error.message.replace(/^invalid agent params: /, "");
  const agent = /^unknown agent id "(.*)"$/.exec(message)?.[1];
  switch (error.code) {
    case "INVALID_REQUEST":
      return {
        status: 400,
        error: {
          message: agent === undefined ? message : `Unknown agent '${agent}'.`,
          type: "invalid_request_error",
        },
      };
    case "TOO_LARGE":
      return { status: 413, error: { message, type: "invalid_request_error" } };
    case "STORE_DEGRADED":
      return { status: 503, error: { message, type: "api_error" } };
    default:
      return undefined;
  }
}

export const internal: ApiError = { message: "internal error", type: "api_error" };
