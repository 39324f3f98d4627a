import http from "node:http";
import fc from "fast-check";

export interface HttpFuzz {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

const paths = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom("/", "/webchat/app.js", "/webchat/", "/chat", "/favicon.ico", "/index.html"),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...[
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/models",
        "/tools/invoke",
        "/hooks/wake",
        "/hooks/agent",
      ],
      ...[
        "/telegram/webhook",
        "/__openclaw__/canvas/",
        "/__openclaw/control-ui-config.json",
        "/avatar/main",
        "/health",
      ],
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        "/../../etc/passwd",
        "/webchat/../../config.json",
        "/webchat/%2e%2e%2fconfig.json",
        "/webchat/..%5c..%5cx",
        "//evil.example/",
      ],
      ...[
        "/%00",
        "/%",
        "/%zz",
        "/?token=x",
        "/webchat/%c0%ae%c0%ae/x",
        "/.git/config",
        "/constructor",
        "/__proto__",
        "/webchat/__proto__",
      ],
      ...[`/${"a".repeat(4_000)}`, `/?${"a=b&".repeat(500)}`, "/;/x", "/\\x"],
    ),
  },
  { weight: 2, arbitrary: fc.webPath({ size: "small" }).map((path) => `/${path.replace(/^\/+/, "")}`) },
);
const header = fc.string({
  unit: fc.constantFrom("a", "Z", "0", "9", " ", ";", "=", ",", "/", "*", '"', "'", "<", ">", "-"),
  maxLength: 30,
});
const headers = fc
  .record(
    {
      authorization: fc.oneof(fc.constantFrom("Bearer", "Bearer x", "Basic eDp5", "bearer  "), header),
      origin: fc.constantFrom("null", "https://evil.example", "http://localhost:1", ""),
      host: fc.constantFrom("127.0.0.1", "evil.example", "localhost", "[::1]:1"),
      "content-type": fc.constantFrom(
        "application/json",
        "text/plain",
        "multipart/form-data",
        "application/json; charset=x",
      ),
      "x-forwarded-for": fc.constantFrom("127.0.0.1", "10.0.0.1, 127.0.0.1", "x"),
      "if-none-match": header,
      range: fc.constantFrom("bytes=0-0", "bytes=-1", "bytes=9-1", "x"),
      "accept-encoding": fc.constantFrom("gzip", "br", "identity;q=0", "*"),
      upgrade: fc.constantFrom("websocket", "h2c"),
      expect: fc.constantFrom("x"),
      cookie: header,
      "x-openclaw-token": header,
    },
    { requiredKeys: [] },
  )
  .map((all) =>
    Object.fromEntries(Object.entries(all).filter((_entry, i, list) => list.length < 4 || i % 3 === 0)),
  );
const bodies = fc.option(
  fc.oneof(
    fc.constantFrom(
      "{}",
      "[]",
      "null",
      "{",
      '{"model":"x","messages":[]}',
      '{"tool":"exec","args":{}}',
      "a".repeat(9_000),
    ),
    fc.json({ maxDepth: 2 }),
    fc.string({ unit: "binary", maxLength: 40 }),
  ),
  { nil: undefined },
);

/** The same requests for the same seed. */
export function httpFuzz(count: number, seed: number): HttpFuzz[] {
  const any = fc.record({
    method: fc.constantFrom(
      "GET",
      "GET",
      "GET",
      "POST",
      "POST",
      "HEAD",
      "PUT",
      "DELETE",
      "OPTIONS",
      "PATCH",
      "PROPFIND",
    ),
    path: paths,
    headers,
    body: bodies,
  });
  return fc.sample(any, { numRuns: count, seed });
}

/** Sends it as it is; undefined when the socket closed without an answer. */
export function sendHttp(
  port: number,
  { method, path, headers, body }: HttpFuzz,
  agent: http.Agent,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string } | undefined> {
  return new Promise((resolve) => {
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const upgrading = "upgrade" in headers && { connection: "upgrade" };
    const request = http.request({
      port,
      host: "127.0.0.1",
      method,
      path,
      agent,
      headers: { ...headers, ...upgrading, ...length },
    });
    const ended = (): void => resolve(undefined);
    request.setTimeout(20_000, () => request.destroy());
    request.on("error", ended);
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      ended();
    });
    request.on("response", (response) => {
      let text = "";
      response
        .setEncoding("latin1")
        .on("data", (piece: string) => (text += text.length < 4_000 ? piece : ""));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on("error", ended);
    });
    request.end(body);
  });
}
