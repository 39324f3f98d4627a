import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { type Route, RclawError, type RouteRequest } from "@rclaw/plugin-sdk";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalPath } from "../../../plugins/services/http/http-path.ts";
import { token } from "./gateway.ts";
import { type Answer, bearer, echo, serve } from "./http-server.ts";

test("a route gets the raw body, its headers and its query, and answers as it likes", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("POST /hooks/telegram", "open", seen)]);
  const body = Buffer.from([0, 255, 10, 13, 128]);
  const answer = await http.fetch("/hooks/telegram?a=1&b=%20x&__proto__=y", {
    method: "POST",
    headers: {
      "content-type": "application/x-strange",
      "X-Signature": "abc",
      authorization: "Bearer webhook",
    },
    body,
  });
  expect(answer.status).toBe(200);
  expect(answer.headers["x-from"]).toBe("plugin");
  expect(Buffer.from(seen[0]?.body ?? "")).toEqual(body);
  expect(seen[0]).toMatchObject({ method: "POST", path: "/hooks/telegram", query: { a: "1", b: " x" } });
  expect(seen[0]?.headers).toMatchObject({ "x-signature": "abc", authorization: "Bearer webhook" });
  expect(Object.keys(Object.prototype)).toEqual([]);
});

test("SEC-053 every answer carries the headers that keep pages apart, whatever the route says", async () => {
  const open: Route = {
    route: "GET /page",
    auth: "open",
    handle: async () => ({
      status: 200,
      headers: {
        "Access-Control-Allow-Origin": "*",
        "X-Frame-Options": "ALLOW",
        "content-security-policy": "default-src 'none'",
        "content-type": "text/html",
      },
      body: "<p>",
    }),
  };
  await using http = await serve([open]);
  const safe = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
  };
  const page = await http.fetch("/page", { headers: { origin: "https://evil.example" } });
  expect(page.headers).toMatchObject({ ...safe, "content-security-policy": "default-src 'none'" });
  const policy = "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'";
  for (const path of ["/none", "/%zz", "/a/../b"]) {
    expect((await http.fetch(path)).headers).toMatchObject({ ...safe, "content-security-policy": policy });
  }
  for (const { headers } of [
    page,
    await http.fetch("/page", {
      method: "OPTIONS",
      headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
    }),
  ]) {
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
  }
});

test("a gateway route wants the token as a bearer, before a byte of the body is read", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("POST /api/x", "gateway", seen, { bodyLimit: 1_000 })]);
  const json = { "content-type": "application/json" };
  const post = (path: string, headers: Record<string, string>) =>
    http.fetch(path, { method: "POST", headers: { ...json, ...headers }, body: "{}" });
  const refused = await post("/api/x", {});
  expect(refused).toMatchObject({
    status: 401,
    body: '{"error":{"message":"Unauthorized","type":"unauthorized"}}',
  });
  expect((await post("/api/x", { authorization: "Bearer wrong" })).status).toBe(401);
  expect((await post("/api/x", { authorization: `Basic ${token}` })).status).toBe(401);
  expect((await post(`/api/x?token=${token}`, {})).status).toBe(400);
  expect((await post(`/api/x?token=${token}`, bearer)).status).toBe(400);
  expect(seen).toEqual([]);
  expect((await post("/api/x", bearer)).status).toBe(200);
  expect(seen[0]?.headers).not.toHaveProperty("authorization");

  // Nothing of the announced body is ever sent.
  const socket = connect(http.port, "127.0.0.1");
  socket.write(
    "POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n",
  );
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 401 /);
  socket.destroy();
});

test("guessing the bearer from a page is limited like guessing over the socket", async () => {
  await using http = await serve([echo("GET /api/x", "gateway", [])]);
  const origin = { origin: `http://127.0.0.1:${http.port}` };
  for (let i = 0; i < 10; i++)
    expect(
      (await http.fetch("/api/x", { headers: { ...origin, authorization: `Bearer no${i}` } })).status,
    ).toBe(401);
  const locked = await http.fetch("/api/x", { headers: { ...origin, ...bearer } });
  expect(locked.status).toBe(429);
  expect(Number(locked.headers["retry-after"])).toBeGreaterThan(290);
  expect((await http.fetch("/api/x", { headers: bearer })).status).toBe(200);
});

test("a path without a route is 404, another method 405, and both follow the live table", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([
    echo("GET /chat", "open", seen),
    echo("POST /chat", "open", seen),
    echo("GET /files/*", "open", seen),
  ]);
  expect(await http.fetch("/nope")).toMatchObject({ status: 404, body: "Not Found" });
  expect(await http.fetch("/nope", { method: "POST" })).toMatchObject({
    status: 405,
    body: "Method Not Allowed",
  });
  expect(await http.fetch("/chat", { method: "DELETE" })).toMatchObject({
    status: 405,
    headers: { allow: "GET, POST" },
  });
  expect((await http.fetch("/chat", { method: "PROPFIND" })).status).toBe(405);
  expect((await http.fetch("/files/a/b.txt")).body).toBe("/files/a/b.txt ");
  const head = await http.fetch("/chat", { method: "HEAD" });
  expect(head).toMatchObject({ status: 200, body: "" });

  http.routes.delete("GET /chat");
  expect((await http.fetch("/chat")).status).toBe(405);
  http.routes.set("GET /new", echo("GET /new", "open", seen));
  expect((await http.fetch("/new")).status).toBe(200);
});

