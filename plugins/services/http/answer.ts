import { once } from "node:events";
import type { Route, RouteRequest } from "@rclaw/plugin-sdk";
import type { RouteAnswer } from "@rclaw/plugin-sdk/gateway";
import type { HttpOptions } from "@rclaw/plugin-sdk/services/http";
import type { FastifyReply } from "fastify";

export type Head = Omit<RouteRequest, "body">;

interface Asked {
  readonly route: Route;
  readonly life: AbortController;
}

export const securityHeaders = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "X-Frame-Options": "DENY",
} as const;
/** Decided here or by node:http; and no page of another origin may read an answer. */
const withheld = /^(?:access-control-.*|content-length|transfer-encoding|connection|keep-alive|upgrade)$/i;

export class LateAnswer extends Error {}

export async function answer(
  { route, head, life }: Asked & { readonly head: Head },
  body: Uint8Array,
  reply: FastifyReply,
  { handlerMs, options }: { readonly handlerMs: number; readonly options: HttpOptions },
): Promise<FastifyReply> {
  const given = { ...head, body };
  const result = await withinTime(
    (signal) => route.handle(given, signal),
    life,
    route.timeoutMs ?? handlerMs,
  );
  return send(result, { route, life }, reply, options);
}

export function send(
  { status, headers = {}, body }: RouteAnswer,
  asked: Asked,
  reply: FastifyReply,
  options: HttpOptions,
): FastifyReply {
  for (const [name, value] of Object.entries(headers)) if (!withheld.test(name)) reply.header(name, value);
  reply.code(status).headers(securityHeaders);
  if (typeof body === "string" || body === undefined) return reply.send(body);
  if (!(Symbol.asyncIterator in body)) return reply.send(Buffer.from(body));
  reply.hijack();
  void sendPieces(body, asked, reply, options);
  return reply;
}

/** The head leaves at once: whoever waits for the first piece knows that there will be one. */
async function sendPieces(
  body: AsyncIterable<string | Uint8Array>,
  { route, life: { signal } }: Asked,
  reply: FastifyReply,
  { log, failed }: HttpOptions,
): Promise<void> {
  const { raw } = reply;
  try {
    raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>);
    raw.flushHeaders();
    if (reply.request.method !== "HEAD") {
      for await (const piece of body) {
        signal.throwIfAborted();
        if (!raw.write(piece)) await once(raw, "drain", { signal });
      }
    }
    raw.end();
  } catch (error) {
    // Only a cut connection tells the client that this was not the end.
    raw.destroy();
    if (signal.aborted) return;
    log.error({ err: error, route: route.route }, "a route failed in the middle of its answer");
    failed?.(route.route, error);
  }
}

/** A route that never answers is told to stop, and nobody waits for it any longer. */
export async function withinTime<T>(
  handle: (signal: AbortSignal) => T | Promise<T>,
  life: AbortController,
  ms: number,
): Promise<T> {
  const { signal } = life;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort);
    if (ms > 0) timer = setTimeout(() => life.abort(new LateAnswer(`no answer within ${ms} ms`)), ms);
  });
  try {
    signal.throwIfAborted();
    return await Promise.race([handle(signal), ended]);
  } catch (error) {
    life.abort(error);
    throw error;
  } finally {
    clearTimeout(timer);
    if (onAbort) signal.removeEventListener("abort", onAbort);
  }
}
