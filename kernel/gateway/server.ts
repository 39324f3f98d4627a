import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { hostname } from "node:os";
import type { Duplex } from "node:stream";
import { type Caller, type ErrorCode, type Logger, RclawError } from "@rclaw/plugin-sdk";
import type { ConnectedClient } from "@rclaw/plugin-sdk/gateway";
import { WebSocketServer } from "ws";
import { type AuthorityOptions, type AuthRules, createAuthority } from "./auth.ts";
import { createCrowd } from "@rclaw/plugin-sdk/services/crowd";
import type { BearerVerdict } from "@rclaw/plugin-sdk/services/http";
import type { Tls } from "@rclaw/plugin-sdk/services/listening";
import { judgeBearer } from "./bearer.ts";
import { type BroadcastOptions, createBroadcaster } from "./broadcast.ts";
import { ClientSocket, Connection } from "./connection.ts";
import { type StateVersion, toJson } from "./frames.ts";
import type { Arrival, HandshakeContext } from "./handshake.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import type { Methods } from "./methods.ts";
import { isOriginAllowed } from "./origin.ts";
import { inRanges, isLoopbackIp, limitKey, peerOf, plainIp } from "@rclaw/plugin-sdk/services/peer";
import { createWaitingRoom } from "./waiting.ts";

/** The state a client starts from, as hello-ok carries it. */
interface HelloSnapshot {
  readonly presence: readonly object[];
  readonly health: object;
  readonly stateVersion: StateVersion;
  readonly uptimeMs: number;
  readonly configPath: string;
  readonly stateDir: string;
  readonly sessionDefaults: object;
  readonly authMode: string;
}

export interface GatewayOptions {
  /** Read anew for every attempt, like `allowedOrigins`. */
  readonly auth: AuthRules;
  readonly methods: Methods;
  readonly version: string;
  readonly log: Logger;
  readonly allowedOrigins: readonly string[];
  /** For hello-ok. */
  readonly events: readonly string[];
  /** Told to clients of protocol 4. */
  readonly capabilities: readonly string[];
  snapshot(caller: Caller): HelloSnapshot;
  readonly limits?: Partial<Limits>;
  /** Default node:http's; another one for TLS. */
  readonly createServer?: Tls["createServer"];
  /** Requests that are neither an upgrade nor answered cheaply here. */
  http(request: IncomingMessage, response: ServerResponse): void;
  readonly devices: HandshakeContext["devices"];
  readonly tailnetUser?: AuthorityOptions["tailnetUser"];
  /** A client was let in; called before `snapshot`, so that it finds itself in it. */
  joined?(client: Arrival): void;
  /** Its hello-ok is on the way. */
  greeted?(client: Arrival): void;
  /** A client that had joined is gone. */
  left?(caller: Caller): void;
  /** For `/readyz`; a gateway that closes is never ready. */
  isReady?(): boolean;
  now?(): number;
}

export interface Gateway {
  listen(port: number, hosts: readonly string[]): Promise<{ port: number }>;
  broadcast(event: string, payload: unknown, options?: BroadcastOptions): void;
  send(connId: string, event: string, payload: unknown): boolean;
  connections(): number;
  clients(): readonly ConnectedClient[];
  closeWhere(test: (caller: Caller) => boolean, code: number, reason: string): void;
  /** The gateway's token as a bearer, counted by the same limiter as the socket's. */
  bearer(request: IncomingMessage): Promise<BearerVerdict>;
  /** What limits count by; undefined for this machine. */
  addressOf(request: IncomingMessage): string | undefined;
  /** May the page behind this request act here? True when no page is behind it. */
  isOriginAllowed(request: IncomingMessage): boolean;
  close(reason: { event: object }): Promise<void>;
}

