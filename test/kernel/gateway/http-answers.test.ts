import { once } from "node:events";
import { connect } from "node:net";
import type { Route, RouteRequest } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { bearer, echo, owner, serve } from "./http-server.ts";

/** A route whose pieces the test hands out one by one. */
function piecewise(): {
  route: Route;
  give(piece: string | Error | undefined): void;
  ended: Promise<string>;
} {
  const waiting: (string | Error | undefined)[] = [];
  let wake: () => void = () => undefined;
  let tell: (how: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => (tell = resolve));
  async function* pieces(signal: AbortSignal): AsyncGenerator<string> {
    try {
      for (;;) {
        while (waiting.length === 0 && !signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve;
            signal.addEventListener("abort", () => resolve(), { once: true });
          });
        }
        if (signal.aborted) return tell("aborted");
        const piece = waiting.shift();
        if (piece === undefined) return tell("whole");
        if (piece instanceof Error) throw piece;
        yield piece;
      }
    } finally {
      tell("left");
    }
  }
  const route: Route = {
    route: "GET /pieces",
    auth: "open",
    handle: async (_given, signal) => ({
      status: 200,
      headers: { "content-type": "text/event-stream" },
      body: pieces(signal),
    }),
  };
  return { route, ended, give: (piece) => (waiting.push(piece), wake()) };
}

const raw = "GET /pieces HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

test("an answer in pieces begins at once and goes out piece by piece", async () => {
  const { route, give, ended } = piecewise();
  await using http = await serve([route]);
  const socket = connect(http.port, "127.0.0.1");
  socket.setEncoding("utf8").write(raw);
  const [head] = (await once(socket, "data")) as [string];
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(head).toContain("x-content-type-options: nosniff");
  give("data: one\n\n");
  expect(await once(socket, "data")).toEqual(["b\r\ndata: one\n\n\r\n"]);
  give("data: two\n\n");
  expect(await once(socket, "data")).toEqual(["b\r\ndata: two\n\n\r\n"]);
  give(undefined);
  expect(await once(socket, "data")).toEqual(["0\r\n\r\n"]);
  expect(await ended).toBe("whole");
  socket.destroy();
});

test("a client that goes away in the middle of an answer ends what makes it", async () => {
  const { route, give, ended } = piecewise();
  await using http = await serve([route]);
  const socket = connect(http.port, "127.0.0.1");
  socket.write(raw);
  give("one");
  await once(socket, "data");
  socket.destroy();
  expect(await ended).toBe("aborted");
});

test("a client that reads slowly is not written to faster than it reads", async () => {
  let made = 0;
  let left: () => void = () => undefined;
  const over = new Promise<void>((resolve) => (left = resolve));
  const route: Route = {
    route: "GET /pieces",
    auth: "open",
    handle: async () => ({
      status: 200,
      body: (async function* () {
        try {
          for (;;) {
            made++;
            yield Buffer.alloc(1_048_576);
          }
        } finally {
          left();
        }
      })(),
    }),
  };
  await using http = await serve([route]);
  const socket = connect(http.port, "127.0.0.1");
  socket.write(raw);
  await once(socket, "readable");
  // The kernel's buffers of both ends take some of it, and then nobody asks for more.
  for (let before = -1; before !== made;) {
    before = made;
    await new Promise((resolve) => setImmediate(resolve));
    await http.fetch("/none");
  }
  expect(made).toBeLessThan(64);
  socket.destroy();
  await over;
});

test("an answer that breaks off is cut, so that nobody takes it for whole", async () => {
  const { route, give } = piecewise();
  await using http = await serve([route]);
  const socket = connect(http.port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  socket.write(raw);
  give("one");
  give(new Error("secret /root/x"));
  await once(socket, "close");
  expect(text).toContain("one");
  expect(text).not.toMatch(/0\r\n\r\n$|secret/);
});

test("HEAD of an answer in pieces is its head", async () => {
  const { route } = piecewise();
  await using http = await serve([route]);
  const answer = await http.fetch("/pieces", { method: "HEAD" });
  expect(answer).toMatchObject({ status: 200, body: "" });
  expect(answer.headers["content-type"]).toBe("text/event-stream");
});

test("a gateway route is told who asks, an open one is told nobody", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("GET /mine", "gateway", seen), echo("GET /any", "open", seen)]);
  await http.fetch("/mine", { headers: bearer });
  await http.fetch("/any", { headers: bearer });
  expect(seen[0]?.caller).toBe(owner);
  expect(seen[1]).not.toHaveProperty("caller");
  expect(seen[1]).not.toHaveProperty("ip");
});

