import { randomUUID } from "node:crypto";
import type { createConnection, Socket } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { isRclawError, RclawError } from "@rclaw/plugin-sdk";
import type { CallExtras } from "@rclaw/plugin-sdk/services/terminal";
import { WebSocket } from "ws";
import { connectPinned } from "./pinned.ts";
import type { Target } from "./target.ts";

export interface ClientOptions extends Target {
  readonly version: string;
  onEvent?(event: string, payload: unknown): void;
}

export interface Client {
  call(method: string, params: unknown, extras?: CallExtras): Promise<unknown>;
  close(): Promise<void>;
}

interface Pending extends CallExtras {
  resolve(payload: unknown): void;
  reject(error: unknown): void;
}

interface Answer {
  readonly id: string;
  readonly ok: boolean;
  readonly payload?: unknown;
  readonly error?: { code: string; message: string; details?: Record<string, unknown>; retryable?: boolean };
}

const connectMs = 5_000;
const unknownAuthority = /SELF_SIGNED|UNABLE_TO_/;
const pinIt =
  "if the certificate is your gateway's own, put the fingerprint that it shows at its start into gateway.remote.tlsFingerprint";

/** The command line as a client of the gateway protocol, like any other. */
export async function connectClient({
  url,
  pid,
  token,
  password,
  fingerprint,
  version,
  onEvent,
}: ClientOptions): Promise<Client> {
  const socket = new WebSocket(url, {
    handshakeTimeout: connectMs,
    perMessageDeflate: false,
    maxPayload: 26_214_400,
    ...(fingerprint !== undefined && { createConnection: pinned(fingerprint) }),
  });
  const pending = new Map<string, Pending>();
  let lastId = 0;
  let why = "";

  function request(method: string, params: unknown, extras: CallExtras = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (socket.readyState !== WebSocket.OPEN) {
        reject(gone(method));
        return;
      }
      const id = `c${++lastId}`;
      const { signal } = extras;
      const onAbort = (): void => {
        pending.delete(id);
        reject(new RclawError("ABORTED", `${method} was stopped`, { cause: signal?.reason }));
      };
      const settled =
        <T>(done: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener("abort", onAbort);
          done(value);
        };
      signal?.addEventListener("abort", onAbort, { once: true });
      pending.set(id, { ...extras, resolve: settled(resolve), reject: settled(reject) });
      socket.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  function gone(method: string): RclawError {
    return new RclawError(
      "GATEWAY_UNREACHABLE",
      `the gateway closed the connection${why ? ` (${why})` : ""} before it answered ${method}`,
    );
  }

  function answered(frame: Answer): void {
    const call = pending.get(frame.id);
    if (!call) return;
    const accepted = frame.ok && (frame.payload as { status?: unknown } | undefined)?.status === "accepted";
    if (accepted && call.onAccepted) {
      call.onAccepted(frame.payload);
      return;
    }
    pending.delete(frame.id);
    if (frame.ok) call.resolve(frame.payload);
    else call.reject(fromProtocol(frame.error));
  }

  const opened = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => fail("it did not answer in time"), connectMs);
    const advice =
      pid === undefined ? "Is it running, and is gateway.remote.url right?" : "To start one: rclaw gateway";
    const giveUp = (error: RclawError): void => {
      clearTimeout(timer);
      socket.terminate();
      reject(error);
    };
    const fail = (reason: string): void =>
      giveUp(new RclawError("GATEWAY_UNREACHABLE", `no gateway answers at ${url}: ${reason}. ${advice}`));
    socket.on("error", (error) => {
      if (isRclawError(error)) giveUp(error);
      else fail(unknownAuthority.test(codeOf(error)) ? `${error.message}; ${pinIt}` : error.message);
    });
    socket.on("close", (_code, reason) => {
      why = reason.toString();
      fail(why || "it closed the connection");
      for (const [id, call] of pending) {
        pending.delete(id);
        call.reject(gone("the request"));
      }
    });
    socket.on("message", (data) => {
      // ws hands text over as a Buffer unless told otherwise.
      const frame = JSON.parse((data as Buffer).toString("utf8")) as {
        type: string;
        event?: string;
        payload?: unknown;
      };
      if (frame.type === "res") answered(frame as unknown as Answer);
      else if (frame.event === "connect.challenge") {
        clearTimeout(timer);
        resolve();
      } else if (frame.event) onEvent?.(frame.event, frame.payload);
    });
  });
  await opened;
  try {
    await request("connect", {
      minProtocol: 3,
      maxProtocol: 4,
      client: {
        id: "cli",
        displayName: "rclaw",
        version,
        platform: process.platform,
        mode: "cli",
        instanceId: randomUUID(),
      },
      caps: ["tool-events"],
      role: "operator",
      scopes: ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"],
      auth: { ...(token !== undefined && { token }), ...(password !== undefined && { password }) },
    });
  } catch (error) {
    socket.terminate();
    throw error;
  }
  return {
    call: request,
    close: () =>
      new Promise((resolve) => {
        if (socket.readyState === WebSocket.CLOSED) {
          resolve();
          return;
        }
        socket.once("close", () => resolve());
        socket.close();
        setTimeout(() => socket.terminate(), 500).unref();
      }),
  };
}

/** The types of `ws` know net's own function only; what is called has the options of either. */
function pinned(fingerprint: string): typeof createConnection {
  const connect = (options: ConnectionOptions): Socket => connectPinned(fingerprint, options);
  return connect as typeof createConnection;
}

function codeOf(error: Error): string {
  return "code" in error ? String(error.code) : "";
}

/** The code that matters to a person travels in the details; see `toProtocolError`. */
function fromProtocol(error: Answer["error"]): RclawError {
  const {
    code = "UNAVAILABLE",
    message = "the gateway answered without a reason",
    details,
    retryable = false,
  } = error ?? {};
  const inner = details?.["code"];
  const known = code === "INVALID_REQUEST" ? "INVALID_REQUEST" : "UNAVAILABLE";
  return new RclawError(known, message, {
    retryable,
    details: { ...details, code: typeof inner === "string" ? inner : code },
  });
}
