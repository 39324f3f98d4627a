import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { isRclawError, type ErrorCode, RclawError, type Route } from "@rclaw/plugin-sdk";
import { fastify, type FastifyReply, type FastifyRequest, type FastifyServerOptions } from "fastify";
import type { HttpLimits, HttpOptions, RouteTable } from "@rclaw/plugin-sdk/services/http";
import { answer, type Head, LateAnswer, securityHeaders, send, withinTime } from "./answer.ts";
import { canonicalPath } from "./http-path.ts";
import { matchRoute, methodsOf } from "./match.ts";
import { createMetrics } from "./metrics.ts";
import { printable } from "@rclaw/plugin-sdk/printable";
import { createCrowd, type Crowd } from "@rclaw/plugin-sdk/services/crowd";

interface Found {
  readonly route: Route;
  readonly head: Head;
  /** Aborted when the client is gone, or the answer took too long. */
  readonly life: AbortController;
}

declare module "fastify" {
  interface FastifyRequest {
    found: Found | null;
  }
}

const supported = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const defaultBodyLimit = 65_536;
const defaultLimits: HttpLimits = { bodyMs: 5_000, handlerMs: 60_000, openPerAddress: 32, openLocal: 512 };
/** How much of a body that is too large is still taken in, so that its sender gets to read the answer. */
const politeExcess = 4_194_304;

/** Without its own compilers fastify loads ajv and fast-json-stringify: 8 MB for schemas nobody has. Its types want ajv's. */
const ownCompilers = {
  compilersFactory: { buildValidator: () => () => () => true, buildSerializer: () => () => JSON.stringify },
} as unknown as NonNullable<FastifyServerOptions["schemaController"]>;

const contentPolicy = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";
/** What OpenClaw keeps for channels: nothing below it is open, whatever a route says. */
const guarded = "/api/channels";

/**
 * Plugins' HTTP routes. fastify drives the life of a request; which route it is for is
 * looked up in the live table. The checks run before a byte of the body is read.
 */
export async function createHttp(
  given: HttpOptions,
): Promise<(request: IncomingMessage, response: ServerResponse) => void> {
  const metrics = createMetrics(given.counts);
  const options = { ...given, routes: withOwn(given.routes, metrics.route) };
  let handle: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  const limits = { ...defaultLimits, ...options.limits };
  const crowd = createCrowd();
  const app = fastify({
    // The gateway's own server hands requests over; this one never listens.
    serverFactory: (handler) => {
      handle = handler;
      return createServer();
    },
    logger: false,
    // Every path is one route here: the canonical path is looked up, not what the client wrote.
    rewriteUrl: () => "/",
    exposeHeadRoutes: false,
    forceCloseConnections: false,
    schemaController: ownCompilers,
  });
  app.decorateRequest("found", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request: FastifyRequest, payload: Readable) =>
    readBody(payload, request, limits),
  );
  app.addHook("onRequest", async (request, reply) => {
    metrics.count(request.method);
    reply.headers({ ...securityHeaders, "Content-Security-Policy": contentPolicy });
    const refusal = await admit(request, reply, options, { ...limits, crowd });
    // Nobody will read what follows: the sender must not be able to go on with it.
    if (refusal && hasMuchToSay(request)) reply.header("Connection", "close");
    return refusal;
  });
  app.setNotFoundHandler((_request, reply) =>
    plain(reply.header("Allow", supported.join(", ")), 405, "Method Not Allowed"),
  );
  app.setErrorHandler((error, request, reply) => failed(error, request, reply, options));
  const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    if (!request.found) return plain(reply, 404, "Not Found");
    const body = Buffer.isBuffer(request.body) ? request.body : new Uint8Array();
    return answer(request.found, body, reply, { handlerMs: limits.handlerMs, options });
  };
  app.route({ method: supported, url: "/", handler });
  await app.ready();
  if (!handle)
    throw new RclawError("UNAVAILABLE", "fastify did not ask for a server; reinstall rclaw's dependencies");
  return handle;
}

function withOwn(routes: RouteTable, own: Route): RouteTable {
  return {
    names: () => [own.route, ...routes.names()],
    get: async (name) => (name === own.route ? own : routes.get(name)),
  };
}

