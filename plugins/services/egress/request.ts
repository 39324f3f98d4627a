import { RclawError } from "@rclaw/plugin-sdk";
import { readBody, type RequestBody } from "./request-body.ts";

const maxRedirects = 5;

export interface OutgoingRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
  readonly redirect: string;
  readonly signal: AbortSignal | undefined;
}

type RequestLike = Pick<RequestInit, "method" | "headers" | "body" | "redirect"> & { readonly url: string };

export async function readRequest(
  input: unknown,
  init: RequestInit,
  signal: AbortSignal | undefined,
): Promise<OutgoingRequest> {
  const given: Partial<RequestLike> =
    typeof input === "object" && input !== null && !(input instanceof URL) ? input : {};
  const text = input instanceof URL ? input.href : (given.url ?? String(input));
  if (!URL.canParse(text)) throw new RclawError("INVALID_REQUEST", "the address to fetch is not a URL");
  const method = (init.method ?? given.method ?? "GET").toUpperCase();
  // As in every fetch: these are for proxies, and show what they were sent.
  if (/^(?:CONNECT|TRACE|TRACK)$/.test(method))
    throw new RclawError("INVALID_REQUEST", `the method ${method} is not for a fetch`);
  const body = await readBody(init.body ?? given.body);
  if ((body.bytes || body.stream) && (method === "GET" || method === "HEAD"))
    throw new TypeError(`${method} cannot have a body`);
  return {
    url: new URL(text),
    method,
    headers: requestHeaders(init.headers ?? given.headers, body, method),
    body,
    redirect: init.redirect ?? given.redirect ?? "follow",
    signal,
  };
}

/** What belongs to the connection is ours to say: a caller's `host` or `transfer-encoding` could make two servers read two requests. */
const connectionHeaders = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "keep-alive",
  "upgrade",
  "expect",
  "te",
  "trailer",
]);

function requestHeaders(given: unknown, body: RequestBody, method: string): Record<string, string> {
  const headers: Record<string, string> = {
    accept: "*/*",
    "accept-encoding": "gzip, br",
    "user-agent": "rclaw",
    ...(body.contentType && { "content-type": body.contentType }),
    ...ownHeaders(given),
  };
  if (body.bytes) headers["content-length"] = String(body.bytes.length);
  else if (!body.stream && method !== "GET" && method !== "HEAD") headers["content-length"] = "0";
  return headers;
}

/** What a caller may say about a request, by names in lower case. */
export function ownHeaders(given: unknown): Record<string, string> {
  const pairs = [...headerPairs(given)]
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !connectionHeaders.has(name) && !name.startsWith("proxy-"));
  return Object.fromEntries(pairs);
}

function headerPairs(given: unknown): Iterable<readonly [string, string]> {
  if (typeof given !== "object" || given === null) return [];
  if (Symbol.iterator in given) return given as Iterable<readonly [string, string]>;
  return Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, String(value)] as const);
}

/** A key may travel in any header, so across origins only those go along that cannot hold one. */
const harmlessHeaders = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "content-type",
  "content-length",
  "user-agent",
]);

export function follow(
  request: OutgoingRequest,
  location: string,
  status: number,
  hops: number,
): OutgoingRequest {
  const { host } = request.url;
  if (request.redirect === "error")
    throw new RclawError("UNAVAILABLE", `${host} redirected, which this request does not allow`);
  if (hops >= maxRedirects)
    throw new RclawError("UNAVAILABLE", `${host} redirected more than ${maxRedirects} times`);
  if (!URL.canParse(location, request.url.href))
    throw new RclawError("UNAVAILABLE", `${host} redirected to something that is not a URL`);
  const url = new URL(location, request.url);
  const becomesGet = status === 303 ? request.method !== "HEAD" : status < 303 && request.method === "POST";
  if (!becomesGet && request.body.stream) {
    throw new RclawError("UNAVAILABLE", `${host} redirected a streamed upload, which cannot be sent twice`);
  }
  const isSameOrigin = url.origin === request.url.origin;
  const headers = Object.entries(request.headers).filter(
    ([name]) => (isSameOrigin || harmlessHeaders.has(name)) && !(becomesGet && name.startsWith("content-")),
  );
  return {
    ...request,
    url,
    headers: Object.fromEntries(headers),
    ...(becomesGet && { method: "GET", body: {} }),
  };
}

export function signalOf(input: unknown): AbortSignal | undefined {
  return typeof input === "object" && input !== null && "signal" in input
    ? (input.signal as AbortSignal)
    : undefined;
}
