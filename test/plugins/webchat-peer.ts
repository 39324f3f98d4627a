import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { PluginContext, Route } from "@rclaw/plugin-sdk";
import { type WebSocket, WebSocketServer } from "ws";
import webchat from "../../plugins/channels/webchat/index.ts";

type Params = Readonly<Record<string, unknown>>;
interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly details?: object };
}
type Answer = (params: Params) => unknown;

/** What the product puts on every response; the page has to live with it. */
const productPolicy = {
  "content-security-policy": "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'",
};
const productHeaders = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
};

/** The routes as the plugin registers them, by their declared name. */
export async function webchatRoutes(): Promise<Map<string, Route>> {
  const routes = new Map<string, Route>();
  const context: Pick<PluginContext<boolean>, "version" | "config"> & {
    routes: { register(route: Route): Disposable };
  } = {
    version: "0.1.0",
    config: true,
    routes: {
      register(route) {
        routes.set(route.route, route);
        return { [Symbol.dispose]: () => routes.delete(route.route) };
      },
    },
  };
  await webchat.activate(context as PluginContext<boolean>);
  return routes;
}

export interface Peer {
  readonly origin: string;
  /** Every request frame a page has sent, in order. */
  readonly requests: { readonly method: string; readonly params: Params }[];
  /** What is answered next time; a test replaces entries as it goes. */
  readonly answers: Map<string, Answer>;
  connections(): number;
  event(event: string, payload: object, seq?: number): void;
  dropAll(): void;
  /** Resolves with the params of the first request of that method that has not been waited for. */
  next(method: string): Promise<Params>;
  stop(): Promise<void>;
}

export interface PeerOptions {
  readonly token?: string;
  /** Without it only the page's own construction stands between a payload and the browser. */
  readonly csp?: boolean;
}

/** A gateway of literal frames: it knows nothing but what the test tells it to answer. */
export async function startPeer({ token = "right-token", csp = true }: PeerOptions = {}): Promise<Peer> {
  const routes = await webchatRoutes();
  const requests: { method: string; params: Params; taken?: boolean }[] = [];
  const waiting: { method: string; resolve(params: Params): void }[] = [];
  const answers = new Map<string, Answer>();
  const never = new AbortController().signal;

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://peer");
    const route = routes.get(pathname === "/" ? "GET /" : "GET /webchat/*");
    const asked = { method: "GET", path: pathname, query: {}, headers: {}, body: new Uint8Array() };
    void route?.handle(asked, never).then(({ status, headers, body = "" }) => {
      // What a route says of its own stands; these three it cannot take away.
      const all: Record<string, string> = { ...productPolicy, ...headers, ...productHeaders };
      if (!csp) delete all["content-security-policy"];
      response.writeHead(status, all);
      return response.end(body);
    });
  });
  const sockets = new WebSocketServer({ server });

  function record(method: string, params: Params): void {
    const entry: { method: string; params: Params; taken?: boolean } = { method, params };
    requests.push(entry);
    const index = waiting.findIndex((waiter) => waiter.method === method);
    if (index === -1) return;
    entry.taken = true;
    waiting.splice(index, 1)[0]?.resolve(params);
  }

  function refuse(socket: WebSocket, id: string, error: Refusal["error"]): void {
    socket.send(JSON.stringify({ type: "res", id, ok: false, error }));
  }

  function connect(socket: WebSocket, id: string, params: Params): void {
    const given = (params["auth"] as { token?: string } | undefined)?.token;
    if (given !== token) {
      const code = given === undefined ? "AUTH_TOKEN_MISSING" : "AUTH_TOKEN_MISMATCH";
      refuse(socket, id, {
        code: "INVALID_REQUEST",
        message: "unauthorized: gateway token mismatch",
        details: { code },
      });
      return socket.close(1008, "unauthorized: gateway token mismatch");
    }
    const sessionDefaults = {
      defaultAgentId: "main",
      mainKey: "main",
      mainSessionKey: "agent:main:main",
      scope: "per-sender",
    };
    const payload = {
      type: "hello-ok",
      protocol: 4,
      server: { version: "0.1.0", connId: "c1" },
      features: { methods: [], events: ["chat", "agent", "tick"] },
      snapshot: {
        presence: [],
        health: {},
        stateVersion: { presence: 1, health: 1 },
        uptimeMs: 1,
        sessionDefaults,
      },
      auth: { role: "operator", scopes: ["operator.admin"] },
      policy: { maxPayload: 26_214_400, maxBufferedBytes: 52_428_800, tickIntervalMs: 30_000 },
    };
    socket.send(JSON.stringify({ type: "res", id, ok: true, payload }));
  }

  sockets.on("connection", (socket) => {
    socket.send(
      JSON.stringify({ type: "event", event: "connect.challenge", payload: { nonce: "n", ts: 1 } }),
    );
    socket.on("message", async (data: Buffer) => {
      const {
        id,
        method,
        params = {},
      } = JSON.parse(data.toString()) as { id: string; method: string; params?: Params };
      record(method, params);
      if (method === "connect") return connect(socket, id, params);
      const answer = answers.get(method);
      if (!answer)
        return refuse(socket, id, { code: "INVALID_REQUEST", message: `unknown method: ${method}` });
      const payload = (await answer(params)) as Refusal | undefined;
      if (payload?.error) return refuse(socket, id, payload.error);
      socket.send(JSON.stringify({ type: "res", id, ok: true, payload }));
    });
  });

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    answers,
    connections: () => sockets.clients.size,
    event(event, payload, seq) {
      const frame = JSON.stringify({ type: "event", event, payload, ...(seq !== undefined && { seq }) });
      for (const socket of sockets.clients) socket.send(frame);
    },
    dropAll() {
      for (const socket of sockets.clients) socket.terminate();
    },
    next(method) {
      const entry = requests.find((candidate) => candidate.method === method && !candidate.taken);
      if (entry) {
        entry.taken = true;
        return Promise.resolve(entry.params);
      }
      return new Promise((resolve) => waiting.push({ method, resolve }));
    },
    async stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