export function createGateway(options: GatewayOptions): Gateway {
  const { log, methods } = options;
  const now = options.now ?? Date.now;
  const limits: Limits = { ...defaultLimits, ...options.limits };
  const { devices, tailnetUser } = options;
  const authority = createAuthority({ rules: () => options.auth, ...(tailnetUser && { tailnetUser }), now });
  const broadcaster = createBroadcaster({ maxBufferedBytes: limits.maxBufferedBytes, now });
  const waiting = createWaitingRoom(limits, now);
  const crowd = createCrowd();
  const life = new AbortController();
  const servers: Server[] = [];
  const held: Connection[] = [];
  const hello = helloWriter(options, limits);

  const shared = {
    limits,
    methods,
    authority,
    get allowedOrigins() {
      return options.allowedOrigins;
    },
    log,
    devices,
    now,
    hello(connection: Connection, client: Arrival, protocol: number): string {
      waiting.leave(connection);
      options.joined?.(client);
      return hello(connection.id, client, protocol);
    },
    flushSoon(connection: Connection): void {
      if (held.push(connection) > 1) return;
      setImmediate(() => {
        for (const each of held.splice(0)) each.flush();
      });
    },
    ready(connection: Connection, client: Arrival): void {
      broadcaster.add(connection);
      options.greeted?.(client);
    },
    gone(connection: Connection): void {
      waiting.leave(connection);
      broadcaster.remove(connection);
      if (connection.caller) options.left?.(connection.caller);
    },
  };

  const receiving = {
    noServer: true,
    WebSocket: ClientSocket,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: limits.preAuthBytes,
    closeTimeout: limits.closeMs,
  };
  const upgrades = new WebSocketServer(receiving);

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const peer = peerOf(request.socket.remoteAddress, request.headers, options.auth.trustedProxies ?? []);
    if (life.signal.aborted) return refuse(socket, "503 Service Unavailable", "the gateway is stopping");
    const isFromTailnet = options.auth.allowTailscale && "tailscale-user-login" in request.headers;
    if (peer.isUnattributed && !isFromTailnet) {
      const hint =
        "proxy_attribution_required: a proxy on this machine forwards for others; name it in gateway.trustedProxies";
      return refuse(socket, "403 Forbidden", hint);
    }
    const place = waiting.take(peer);
    const full = "too many connections are waiting to connect; try again shortly";
    if (!place) return refuse(socket, "503 Service Unavailable", full);
    upgrades.handleUpgrade(request, socket, head, (ws) => {
      const connection = new Connection(shared, ws, socket, peer);
      waiting.enter(connection, place);
      connection.challenge();
    });
    // A bad upgrade is answered by `ws`, which then never calls back.
    waiting.giveBack(place);
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const [path] = (request.url ?? "").split("?", 1);
    if (path === "/healthz" || path === "/health") return probe(request, response, true);
    if (path === "/readyz" || path === "/ready")
      return probe(request, response, !life.signal.aborted && (options.isReady?.() ?? true));
    options.http(request, response);
  }

  /** Counted at the door, so that whoever never says anything counts as well. */
  function countIn(socket: Socket): void {
    const ip = plainIp(socket.remoteAddress ?? "");
    // This machine and our proxies speak for many.
    const isMany = isLoopbackIp(ip) || inRanges(ip, options.auth.trustedProxies ?? []);
    const leave = crowd.enter(limitKey(ip), isMany ? limits.socketsLocal : limits.socketsPerIp);
    if (leave) socket.once("close", leave);
    else socket.destroy();
  }

  async function listenOn(host: string, port: number): Promise<number> {
    const create = options.createServer ?? createServer;
    const server = create({ connectionsCheckingInterval: Math.min(limits.headersMs, 5_000) }, serve);
    server.headersTimeout = limits.headersMs;
    server.requestTimeout = limits.requestMs;
    server.on("connection", countIn);
    server.on("upgrade", upgrade);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, host, ipv6Only: host.includes(":"), backlog: 4_096 }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", acceptErrors(log, now));
    servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  return {
    async listen(port, hosts) {
      const [first = "127.0.0.1", ...rest] = hosts;
      try {
        const bound = await listenOn(first, port).catch((error: unknown) =>
          Promise.reject(explain(error, first, port)),
        );
        for (const host of rest) {
          await listenOn(host, bound).catch((error: unknown) => {
            if (!isAbsent(error) || host !== "::1") throw explain(error, host, bound);
            log.debug({ host }, "this machine has no IPv6 loopback");
          });
        }
        broadcaster.start(limits.tickMs, life.signal);
        return { port: bound };
      } catch (error) {
        for (const server of servers.splice(0)) server.close();
        throw error;
      }
    },
    broadcast: broadcaster.broadcast,
    send: broadcaster.send,
    connections: () => broadcaster.size,
    clients: () => broadcaster.all().flatMap(({ client }) => client ?? []),
    closeWhere(test, code, reason) {
      for (const connection of broadcaster.all()) {
        if (connection.caller && test(connection.caller)) connection.close(code, reason);
      }
    },
    async bearer(request) {
      const { host } = request.headers;
      // A page whose own name was made to lead here sends no Origin with what it reads.
      const isOurs = isOriginAllowed(`http://${host}`, host, options.allowedOrigins, options.auth.mode);
      return isOurs ? judgeBearer(request, authority) : { ok: false };
    },
    addressOf({ socket, headers }) {
      const peer = peerOf(socket.remoteAddress, headers, options.auth.trustedProxies ?? []);
      return peer.isLoopback ? undefined : limitKey(peer.ip);
    },
    isOriginAllowed: ({ headers: { origin, host } }) =>
      origin === undefined || isOriginAllowed(origin, host, options.allowedOrigins, options.auth.mode),
    async close({ event }) {
      if (life.signal.aborted) return;
      life.abort();
      const closed = Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      broadcaster.broadcast("shutdown", event);
      const clients = [...broadcaster.all(), ...waiting.all()];
      waiting.close();
      for (const client of clients) client.close(1012, "service restart");
      const deadline = setTimeout(() => {
        for (const client of clients) client.terminate();
        for (const server of servers) server.closeAllConnections();
      }, limits.closeMs);
      await closed;
      clearTimeout(deadline);
    },
  };
}