/** Sets `found`, or sends the refusal; fastify stops when a hook has replied. */
async function admit(
  request: FastifyRequest,
  reply: FastifyReply,
  options: HttpOptions,
  limits: HttpLimits & { readonly crowd: Crowd },
): Promise<FastifyReply | undefined> {
  const { method, raw, headers } = request;
  const canonical = canonicalPath(request.originalUrl);
  if (!canonical.ok)
    return plain(reply, canonical.status, canonical.status === 400 ? "Bad Request" : "Not Found");
  const { path, query } = canonical;
  if (isGuarded(path)) {
    const refusal = await authorize(reply, raw, query, options);
    if (refusal) return refusal;
  }

  const names = options.routes.names();
  const name =
    matchRoute(names, method, path) ?? (method === "HEAD" ? matchRoute(names, "GET", path) : undefined);
  if (name === undefined) return notFound(reply, method, methodsOf(names, path));
  const route = await options.routes.get(name);

  const head = headOf(request, route, canonical, options);
  const life = lifeOf(reply.raw);
  const isMutating = method !== "GET" && method !== "HEAD" && method !== "OPTIONS";
  if (isMutating && (headers["sec-fetch-site"] === "cross-site" || !options.isOriginAllowed(raw))) {
    return refuse(reply, 403, "cross-site requests may not change anything here", "forbidden");
  }
  if (route.auth === "gateway") {
    const refusal = await authorize(reply, raw, query, options);
    if (refusal) return refusal;
  } else {
    // Nobody vouches for these: one address must not be able to hold all there is.
    const address = options.addressOf(raw);
    const most = address === undefined ? limits.openLocal : limits.openPerAddress;
    const leave = limits.crowd.enter(address ?? "", most);
    const message = "too many requests of this address are under way; try again shortly";
    if (!leave) return refuse(reply.header("Retry-After", "5"), 429, message, "rate_limited");
    reply.raw.once("close", leave);
  }
  if (route.admit) {
    const refusal = await withinTime((signal) => route.admit?.(head, signal), life, limits.handlerMs);
    if (refusal) return send(refusal, { route, life }, reply, options);
  }
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    return refuse(reply, 415, "send the body without Content-Encoding", "unsupported_media_type");
  if (isMutating && route.auth === "gateway" && isFormType(headers["content-type"])) {
    return refuse(reply, 415, "send the body as application/json", "unsupported_media_type");
  }
  request.found = { route, head, life };
  return undefined;
}

function isGuarded(path: string): boolean {
  const lower = path.toLowerCase();
  return lower === guarded || lower.startsWith(`${guarded}/`);
}

/** Everything but the body. The gateway's own token is no business of the plugin's. */
function headOf(
  { method, headers, raw }: FastifyRequest,
  { auth }: Route,
  { path, query }: { readonly path: string; readonly query: string },
  { addressOf, caller }: HttpOptions,
): Head {
  const { authorization, ...rest } = headers;
  const all = auth === "gateway" || authorization === undefined ? rest : { ...rest, authorization };
  const texts = Object.entries(all).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(", ") : (value ?? ""),
  ]);
  const ip = addressOf(raw);
  return {
    method,
    path,
    query: Object.fromEntries(new URLSearchParams(query)),
    headers: Object.fromEntries(texts) as Record<string, string>,
    ...(ip !== undefined && { ip }),
    ...(auth === "gateway" && { caller }),
  };
}

function lifeOf(response: ServerResponse): AbortController {
  const life = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished)
      life.abort(new RclawError("ABORTED", "the client went away before it was answered"));
  });
  return life;
}

function notFound(reply: FastifyReply, method: string, others: readonly string[]): FastifyReply {
  if (others.length > 0) return plain(reply.header("Allow", others.join(", ")), 405, "Method Not Allowed");
  if (method === "GET" || method === "HEAD") return plain(reply, 404, "Not Found");
  return plain(reply.header("Allow", "GET, HEAD"), 405, "Method Not Allowed");
}

