import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import type { Caller, Route, RouteRequest } from "@rclaw/plugin-sdk";
import type { HttpOptions } from "@rclaw/plugin-sdk/services/http";
import { createHttp } from "../../../plugins/services/http/http.ts";
import { startGateway, type TestGateway, token } from "./gateway.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

type Served = TestGateway & {
  readonly seen: RouteRequest[];
  readonly routes: Map<string, Route>;
  fetch: typeof fetchAnswer;
};

export async function serve(
  list: readonly Route[],
  options: Parameters<typeof startGateway>[0] = {},
  limits: HttpOptions["limits"] = {},
): Promise<Served> {
  const routes = new Map(list.map((route) => [route.route, route]));
  const seen: RouteRequest[] = [];
  let handle: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  const gateway = await startGateway({
    http: (incoming, response) => handle?.(incoming, response),
    ...options,
  });
  handle = await createHttp({
    routes: {
      names: () => [...routes.keys()],
      get: async (name) => routes.get(name) as Route,
    },
    auth: gateway.gateway.bearer,
    caller: owner,
    counts: async () => ({
      startedAt: Date.now() - 5_000,
      connections: 2,
      runs: 1,
      sessions: 3,
      calls: [
        ["chat.send", 4],
        ["chat.history", 1],
        ["agent", 2],
        ["wake", 0],
      ],
    }),
    isOriginAllowed: gateway.gateway.isOriginAllowed,
    addressOf: gateway.gateway.addressOf,
    log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    limits,
  });
  const dispose = gateway[Symbol.asyncDispose].bind(gateway);
  return {
    ...gateway,
    seen,
    routes,
    fetch: (path, init) => fetchAnswer(path, { ...init, port: gateway.port }),
    [Symbol.asyncDispose]: dispose,
  };
}

/** node:http rather than fetch: it sends a path as it is given. */
async function fetchAnswer(
  path: string,
  {
    port = 0,
    method = "GET",
    headers = {},
    body,
  }: { port?: number; method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  // Node sends the body of a DELETE without saying how long it is, unless it is told.
  const framed =
    body === undefined || "transfer-encoding" in headers
      ? headers
      : { "content-length": String(Buffer.byteLength(body)), ...headers };
  const sent = request({ host: "127.0.0.1", port, path, method, headers: framed, agent: false });
  sent.on("error", () => undefined);
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body: text };
}

export function echo(
  route: string,
  auth: Route["auth"],
  seen: RouteRequest[],
  extra: Partial<Route> = {},
): Route {
  return {
    route,
    auth,
    ...extra,
    async handle(given) {
      seen.push(given);
      return {
        status: 200,
        headers: { "content-type": "text/plain", "x-from": "plugin" },
        body: `${given.path} ${Buffer.from(given.body).toString("latin1")}`,
      };
    },
  };
}

export const owner: Caller = {
  kind: "client",
  principal: "client:http",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
};
export const bearer = { authorization: `Bearer ${token}` };