/** hello-ok as JSON. Presence and health are the same for all: their text is made once per change, not once per client. */
function helloWriter(
  options: GatewayOptions,
  limits: Limits,
): (connId: string, client: Arrival, protocol: number) => string {
  const events = JSON.stringify(options.events);
  const capabilities = JSON.stringify(options.capabilities);
  const policy = JSON.stringify({
    maxPayload: limits.maxPayload,
    maxBufferedBytes: limits.maxBufferedBytes,
    tickIntervalMs: limits.tickMs,
  });
  const host = hostname();
  return (connId, { caller, grant }, protocol) => {
    const { presence, health, ...rest } = options.snapshot(caller);
    const server = JSON.stringify({ version: options.version, connId, host });
    const more = protocol < 4 ? "" : `,"capabilities":${capabilities}`;
    const features = `{"methods":${JSON.stringify(options.methods.names())},"events":${events}${more}}`;
    const snapshot = `{"presence":[${presence.map(toJson).join(",")}],"health":${toJson(health)},${JSON.stringify(rest).slice(1)}`;
    const auth = JSON.stringify({ role: caller.role, scopes: caller.scopes, ...grant });
    return `{"type":"hello-ok","protocol":${protocol},"server":${server},"features":${features},"snapshot":${snapshot},"auth":${auth},"policy":${policy}}`;
  };
}

function probe(request: IncomingMessage, response: ServerResponse, ok: boolean): void {
  const isRead = request.method === "GET" || request.method === "HEAD";
  response.writeHead(isRead ? (ok ? 200 : 503) : 405, {
    "Content-Type": "application/json; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    ...(!isRead && { Allow: "GET, HEAD" }),
  });
  response.end(isRead ? `{"ok":${ok}}` : undefined);
}

/** A refusal before there is a WebSocket to refuse on. */
function refuse(socket: Duplex, status: string, message: string): void {
  socket.on("error", () => undefined);
  socket.once("finish", () => socket.destroy());
  const head = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${message.length}`;
  socket.end(`${head}\r\n\r\n${message}`);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function isAbsent(error: unknown): boolean {
  const code = codeOf(error);
  return code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT";
}

function explain(error: unknown, host: string, port: number): RclawError {
  const [code, message] = whyNot(error, host, port);
  return new RclawError(code, message, { cause: error, details: { host, port } });
}

function whyNot(error: unknown, host: string, port: number): [ErrorCode, string] {
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return [
        "PORT_IN_USE",
        `port ${port} on ${host} is taken by another program; stop that one, or choose another port with gateway.port`,
      ];
    case "EACCES":
      return [
        "PERMISSION_DENIED",
        `this user may not listen on port ${port}; choose one above 1023 with gateway.port`,
      ];
    case "EADDRNOTAVAIL":
      return ["CONFIG_INVALID", `this machine has no address ${host}; correct gateway.bind`];
    default:
      return ["UNAVAILABLE", `cannot listen on ${host} port ${port}: ${String(error)}`];
  }
}

/**
 * Accepting fails when the process runs out of file descriptors. Node goes on by itself as
 * soon as some are free, if only somebody listens for the error; it may come thousands of times.
 */
function acceptErrors(log: Logger, now: () => number): (error: Error) => void {
  let quietUntil = 0;
  return (error) => {
    if (now() < quietUntil) return;
    quietUntil = now() + 10_000;
    log.error({ err: error }, "cannot accept a connection; existing ones go on");
  };
}
