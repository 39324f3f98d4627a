import { randomUUID } from "node:crypto";
import { isUtf8 } from "node:buffer";
import type { Duplex } from "node:stream";
import { type Caller, isRclawError, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { ConnectedClient } from "@rclaw/plugin-sdk/gateway";
import { WebSocket } from "ws";
import { type ProtocolError, toProtocolError } from "../errors.ts";
import { errorFrame, okFrame, parseFrame, pingFrame, type RequestFrame, wsFrame } from "./frames.ts";
import { type Arrival, type HandshakeContext, shakeHands } from "./handshake.ts";
import type { Limits } from "./limits.ts";
import type { CallOptions, Methods } from "./methods.ts";
import type { Peer } from "@rclaw/plugin-sdk/services/peer";
import { cutBytes, printable } from "@rclaw/plugin-sdk/printable";

/** What all connections of a gateway have in common. */
export interface Shared extends Pick<HandshakeContext, "authority" | "allowedOrigins" | "devices" | "now"> {
  readonly limits: Limits;
  readonly methods: Methods;
  readonly log: Logger;
  /** The payload of hello-ok as JSON. The client counts as present from here on. */
  hello(connection: Connection, client: Arrival, protocol: number): string;
  /** Calls `flush` when this turn of the event loop is over. */
  flushSoon(connection: Connection): void;
  /** hello-ok was written. */
  ready(connection: Connection, client: Arrival): void;
  /** Once for every connection, whatever ended it. */
  gone(connection: Connection): void;
}

/** The `WebSocket` of one client, so that shared listeners find their connection without a closure each. */
export class ClientSocket extends WebSocket {
  connection: Connection | undefined;
}

/** `ws` takes its message limit once per server; ours rises when a client has connected. */
interface Receiving {
  readonly _receiver: { _maxPayload: number };
}

const maxRoleRefusals = 11;
const maxHeldBytes = 65_536;
/** What a client may send on top of `connect` before that was answered. */
const maxEarly = 64;

/**
 * One client: awaits `connect`, is ready, is closed. Ten thousand of these sit idle in
 * memory, so whatever only the handshake needs is let go of, nothing is allocated until
 * a request comes, and timers are shared (server.ts, broadcast.ts).
 */
export class Connection {
  readonly id = randomUUID();
  /** Number of the last event this client was sent. */
  seq = 0;
  readonly #shared: Shared;
  readonly #ws: ClientSocket;
  readonly #socket: Duplex;
  #state: "await-connect" | "connecting" | "ready" | "closed" = "await-connect";
  #handshake: { readonly peer: Peer; readonly nonce: string } | undefined;
  /** Frames that came while `connect` was being judged. */
  #early: [data: Buffer, isBinary: boolean][] | undefined;
  #caller: Caller | undefined;
  #connectedAt = 0;
  #node: ConnectedClient["node"];
  #ended: AbortController | undefined;
  #calls: Set<Call> | undefined;
  #roleRefusals = 0;
  #isSilent = false;
  /** Frames that wait for the end of this turn. */
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #heldBytes = 0;
  #mayOverflow = false;

  constructor(shared: Shared, ws: ClientSocket, socket: Duplex, peer: Peer) {
    this.#shared = shared;
    this.#ws = ws;
    this.#socket = socket;
    this.#handshake = { peer, nonce: randomUUID() };
    ws.connection = this;
    ws.on("message", onMessage);
    ws.on("pong", onPong);
    ws.on("close", onClose);
    ws.on("error", onError);
  }

  /** Undefined until the client is ready, and still there once it is closed. */
  get caller(): Caller | undefined {
    return this.#caller;
  }

  /** As plugins see it. Only nodes are remembered with what they said: there are few of them. */
  get client(): ConnectedClient | undefined {
    const caller = this.#caller;
    if (!caller || this.#state === "closed") return undefined;
    const { ended } = this;
    return { caller, connectedAt: this.#connectedAt, ended, ...(this.#node && { node: this.#node }) };
  }

  /** Made when somebody asks for it. */
  get ended(): AbortSignal {
    this.#ended ??= new AbortController();
    return this.#ended.signal;
  }

  /** Bytes that wait because the client does not read. */
  get buffered(): number {
    return this.#socket.writableLength;
  }

  challenge(): void {
    const payload = { nonce: this.#handshake?.nonce, ts: this.#shared.now() };
    this.#socket.write(wsFrame(JSON.stringify({ type: "event", event: "connect.challenge", payload })));
  }

  /**
   * A finished frame, past `ws`: without compression its sender holds nothing back, so the order is kept.
   * Frames of one turn of the event loop leave in one system call; those calls were a third of a run's cost.
   */
  write(frame: Buffer): void {
    if (this.#state === "closed") return;
    if (!this.#first) {
      this.#first = frame;
      return this.#shared.flushSoon(this);
    }
    this.#more ??= [];
    this.#more.push(frame);
    this.#heldBytes += frame.length;
    if (this.#heldBytes > maxHeldBytes) this.flush();
  }

  flush(): void {
    const first = this.#first;
    if (!first) return;
    // After a frame that breaks the protocol `ws` says so and ends its half by itself; a write would cut that off.
    if (!this.#socket.writable) return this.#drop();
    this.#socket.write(this.#more ? Buffer.concat([first, ...this.#more]) : first);
    this.#drop();
    // Answers to somebody who asks but does not read would grow without end.
    if (this.#mayOverflow && this.buffered > this.#shared.limits.maxBufferedBytes)
      this.close(1008, "slow consumer");
    this.#mayOverflow = false;
  }

  #drop(): void {
    this.#first = this.#more = undefined;
    this.#heldBytes = 0;
  }

  /** Answers with a ping at each sweep; silence until the next one means nobody is there. */
  sweep(mayEnd: boolean): void {
    if (this.#isSilent && mayEnd) return this.terminate();
    this.#isSilent = true;
    this.write(pingFrame);
  }

  close(code: number, reason: string): void {
    if (this.#state === "closed") return;
    this.#mayOverflow = false;
    this.flush();
    this.#end();
    // 125 bytes fit into a close frame; the protocol cuts at 120.
    this.#ws.close(code, cutBytes(reason, 120));
  }

  /** Gives up at once: whatever was not sent is lost. */
  terminate(): void {
    this.#end();
    this.#ws.terminate();
  }

  received(data: Buffer, isBinary: boolean): void {
    this.#isSilent = false;
    if (this.#state === "closed") return;
    if (this.#state === "connecting") {
      this.#early ??= [];
      const size = this.#early.reduce((sum, [{ length }]) => sum + length, data.length);
      // Nobody has vouched for it yet: together they may be what a first frame alone may be.
      if (this.#early.push([data, isBinary]) > maxEarly || size > this.#shared.limits.preAuthBytes)
        this.close(1008, "too many frames before hello-ok");
      return;
    }
    if (isBinary && !isUtf8(data)) return this.close(1007, "invalid UTF-8");
    const parsed = parseFrame(data.toString("utf8"));
    if (this.#state === "await-connect") {
      if (parsed.kind === "garbage") return this.close(1000, "");
      if (parsed.kind === "bad") return this.close(1008, "invalid request frame");
      return void this.#connect(parsed.frame);
    }
    if (parsed.kind === "garbage") return;
    if (parsed.kind === "bad")
      return this.#answer(errorFrame(parsed.id, { code: "INVALID_REQUEST", message: parsed.message }));
    if (parsed.frame.method === "connect") {
      const message = "connect is only valid as the first request";
      return this.#answer(errorFrame(parsed.frame.id, { code: "INVALID_REQUEST", message }));
    }
    void this.#serve(parsed.frame);
  }

  heard(): void {
    this.#isSilent = false;
  }

  failed(error: Error): void {
    this.#shared.log.debug({ connId: this.id, reason: printable(error.message) }, "connection error");
  }

  hungUp(): void {
    this.#end();
  }

  answer(call: Call, payload: unknown): void {
    this.#roleRefusals = 0;
    this.#answer(okFrame(call.id, payload));
  }

  async #connect({ id, method, params }: RequestFrame): Promise<void> {
    const { authority, allowedOrigins, devices, now } = this.#shared;
    if (!this.#handshake) return;
    const { peer, nonce } = this.#handshake;
    this.#state = "connecting";
    const context = { connId: this.id, nonce, peer, authority, allowedOrigins, devices, now };
    const result =
      method === "connect"
        ? await authority
            .inTurn(peer, () => shakeHands(params ?? {}, context))
            .catch((error: unknown) => this.#unable(error))
        : refusal("INVALID_REQUEST", "invalid handshake: first request must be connect");
    if (!this.#isConnecting()) return;
    if (!result.ok) {
      this.#logRefusal(result.error.message, peer);
      this.#answer(errorFrame(id, result.error));
      return this.close(result.closeCode, result.error.message);
    }
    this.#handshake = undefined;
    this.#welcome(result.client);
    const hello = this.#shared.hello(this, result.client, result.protocol);
    // At once: held back, the large answers of a rush of clients would outlive the young generation.
    this.#socket.write(wsFrame(`{"type":"res","id":${JSON.stringify(id)},"ok":true,"payload":${hello}}`));
    this.#shared.ready(this, result.client);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const [data, isBinary] of early) this.received(data, isBinary);
  }

  /** It may have gone, or been sent away, while it was being judged. */
  #isConnecting(): boolean {
    return this.#state === "connecting";
  }

  #welcome({ caller, params }: Arrival): void {
    const { methods, limits, now } = this.#shared;
    this.#caller = methods.vouch(caller);
    this.#connectedAt = now();
    if (caller.role === "node") {
      const { client, caps = [], commands = [], permissions, pathEnv } = params;
      const more = { ...(permissions && { permissions }), ...(pathEnv !== undefined && { pathEnv }) };
      this.#node = { client, caps, commands, ...more };
    }
    this.#state = "ready";
    (this.#ws as unknown as Receiving)._receiver._maxPayload = limits.maxPayload;
  }

  /** Devices could not be read, say: the client may try again, and the log has the reason. */
  #unable(error: unknown): ReturnType<typeof refusal> {
    this.#shared.log.error({ err: error, connId: this.id }, "a client could not be judged");
    return refusal("UNAVAILABLE", "the gateway cannot look up devices at the moment; see its log");
  }

  #logRefusal(message: string, { ip, origin, userAgent }: Peer): void {
    const reason = printable(message, 300);
    this.#shared.log.warn(
      { connId: this.id, ip, origin: printable(origin), userAgent: printable(userAgent), reason },
      "connect refused",
    );
  }

  async #serve({ id, method, params }: RequestFrame): Promise<void> {
    const { limits, methods } = this.#shared;
    const caller = this.#caller;
    if (!caller) return;
    const calls = (this.#calls ??= new Set());
    if (calls.size >= limits.requestsInFlight) return this.#refuse(id, method, tooMany(calls.size));
    const call = new Call(this, id, caller);
    calls.add(call);
    try {
      this.answer(call, await methods.call(method, params, call));
    } catch (error) {
      try {
        if (!call.isAborted) this.#refuse(id, method, error);
      } catch (unsayable) {
        // Details that are no JSON must not take the gateway down with the plugin that gave them.
        this.#refuse(id, method, unsayable);
      }
    } finally {
      calls.delete(call);
    }
  }

  #refuse(id: string, method: string, error: unknown): void {
    const { log } = this.#shared;
    const answer = toProtocolError(error);
    if (!isRclawError(error))
      log.error({ err: error, connId: this.id, method: printable(method) }, "a method failed unexpectedly");
    this.#answer(errorFrame(id, answer));
    // A client that keeps asking for what its role forbids is broken or probing.
    this.#roleRefusals = answer.message.startsWith("unauthorized role: ") ? this.#roleRefusals + 1 : 0;
    if (this.#roleRefusals >= maxRoleRefusals) this.close(1008, "repeated unauthorized calls");
  }

  #answer(text: string): void {
    this.#mayOverflow = true;
    this.write(wsFrame(text));
  }

  #end(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#handshake = undefined;
    this.#early = undefined;
    this.#drop();
    this.#ended?.abort();
    for (const call of this.#calls ?? []) call.abort();
    this.#calls = undefined;
    this.#shared.gone(this);
  }
}

/** One request under way. An accepted one outlives its connection. */
class Call implements CallOptions {
  readonly id: string;
  readonly caller: Caller;
  readonly #connection: Connection;
  #controller: AbortController | undefined;
  #isAccepted = false;
  #isAborted = false;

  constructor(connection: Connection, id: string, caller: Caller) {
    this.#connection = connection;
    this.id = id;
    this.caller = caller;
  }

  /** Made when it is asked for: most methods answer without looking at it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isAborted) this.#controller.abort();
    return this.#controller.signal;
  }

  get isAborted(): boolean {
    return this.#isAborted;
  }

  // A property, because callees take it off the object.
  readonly accept = (payload: unknown): void => {
    if (this.#isAborted) return;
    this.#isAccepted = true;
    this.#connection.answer(this, payload);
  };

  abort(): void {
    if (this.#isAccepted) return;
    this.#isAborted = true;
    this.#controller?.abort();
  }
}

function refusal(code: string, message: string): { ok: false; closeCode: 1008; error: ProtocolError } {
  return { ok: false, closeCode: 1008, error: { code, message } };
}

function tooMany(count: number): RclawError {
  const message = `${count} requests of this connection are still unanswered; wait for some of them`;
  return new RclawError("RATE_LIMITED", message, { retryable: true });
}

function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  // `ws` hands out Buffers unless its binaryType is changed.
  (this as ClientSocket).connection?.received(data as Buffer, isBinary);
}

function onPong(this: WebSocket): void {
  (this as ClientSocket).connection?.heard();
}

function onClose(this: WebSocket): void {
  (this as ClientSocket).connection?.hungUp();
}

function onError(this: WebSocket, error: Error): void {
  (this as ClientSocket).connection?.failed(error);
}
