import http, { type Agent, type ClientRequest, type IncomingMessage } from "node:http";
import type { LookupFunction, Socket } from "node:net";
import { pipeline } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { Target } from "./grants.ts";
import type { EgressLimits } from "@rclaw/plugin-sdk/services/egress";
import type { RequestBody } from "./request-body.ts";

export interface Exchange {
  readonly owner: string;
  readonly target: Target;
  /** What is asked for, when it is not what the target's URL says. */
  readonly path?: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
  readonly agent: Agent;
  readonly lookup: LookupFunction;
  /** Judges the address a socket really connected to. */
  refuse(address: string): RclawError | undefined;
  readonly limits: EgressLimits;
  readonly signal: AbortSignal | undefined;
  readonly meter?: Meter | undefined;
}

/** Counts what one request moves over its socket. */
export type Meter = (request: ClientRequest) => void;

/** The socket is used by one request after the other, so what it counts is taken from when it was given to this one. */
export function createMeter(onBytes: (sent: number, received: number) => void): Meter {
  return (request) => {
    request.once("socket", (socket: Socket) => {
      let sent = socket.connecting ? 0 : socket.bytesWritten;
      let received = socket.connecting ? 0 : socket.bytesRead;
      const report = (): void => {
        const [nowSent, nowReceived] = [socket.bytesWritten, socket.bytesRead];
        if (nowSent > sent || nowReceived > received) onBytes(nowSent - sent, nowReceived - received);
        [sent, received] = [nowSent, nowReceived];
      };
      request.once("response", report);
      request.once("upgrade", () => {
        socket.on("data", report);
        socket.once("close", report);
      });
      request.once("close", report);
    });
  };
}

/** By HTTP's own rules these may be sent twice. */
const repeatable = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** One request to one checked target, up to the answer's headers. */
export async function exchange(options: Exchange): Promise<IncomingMessage> {
  // What can be asked only once waits until Node has seen which idle connections were closed: within
  // two turns, since the one under way may be past the point where it looks at sockets.
  if (!repeatable.has(options.method) && Object.keys(options.agent.freeSockets).length > 0) {
    await nextTurn();
    await nextTurn();
  }
  const first = await attempt(options);
  if (first !== "stale") return first;
  const second = await attempt(options);
  if (second !== "stale") return second;
  throw unreachable(options, "ECONNRESET", true);
}

/** "stale": an idle connection was closed as it was used again, and the request did no harm if it arrived. */
async function attempt(options: Exchange): Promise<IncomingMessage | "stale"> {
  const { target, method, headers, agent, lookup, signal } = options;
  signal?.throwIfAborted();
  const { request: open } = target.url.protocol === "https:" ? await import("node:https") : http;
  return new Promise((resolve, reject) => {
    const request = open({
      host: target.host,
      port: target.port,
      path: options.path ?? target.url.pathname + target.url.search,
      method,
      headers,
      agent,
      lookup,
      // The agent's own timeout is for idle sockets; one in use has the deadlines below.
      timeout: 0,
    });
    const state = { sent: false };
    const stop = (error: unknown): void =>
      void request.destroy(error instanceof Error ? error : new Error("aborted", { cause: error }));
    const onAbort = (): void => stop(signal?.reason);
    const timers = [
      deadline(options, "connectMs", () => state.sent, stop),
      deadline(options, "headersMs", () => false, stop),
    ];
    const settle = (): void => {
      signal?.removeEventListener("abort", onAbort);
      for (const timer of timers) clearTimeout(timer);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    watchSocket(request, options, () => (state.sent = true));
    options.meter?.(request);
    request.on("error", (error: NodeJS.ErrnoException) => {
      settle();
      if (signal?.aborted) return reject(signal.reason as Error);
      if (isStale(request, error, options)) return resolve("stale");
      reject(
        isRclawError(error)
          ? error
          : unreachable(options, error.code ?? "connection failed", state.sent, error),
      );
    });
    request.once("response", (incoming) => {
      settle();
      resolve(incoming);
    });
    // Nobody here asks for another protocol; without a listener node:http would drop it without a word.
    request.once("upgrade", (_incoming, socket) => {
      socket.destroy();
      settle();
      reject(unreachable(options, "unexpected upgrade", true));
    });
    request.once("close", () => {
      settle();
      reject(unreachable(options, "closed", state.sent));
    });
    write(request, options.body);
  });
}

/** A literal address never passes through `lookup`, so the last word is what the socket says it is connected to. */
export function watchSocket(
  request: ClientRequest,
  { refuse, target }: Pick<Exchange, "refuse" | "target">,
  onReady: () => void,
): void {
  request.once("socket", (socket: Socket) => {
    if (!socket.connecting) return onReady();
    // Ahead of the listener that flushes the request.
    socket.prependOnceListener("connect", () => {
      const refusal = refuse(socket.remoteAddress ?? "");
      if (refusal) request.destroy(refusal);
      else if (target.url.protocol === "http:") onReady();
    });
    socket.once("secureConnect", onReady);
  });
}

function write(request: ClientRequest, { bytes, stream }: RequestBody): void {
  if (!stream) {
    request.end(bytes);
    return;
  }
  // A failing source destroys the request, whose error listener reports it: a pipeline would only abort it.
  async function* source(pieces: AsyncIterable<Uint8Array | string>): AsyncGenerator<Uint8Array | string> {
    try {
      yield* pieces;
    } catch (error) {
      request.destroy(error instanceof Error ? error : new Error("the body failed", { cause: error }));
    }
  }
  pipeline(source(stream), request, () => undefined);
}

function deadline(
  { owner, target, limits }: Exchange,
  name: "connectMs" | "headersMs",
  isMet: () => boolean,
  stop: (error: Error) => void,
): NodeJS.Timeout {
  const what = name === "connectMs" ? "no connection" : "no answer";
  return setTimeout(() => {
    if (isMet()) return;
    stop(
      new RclawError("TIMEOUT", `${target.host} timed out: ${what} within ${limits[name]} ms`, {
        retryable: true,
        details: { plugin: owner, host: target.host, sent: name === "headersMs" },
      }),
    );
  }, limits[name]).unref();
}

/** A reset tells nothing of what the server did before: a POST that it may have acted on is the caller's to repeat. */
function isStale(
  request: ClientRequest,
  { code }: NodeJS.ErrnoException,
  { body, method }: Exchange,
): boolean {
  if (!request.reusedSocket || body.stream) return false;
  return code === "EPIPE" || (code === "ECONNRESET" && repeatable.has(method));
}

/** Asking again would not make the certificate a better one. */
export const isTrustFailure = (reason: string): boolean =>
  /^(?:CERT_|ERR_TLS|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED)/.test(reason);

/** `details.sent` tells whether the far side may have acted on the request. */
function unreachable(
  { owner, target }: Exchange,
  reason: string,
  sent: boolean,
  cause?: unknown,
): RclawError {
  const isTrust = isTrustFailure(reason);
  const what = sent
    ? "the connection was lost"
    : isTrust
      ? "its certificate is not trusted"
      : "no connection";
  return new RclawError("UNAVAILABLE", `could not reach ${target.host}: ${what} (${reason})`, {
    cause,
    retryable: !isTrust,
    details: { plugin: owner, host: target.host, reason, sent },
  });
}
