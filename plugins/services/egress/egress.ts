import type { IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import { callbackify } from "node:util";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import { createAddressRules } from "./address.ts";
import { exchange } from "./exchange.ts";
import { createGrants, refuseAddress, type Target } from "./grants.ts";
import type { Egress, EgressOptions } from "@rclaw/plugin-sdk/services/egress";
import { defaultLimits } from "./limits.ts";
import { createPool } from "./pool.ts";
import { readBody, type RequestBody } from "./request-body.ts";
import { createResponse } from "./response.ts";

type ResolvedAddress = { readonly address: string; readonly family: number };

const maxRedirects = 5;

/**
 * The one way out. Everything that plugins fetch passes here, so that a URL from a
 * model or a stranger cannot reach this machine, its network or a cloud's metadata.
 * Built on node:http because undici asks no `lookup` for literal addresses and costs
 * 8 MB; the environment's proxies are ignored, as they would connect unchecked.
 */
export function createEgress({
  log,
  resolve = systemResolver,
  allowCidrs,
  idleMs = 4_000,
}: EgressOptions): Egress {
  const rules = createAddressRules(allowCidrs);
  const pool = createPool(idleMs);

  function lookupFor(target: Target, owner: string): LookupFunction {
    const vetted = callbackify(async (host: string): Promise<readonly ResolvedAddress[]> => {
      const addresses = await resolve(host);
      // One bad answer spoils all: which of them is used is the attacker's choice.
      for (const { address } of addresses) {
        const refusal = refuseAddress(target, address, rules, owner);
        if (refusal) throw refusal;
      }
      if (addresses.length === 0) throw Object.assign(new Error("no address"), { code: "ENOTFOUND" });
      return addresses;
    });
    return (host, { all }, callback) =>
      vetted(host, (error, addresses) => {
        const [first] = addresses ?? [];
        if (error || !first) callback(error, "", 0);
        else if (all) callback(null, [...addresses]);
        else callback(null, first.address, first.family);
      });
  }

  return {
    fetchFor(entries, owner, { limits: given, signal: ownerSignal } = {}) {
      const judge = createGrants(entries, owner, rules);
      const limits = { ...defaultLimits, ...given };

      const send = async (target: Target, request: OutgoingRequest): Promise<IncomingMessage> => {
        const { url } = target;
        const key = `${owner}\n${url.protocol}//${target.host}:${target.port}\n${target.named}`;
        return exchange({
          owner,
          target,
          method: request.method,
          headers: request.headers,
          body: request.body,
          agent: await pool.agent(key, url.protocol),
          lookup: lookupFor(target, owner),
          refuse: (address) => refuseAddress(target, address, rules, owner),
          limits,
          signal: request.signal,
        });
      };

      const guarded = async (input: unknown, init: RequestInit = {}): Promise<Response> => {
        const linked = linkSignals(ownerSignal, init.signal ?? signalOf(input));
        try {
          let request = await readRequest(input, init, linked.signal);
          for (let hops = 0; ; hops++) {
            const target = judge(request.url);
            const incoming = await send(target, request);
            const location = incoming.headers.location;
            const isRedirect =
              location !== undefined && [301, 302, 303, 307, 308].includes(incoming.statusCode ?? 0);
            if (!isRedirect || request.redirect === "manual") {
              const { host } = target;
              const { href } = request.url;
              incoming.once("close", linked.release);
              return createResponse({
                incoming,
                url: href,
                redirected: hops > 0,
                method: request.method,
                owner,
                host,
                limits,
                signal: request.signal,
              });
            }
            incoming.destroy();
            request = follow(request, location, incoming.statusCode ?? 0, hops);
          }
        } catch (error) {
          linked.release();
          if (isRclawError(error) && error.code === "EGRESS_DENIED")
            log.warn({ plugin: owner, ...error.details }, "egress refused");
          throw error;
        }
      };
      return guarded;
    },
    close: () => pool.close(),
  };
}

interface OutgoingRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
  readonly redirect: string;
  readonly signal: AbortSignal | undefined;
}

type RequestLike = Pick<RequestInit, "method" | "headers" | "body" | "redirect"> & { readonly url: string };

async function readRequest(
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
  };
  if (body.contentType) headers["content-type"] = body.contentType;
  for (const [name, value] of headerPairs(given)) {
    const lower = name.toLowerCase();
    if (connectionHeaders.has(lower) || lower.startsWith("proxy-")) continue;
    headers[lower] = value;
  }
  if (body.bytes) headers["content-length"] = String(body.bytes.length);
  else if (!body.stream && method !== "GET" && method !== "HEAD") headers["content-length"] = "0";
  return headers;
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

function follow(request: OutgoingRequest, location: string, status: number, hops: number): OutgoingRequest {
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

function signalOf(input: unknown): AbortSignal | undefined {
  return typeof input === "object" && input !== null && "signal" in input
    ? (input.signal as AbortSignal)
    : undefined;
}

/** Not `AbortSignal.any`: a gateway's signals live for months, and what that one leaves behind on them lives as long. */
function linkSignals(
  a: AbortSignal | undefined,
  b: AbortSignal | null | undefined,
): { signal: AbortSignal | undefined; release(): void } {
  if (!a || !b) return { signal: a ?? b ?? undefined, release: () => undefined };
  const controller = new AbortController();
  const onA = (): void => controller.abort(a.reason);
  const onB = (): void => controller.abort(b.reason);
  a.addEventListener("abort", onA, { once: true });
  b.addEventListener("abort", onB, { once: true });
  if (a.aborted) onA();
  if (b.aborted) onB();
  return {
    signal: controller.signal,
    release() {
      a.removeEventListener("abort", onA);
      b.removeEventListener("abort", onB);
    },
  };
}

async function systemResolver(host: string): Promise<readonly ResolvedAddress[]> {
  const { lookup } = await import("node:dns/promises");
  return lookup(host, { all: true, verbatim: true });
}