test("a route with a check of its own refuses before a byte of the body is read", async () => {
  const seen: RouteRequest[] = [];
  const heads: object[] = [];
  const guarded = echo("POST /guarded", "open", seen, {
    async admit(head) {
      heads.push(head);
      if (head.headers["x-key"] === "right") return undefined;
      return { status: 401, headers: { "content-type": "text/plain" }, body: "who are you" };
    },
  });
  await using http = await serve([guarded]);
  const socket = connect(http.port, "127.0.0.1");
  socket.write("POST /guarded?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n");
  const [first] = (await once(socket, "data")) as [Buffer];
  expect(first.toString()).toMatch(/^HTTP\/1\.1 401 .*who are you$/s);
  socket.destroy();
  expect(heads[0]).toMatchObject({ method: "POST", path: "/guarded", query: { a: "1" } });
  expect(heads[0]).not.toHaveProperty("body");
  expect(seen).toEqual([]);
  const right = await http.fetch("/guarded", {
    method: "POST",
    headers: { "x-key": "right" },
    body: "hello",
  });
  expect(right).toMatchObject({ status: 200, body: "/guarded hello" });
});

test("a check that fails is a failure of the route, not a way in", async () => {
  const seen: RouteRequest[] = [];
  const broken = echo("POST /guarded", "open", seen, { admit: () => Promise.reject(new Error("no idea")) });
  await using http = await serve([broken]);
  expect((await http.fetch("/guarded", { method: "POST", body: "x" })).status).toBe(500);
  expect(seen).toEqual([]);
});

test("a route may take longer than others, and one may take as long as its client waits", async () => {
  const never: Route = {
    route: "GET /slow",
    auth: "open",
    timeoutMs: 20,
    handle: () => new Promise(() => undefined),
  };
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const patient: Route = {
    route: "GET /patient",
    auth: "open",
    timeoutMs: 0,
    handle: () => gate.then(() => ({ status: 200, body: "at last" })),
  };
  await using http = await serve([never, patient], {}, { handlerMs: 10 });
  const waiting = http.fetch("/patient");
  expect((await http.fetch("/slow")).status).toBe(504);
  open();
  expect((await waiting).body).toBe("at last");
});

test("SEC-046 nothing below /api/channels is open, whatever a route says and however it is spelled", async () => {
  const seen: RouteRequest[] = [];
  await using http = await serve([echo("GET /api/channels/x", "open", seen)]);
  const spellings = [
    "/api/channels/x",
    "/api/%63hannels/x",
    "//api/./channels//x",
    "/api/channels",
    "/API/channels/y",
  ];
  for (const path of spellings) {
    const answer = await http.fetch(path);
    expect(answer, path).toMatchObject({
      status: 401,
      body: '{"error":{"message":"Unauthorized","type":"unauthorized"}}',
    });
  }
  expect(seen).toEqual([]);
  expect((await http.fetch("/api/channels/x", { headers: bearer })).status).toBe(200);
  expect((await http.fetch("/api/channelsx")).status).toBe(404);
});

test("metrics are Prometheus' and for whoever shows the token", async () => {
  await using http = await serve([]);
  expect((await http.fetch("/metrics")).status).toBe(401);
  const { status, headers, body } = await http.fetch("/metrics", { headers: bearer });
  expect(status).toBe(200);
  expect(headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
  for (const line of body.trimEnd().split("\n"))
    expect(line).toMatch(/^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{[a-z]+="[\w.-]+"\})? [\d.e+-]+)$/);
  expect(body).toContain('rclaw_requests_total{group="chat"} 5\nrclaw_requests_total{group="agent"} 2\n#');
  expect(body).toContain('rclaw_http_requests_total{method="GET"} 2\n');
  expect(body).toContain("rclaw_connections 2\n");
  expect(body).toContain("rclaw_sessions 3\n");
  expect(body).toContain("rclaw_runs_active 1\n");
  const [, uptime] = /^rclaw_uptime_seconds ([\d.]+)$/m.exec(body) ?? [];
  expect(Number(uptime)).toBeGreaterThanOrEqual(5);
  expect((await http.fetch("/metrics", { method: "POST", headers: bearer })).status).toBe(405);
});