test("SEC-052 a body over the route's limit is refused with 413, announced or not", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([
    echo("POST /small", "open", seen, { bodyLimit: 10 }),
    echo("POST /usual", "open", seen),
  ]);
  expect((await http.fetch("/small", { method: "POST", body: "x".repeat(10) })).status).toBe(200);
  expect((await http.fetch("/small", { method: "POST", body: "x".repeat(11) })).status).toBe(413);
  expect(
    (
      await http.fetch("/small", {
        method: "POST",
        body: "x".repeat(2_000_000),
        headers: { "transfer-encoding": "chunked" },
      })
    ).status,
  ).toBe(413);
  expect((await http.fetch("/usual", { method: "POST", body: "x".repeat(65_536) })).status).toBe(200);
  expect((await http.fetch("/usual", { method: "POST", body: "x".repeat(65_537) })).status).toBe(413);
  const socket = connect(http.port, "127.0.0.1");
  socket.write("POST /usual HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\nxx");
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 413 /);
  socket.destroy();
  expect(seen).toHaveLength(2);
});

test("SEC-048 SEC-052 compressed bodies and form posts to gateway routes are refused with 415", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("POST /open", "open", seen), echo("POST /api", "gateway", seen)]);
  const zipped = gzipSync("x".repeat(1_000_000));
  expect(
    (await http.fetch("/open", { method: "POST", body: zipped, headers: { "content-encoding": "gzip" } }))
      .status,
  ).toBe(415);
  expect(
    (
      await http.fetch("/open", {
        method: "POST",
        body: "a=1",
        headers: { "content-type": "application/x-www-form-urlencoded" },
      })
    ).status,
  ).toBe(200);
  for (const type of [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "TEXT/PLAIN; charset=utf-8",
  ]) {
    expect(
      (await http.fetch("/api", { method: "POST", body: "{}", headers: { ...bearer, "content-type": type } }))
        .status,
      type,
    ).toBe(415);
  }
  expect(
    (await http.fetch("/open", { method: "POST", body: "{}", headers: { "content-type": ";;;" } })).status,
  ).toBe(415);
});

test.each([
  [{ "sec-fetch-site": "cross-site" }, 403],
  [{ origin: "https://evil.example" }, 403],
  [{ origin: "null" }, 403],
  [{ origin: "http://localhost.evil.com" }, 403],
  [{ "sec-fetch-site": "same-origin" }, 200],
  [{ origin: "http://127.0.0.1:5173", "sec-fetch-site": "same-site" }, 200],
  [{}, 200],
])("a page's attempt to change something with %j gives %i", async (headers, status) => {
  const seen: RouteRequest[] = [];
  await using http = await serve(
    ["POST", "PUT", "PATCH", "DELETE"].map((method) => echo(`${method} /change`, "open", seen)),
  );
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const answer = await http.fetch("/change", {
      method,
      headers: { ...headers, "content-type": "text/plain" },
      body: "{}",
    });
    expect(answer.status, method).toBe(status);
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
  }
  expect(seen).toHaveLength(status === 200 ? 4 : 0);
});

test("SEC-046 every spelling of a path gets the same decision", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([
    echo("GET /api/channels/x", "gateway", seen),
    echo("GET /public/*", "open", seen),
  ]);
  const same = [
    "/api/channels/x",
    "/api/%63hannels/x",
    "//api//channels//x",
    "/api/./channels/x",
    "/./api/channels/x/",
    "/api%2fchannels%2Fx",
    "/%61%70%69/channels/%78",
    "/api/channels/x?y=1",
    "/api/channels/x#frag",
    "///api/channels/x/./",
  ];
  for (const path of same) {
    expect((await http.fetch(path)).status, path).toBe(401);
    expect((await http.fetch(path, { headers: bearer })).body, path).toBe("/api/channels/x ");
  }
  const never: [string, number][] = [
    ["/api/%zz", 400],
    ["/api/%", 400],
    ["/api/%c3%28", 400],
    ["/api/%2563hannels/x", 400],
    ["/public/%252e%252e/api/channels/x", 400],
    ["/public/../api/channels/x", 404],
    ["/public/%2e%2e/api/channels/x", 404],
    ["/public/..%2fapi/channels/x", 404],
    ["/public/%2e%2e%2fapi%2fchannels/x", 404],
    ["/public/..;/api/channels/x", 404],
    ["/public/...", 404],
    ["/public/..\\api\\channels\\x", 404],
    ["/public/%5c..%5capi", 404],
    ["/public/x%00.html", 404],
    ["/public/x%0d%0aSet-Cookie:a", 404],
    ["/API/Channels/x", 404],
    ["/api/Channels/x", 404],
  ];
  for (const [path, status] of never) {
    expect((await http.fetch(path, { headers: bearer })).status, path).toBe(status);
  }
  expect(seen).toHaveLength(same.length);
  const socket = connect(http.port, "127.0.0.1");
  socket.write("GET http://elsewhere/api/channels/x HTTP/1.1\r\nHost: x\r\n\r\n");
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 400 /);
  socket.destroy();
});