async function authorize(
  reply: FastifyReply,
  raw: IncomingMessage,
  query: string,
  options: HttpOptions,
): Promise<FastifyReply | undefined> {
  if (new URLSearchParams(query).has("token")) {
    return refuse(
      reply,
      400,
      "send the token as Authorization: Bearer <token>; in a URL it would be logged",
      "invalid_request_error",
    );
  }
  const verdict = await options.auth(raw);
  if (verdict.ok) return undefined;
  if (verdict.retryAfterMs !== undefined) {
    reply.header("Retry-After", String(Math.ceil(verdict.retryAfterMs / 1_000)));
    const message = "Too many failed authentication attempts. Please try again later.";
    return refuse(reply, 429, message, "rate_limited");
  }
  return refuse(reply.header("WWW-Authenticate", "Bearer"), 401, "Unauthorized", "unauthorized");
}

/** What a page of another site can send without asking first. */
function isFormType(contentType: string | undefined): boolean {
  return /^\s*(?:text\/plain|application\/x-www-form-urlencoded|multipart\/form-data)\b/i.test(
    contentType ?? "",
  );
}

function hasMuchToSay({ headers }: FastifyRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > politeExcess;
}

/** Event by event: leaving a `for await` early would destroy the socket before the answer is out. */
function readBody(payload: Readable, request: FastifyRequest, { bodyMs }: HttpLimits): Promise<Buffer> {
  const { route } = request.found ?? {};
  const limit = route?.bodyLimit ?? defaultBodyLimit;
  const tooLarge = (): RclawError => new RclawError("TOO_LARGE", "Payload too large");
  if (Number(request.headers["content-length"] ?? 0) > limit + politeExcess)
    return Promise.reject(tooLarge());
  let timer: NodeJS.Timeout | undefined;
  const whole = new Promise<Buffer>((resolve, reject) => {
    let chunks: Buffer[] = [];
    let size = 0;
    // Who has shown the token has node:http's own time for it.
    if (route?.auth === "open")
      timer = setTimeout(() => reject(new LateBody(`the body was not there within ${bodyMs} ms`)), bodyMs);
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else chunks = [];
      if (size > limit + politeExcess) reject(tooLarge());
    });
    payload.once("end", () => (size > limit ? reject(tooLarge()) : resolve(Buffer.concat(chunks))));
    payload.once("error", reject);
    payload.once("close", () =>
      reject(new RclawError("ABORTED", "the client went away before its request was complete")),
    );
  });
  return whole.finally(() => clearTimeout(timer));
}

class LateBody extends Error {}

const statuses: Partial<Record<ErrorCode, number>> = {
  INVALID_REQUEST: 400,
  UNAUTHORIZED: 401,
  POLICY_DENIED: 403,
  PERMISSION_DENIED: 403,
  EGRESS_DENIED: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  TOO_LARGE: 413,
  RATE_LIMITED: 429,
  // Nobody is there to read it.
  ABORTED: 499,
  UNAVAILABLE: 503,
  STORE_DEGRADED: 503,
  TIMEOUT: 504,
};

function failed(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  options: HttpOptions,
): FastifyReply {
  const { route, head } = request.found ?? {};
  const fields = { err: error, path: printable(head?.path) };
  if (isRclawError(error)) {
    const status = statuses[error.code] ?? 500;
    if (error.code === "TOO_LARGE") reply.header("Connection", "close");
    if (status >= 500) options.log.warn(fields, "a route failed");
    const type = status === 400 || status === 413 ? "invalid_request_error" : error.code.toLowerCase();
    return refuse(reply, status, error.message, type);
  }
  if (error instanceof LateBody)
    return refuse(reply.header("Connection", "close"), 408, error.message, "timeout");
  // fastify's own refusals, such as a content type that is none.
  const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500)
    return refuse(reply, status, "the request cannot be read", "invalid_request_error");
  options.log.error(fields, "a route failed unexpectedly");
  if (route) options.failed?.(route.route, error);
  if (error instanceof LateAnswer)
    return refuse(reply, 504, "there was no answer in time; see the gateway's log", "timeout");
  return refuse(reply, 500, "internal error; see the gateway's log", "internal_error");
}

function refuse(reply: FastifyReply, status: number, message: string, type: string): FastifyReply {
  return reply
    .code(status)
    .type("application/json; charset=utf-8")
    .send(JSON.stringify({ error: { message, type } }));
}

function plain(reply: FastifyReply, status: number, text: string): FastifyReply {
  return reply.code(status).type("text/plain; charset=utf-8").send(text);
}
