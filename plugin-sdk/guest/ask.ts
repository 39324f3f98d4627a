import type { Ask, HttpRequest, Verbs } from "../boundary/calls.ts";
import type { PluginError, ReactorAction, ReactorEvent, WsData } from "../boundary/reactor.ts";
import { type ErrorCode, errorCodes, RclawError } from "../errors.ts";
import { act, log, nextId, outstanding } from "./outbox.ts";

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  /** Takes a piece; the answer waits until all were taken. */
  piece(piece: unknown): void;
}

/** Hears the events of one request and says when it is over. */
type Hears = (event: ReactorEvent, waiting: Waiting) => boolean;

interface Request {
  readonly begin: (id: number) => ReactorAction;
  readonly cancel: (id: number) => ReactorAction;
  readonly hears: Hears;
}

type Options = NonNullable<Parameters<Ask>[2]>;

/** The engine says null for what is left out. */
function fromPluginError({ code, message, retryable, details }: PluginError): RclawError {
  const known = (errorCodes as readonly string[]).includes(code) ? (code as ErrorCode) : "PLUGIN_FAILED";
  return new RclawError(known, message, {
    retryable: Boolean(retryable),
    ...(details && { details: JSON.parse(details) as Record<string, unknown> }),
  });
}

const sockets = new Map<number, number>();

const toHeaders = (pairs: HttpRequest["headers"]): { name: string; value: string }[] =>
  pairs.map(([name, value]) => ({ name, value }));
const toData = (data: string | Uint8Array): WsData =>
  typeof data === "string" ? { tag: "text", val: data } : { tag: "bytes", val: data };

const hearsHost: Hears = (event, { resolve, reject, piece }) => {
  if (event.tag === "host-chunk") piece(JSON.parse(event.val.payload));
  if (event.tag !== "host-result") return false;
  const { outcome } = event.val;
  if (outcome.tag === "ok") resolve(JSON.parse(outcome.val));
  else reject(fromPluginError(outcome.val));
  return true;
};

const hearsHttp: Hears = (event, { resolve, reject, piece }) => {
  if (event.tag === "http-head") {
    const { status, headers, url } = event.val;
    piece({ head: { status, headers: headers.map(({ name, value }) => [name, value] as const), url } });
  } else if (event.tag === "http-chunk") piece(event.val.bytes);
  if (event.tag !== "http-end") return false;
  if (event.val.error) reject(fromPluginError(event.val.error));
  else resolve(null);
  return true;
};

const hearsSocket: Hears = (event, { resolve, reject, piece }) => {
  if (event.tag === "ws-open") piece({ open: { protocol: event.val.protocol } });
  else if (event.tag === "ws-message") piece(event.val.data.val);
  if (event.tag !== "ws-closed") return false;
  const { code, reason, error } = event.val;
  if (error) reject(fromPluginError(error));
  else resolve({ code, reason });
  return true;
};

function send(
  { begin, cancel, hears }: Request,
  method: string,
  { signal, onChunk }: Options,
): Promise<unknown> {
  if (signal?.aborted)
    return Promise.reject(new RclawError("ABORTED", `${method} was aborted`, { cause: signal.reason }));
  return new Promise((resolve, reject) => {
    const id = nextId();
    let taken: Promise<void> | undefined;
    const settle =
      <T>(tell: (value: T) => void) =>
      (value: T): void => {
        outstanding.delete(id);
        signal?.removeEventListener("abort", onAbort);
        if (taken) void taken.then(() => tell(value));
        else tell(value);
      };
    const stop = (error: unknown): void => {
      if (outstanding.delete(id)) act(cancel(id));
      signal?.removeEventListener("abort", onAbort);
      reject(error);
    };
    const onAbort = (): void =>
      stop(new RclawError("ABORTED", `${method} was aborted`, { cause: signal?.reason }));
    const waiting: Waiting = {
      resolve: settle(resolve),
      reject: settle(reject),
      piece(piece) {
        if (!onChunk) return;
        taken = (taken ?? Promise.resolve()).then(() => onChunk(piece as never)).catch(stop);
      },
    };
    outstanding.set(id, (event) => hears(event, waiting));
    signal?.addEventListener("abort", onAbort, { once: true });
    act(begin(id));
  });
}

function request(method: string, params: unknown): Request {
  const { call, ...rest } = (params ?? {}) as { readonly call?: number };
  if (method === "http.fetch") {
    const { method: verb, url, headers, body, redirect } = params as HttpRequest;
    const val = { method: verb, url, headers: toHeaders(headers), body, redirect };
    return {
      begin: (id) => ({ tag: "http-request", val: { id, ...val } }),
      cancel: (id) => ({ tag: "http-cancel", val: id }),
      hears: hearsHttp,
    };
  }
  if (method === "channel.receive") {
    const { call, message } = params as Verbs["channel.receive"]["params"];
    return {
      begin: (id) => ({ tag: "inbound", val: { id, call, message: JSON.stringify(message) } }),
      cancel: (id) => ({ tag: "host-cancel", val: id }),
      hears: hearsHost,
    };
  }
  return {
    begin: (id) => ({
      tag: "host-call",
      val: { id, method, params: JSON.stringify(params === null ? null : rest), call },
    }),
    cancel: (id) => ({ tag: "host-cancel", val: id }),
    hears: hearsHost,
  };
}

async function connect(params: Verbs["ws.connect"]["params"], options: Options): Promise<unknown> {
  const { socket, url, protocols, headers } = params;
  const val = { url, protocols, headers: toHeaders(headers) };
  const asked = send(
    {
      begin(id) {
        sockets.set(socket, id);
        return { tag: "ws-connect", val: { id, ...val } };
      },
      cancel: (id) => ({ tag: "ws-close", val: { id, code: 1001, reason: "" } }),
      hears: hearsSocket,
    },
    "ws.connect",
    options,
  );
  try {
    return await asked;
  } finally {
    sockets.delete(socket);
  }
}

/** The plugin's way to its host: every verb becomes an action, and the events that follow its answer. */
export const ask: Ask = (method, params, options = {}) => {
  const answered = dispatch(method, params, options);
  return answered;
};

async function dispatch(method: keyof Verbs, params: unknown, options: Options): Promise<unknown> {
  if (method === "log") {
    const { level, message, fields } = params as Verbs["log"]["params"];
    log(level, message, fields);
    return null;
  }
  if (method === "ws.connect") return connect(params as Verbs["ws.connect"]["params"], options);
  if (method === "ws.send" || method === "ws.close") {
    const { socket, ...rest } = params as Verbs["ws.close"]["params"] | Verbs["ws.send"]["params"];
    const id = sockets.get(socket);
    if (id === undefined) throw new RclawError("UNAVAILABLE", `socket ${socket} is closed`);
    if ("data" in rest) act({ tag: "ws-send", val: { id, data: toData(rest.data) } });
    else act({ tag: "ws-close", val: { id, ...rest } });
    return null;
  }
  return send(request(method, params), method, options);
}