test("a canonical path is its own canonical path and never climbs", () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom("a", "/", ".", "%", "2", "e", "f", "\\", "5", "c", "?", "#", ";", "é"),
      }),
      (text) => {
        const once = canonicalPath(`/${text}`);
        if (!once.ok) return;
        expect(once.path.startsWith("/")).toBe(true);
        expect(once.path).not.toMatch(/\/\/|\/\.{1,2}(\/|$)|\\/);
        const again = canonicalPath(encodeURI(once.path).replaceAll(/[?#]/g, encodeURIComponent));
        expect(again).toEqual({ ok: true, path: once.path, query: "" });
      },
    ),
  );
});

test("a route that fails answers with its error, or with none of its inside", async () => {
  const fail = (name: string, error: unknown): Route => ({
    route: `GET ${name}`,
    auth: "open",
    handle: () => Promise.reject(error),
  });
  await using http = await serve([
    fail("/gone", new RclawError("NOT_FOUND", "there is no such file")),
    fail("/busy", new RclawError("RATE_LIMITED", "too fast")),
    fail("/boom", new Error("secret path /root/x")),
    {
      route: "GET /header",
      auth: "open",
      handle: async () => ({ status: 200, headers: { "x-a": "b\r\nset-cookie: c" }, body: "x" }),
    },
  ]);
  expect(await http.fetch("/gone")).toMatchObject({
    status: 404,
    body: '{"error":{"message":"there is no such file","type":"not_found"}}',
  });
  expect((await http.fetch("/busy")).status).toBe(429);
  const boom = await http.fetch("/boom");
  expect(boom.status).toBe(500);
  expect(boom.body).not.toContain("secret");
  const header = await http.fetch("/header");
  expect(header.status).toBe(500);
  expect(header.headers).not.toHaveProperty("set-cookie");
});

test("a client that goes away aborts its route", async () => {
  let started: (signal: AbortSignal) => void = () => undefined;
  const signalOf = new Promise<AbortSignal>((resolve) => (started = resolve));
  const hang: Route = {
    route: "GET /hang",
    auth: "open",
    handle: (_given, signal) => {
      started(signal);
      return new Promise(() => undefined);
    },
  };
  await using http = await serve([hang], { limits: { closeMs: 200 } });
  const socket = connect(http.port, "127.0.0.1");
  socket.write("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
  const signal = await signalOf;
  expect(signal.aborted).toBe(false);
  const aborted = once(signal, "abort");
  socket.destroy();
  await aborted;
});

test("SEC-052 SEC-060 a body that trickles in is given up with 408, and the socket with it", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("POST /hook", "open", seen)], {}, { bodyMs: 60 });
  const socket = connect(http.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write("POST /hook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx");
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 408 /);
  await once(socket, "close");
  expect(seen).toEqual([]);
});

test("SEC-060 one address has so many open requests and no more, and gets its places back", async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const slow: Route = {
    route: "GET /slow",
    auth: "open",
    async handle() {
      await gate;
      return { status: 200, body: "at last" };
    },
  };
  await using http = await serve([slow], {}, { openLocal: 3 });
  const first = [http.fetch("/slow"), http.fetch("/slow"), http.fetch("/slow")];
  let refused: Answer = { status: 0, headers: {}, body: "" };
  // Which of the four comes last is the machine's choice.
  const fourth = http.fetch("/slow");
  refused = await Promise.race([...first, fourth]);
  expect(refused.status).toBe(429);
  expect(refused.headers["retry-after"]).toBe("5");
  open();
  const all = await Promise.all([...first, fourth]);
  expect(all.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 200, 200, 429]);
  expect((await http.fetch("/slow")).status).toBe(200);
});

test("a route that never answers is told to stop, and its caller gets 504", async () => {
  let told: unknown;
  const never: Route = {
    route: "GET /never",
    auth: "open",
    handle: (_given, signal) =>
      new Promise(() => signal.addEventListener("abort", () => void (told = signal.reason))),
  };
  await using http = await serve([never], {}, { handlerMs: 30 });
  expect((await http.fetch("/never")).status).toBe(504);
  expect(told).toBeInstanceOf(Error);
});

test("SEC-052 headers that trickle in, and ten thousand of them, end the socket", async () => {
  await using http = await serve([echo("GET /x", "open", [])], { limits: { headersMs: 50 } });
  const slow = connect(http.port, "127.0.0.1");
  slow.on("error", () => undefined);
  slow.write("GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-");
  const many = connect(http.port, "127.0.0.1");
  many.on("error", () => undefined);
  many.write(`GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n${"X-Y: z\r\n".repeat(10_000)}\r\n`);
  many.resume();
  slow.resume();
  const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));
  await Promise.all([closed(slow), closed(many)]);
});
