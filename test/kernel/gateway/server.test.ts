import { once } from "node:events";
import { get, request } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { createGateway } from "../../../kernel/gateway/server.ts";
import { connectClient, openClient } from "../../support/ws-client.ts";
import { startGateway, token } from "./gateway.ts";

const hasIPv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === "::1"),
);

async function fetchText(
  url: string,
  method = "GET",
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  const sent = request(url, { method });
  sent.end();
  const [response] = await once(sent, "response");
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body, headers: response.headers };
}

test("both loopback addresses lead to the same port, and any path is a socket", async () => {
  await using gateway = await startGateway();
  for (const host of hasIPv6 ? ["127.0.0.1", "[::1]"] : ["127.0.0.1"]) {
    for (const path of ["", "/", "/ws", "/deep/er?x=1"]) {
      const { client, answer } = await connectClient(`ws://${host}:${gateway.port}${path}`, { token });
      expect(answer.ok).toBe(true);
      await client.close();
    }
  }
});

test("a port that is taken is named, with the way out", async () => {
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  await using other = await startGateway();
  const { gateway } = await idle();
  await expect(gateway.listen(port, ["127.0.0.1", "::1"])).rejects.toMatchObject({
    code: "PORT_IN_USE",
    message: `port ${port} on 127.0.0.1 is taken by another program; stop that one, or choose another port with gateway.port`,
  });
  await expect(gateway.listen(0, ["192.0.2.1"])).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  const again = await gateway.listen(0, ["127.0.0.1", "::1"]);
  expect(again.port).not.toBe(other.port);
  await gateway.close({ event: {} });
  taken.close();
});

test("liveness and readiness are answered without any plugin", async () => {
  let isReady = false;
  await using gateway = await startGateway({ isReady: () => isReady });
  const base = `http://127.0.0.1:${gateway.port}`;
  expect(await fetchText(`${base}/healthz`)).toMatchObject({
    status: 200,
    body: '{"ok":true}',
    headers: {
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    },
  });
  expect(await fetchText(`${base}/readyz`)).toMatchObject({ status: 503, body: '{"ok":false}' });
  isReady = true;
  expect(await fetchText(`${base}/readyz?verbose`)).toMatchObject({ status: 200 });
  expect(await fetchText(`${base}/readyz`, "POST")).toMatchObject({
    status: 405,
    headers: { allow: "GET, HEAD" },
  });
  expect(await fetchText(`${base}/healthzz`)).toMatchObject({ status: 404 });
});

test("sockets that stay silent are closed in time, are few, and disturb nobody", async () => {
  await using gateway = await startGateway({ limits: { handshakeMs: 300, preAuthSocketsLocal: 40 } });
  const { client } = await connectClient(gateway.url, { token });
  const silent = await Promise.allSettled(Array.from({ length: 60 }, () => openClient(gateway.url)));
  const opened = silent.filter((result) => result.status === "fulfilled");
  expect(opened).toHaveLength(40);
  for (const result of silent)
    if (result.status === "rejected") expect(String(result.reason)).toContain("503");

  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    await client.request("health");
    times.push(performance.now() - start);
  }
  expect(times.sort((a, b) => a - b)[48]).toBeLessThan(50);
  for (const { value } of opened) expect(await value.closed).toEqual({ code: 1000, reason: "" });
  expect((await connectClient(gateway.url, { token })).answer.ok).toBe(true);
  await client.close();
});

test("an address elsewhere gets fewer places than all of this machine", async () => {
  await using gateway = await startGateway({
    auth: { mode: "token", token, trustedProxies: ["127.0.0.1"] },
    limits: { preAuthSocketsPerIp: 3 },
  });
  const open = (ip: string) => openClient(gateway.url, { headers: { "x-forwarded-for": ip } });
  const first = await Promise.all([open("2001:db8::1"), open("2001:db8::2"), open("2001:db8::3")]);
  await expect(open("2001:db8::ffff")).rejects.toThrow("503");
  const other = await open("2001:db8:0:1::1");
  first[0]?.ws.close();
  await first[0]?.closed;
  await expect
    .poll(() =>
      open("2001:db8::ffff").then(
        (client) => (client.ws.terminate(), true),
        () => false,
      ),
    )
    .toBe(true);
  for (const client of [...first, other]) client.ws.terminate();
});

test("a bad upgrade is answered and gives its place back", async () => {
  await using gateway = await startGateway({ limits: { preAuthSocketsLocal: 2 } });
  for (let i = 0; i < 5; i++) {
    const upgrade = get({
      port: gateway.port,
      host: "127.0.0.1",
      headers: { connection: "Upgrade", upgrade: "websocket" },
    });
    const [response] = await once(upgrade, "response");
    expect(response.statusCode).toBe(400);
    response.resume();
  }
  expect((await connectClient(gateway.url, { token })).answer.ok).toBe(true);
});

test("headers and bodies that trickle are answered with 408", async () => {
  await using gateway = await startGateway({
    limits: { headersMs: 200, requestMs: 400 },
    http: (incoming, response) => {
      incoming.resume();
      incoming.on("end", () => response.end("whole"));
    },
  });
  const answer = async (text: string): Promise<string> => {
    const socket = await dial(gateway.port);
    socket.write(text);
    let received = "";
    socket.on("data", (chunk) => (received += String(chunk)));
    // A server that hangs up with data unread resets the connection; what came before counts.
    socket.on("error", () => undefined);
    await new Promise((resolve) => socket.once("close", resolve));
    return received;
  };
  expect(await answer("GET / HTTP/1.1\r\nHost: x\r\nX-Slow")).toContain("408 Request Timeout");
  expect(await answer("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")).toContain(
    "408 Request Timeout",
  );
  expect(await answer(`GET / HTTP/1.1\r\n${"X-Many: yes\r\n".repeat(10_000)}\r\n`)).toContain("431");
});

test("closing tells everybody, then closes with 1012, and waits no longer than it must", async () => {
  const gateway = await startGateway({ limits: { closeMs: 300 } });
  const { client } = await connectClient(gateway.url, { token, scopes: ["operator.read"] });
  const stranger = await openClient(gateway.url);
  const { client: stuck } = await connectClient(gateway.url, { token });
  stuck.ws.pause();
  const half = await dial(gateway.port);
  half.write("GET / HTTP/1.1\r\nHost: x\r\n");
  const started = performance.now();
  const done = gateway[Symbol.asyncDispose]();
  const shutdown = await client.find(({ event }) => event === "shutdown");
  expect(shutdown).toMatchObject({
    payload: { reason: "gateway stopping", restartExpectedMs: null },
    seq: expect.any(Number),
  });
  expect(await client.closed).toEqual({ code: 1012, reason: "service restart" });
  expect(await stranger.closed).toEqual({ code: 1012, reason: "service restart" });
  await done;
  expect(performance.now() - started).toBeLessThan(3_000);
  await expect(openClient(gateway.url)).rejects.toThrow("ECONNREFUSED");
  stuck.ws.terminate();
  half.destroy();
});

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

async function idle(): Promise<{ gateway: ReturnType<typeof createGateway> }> {
  const silent = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
  };
  const { createMethods } = await import("../../../kernel/gateway/methods.ts");
  const gateway = createGateway({
    auth: { mode: "token", token },
    methods: createMethods({ activate: () => Promise.resolve() }),
    version: "0",
    log: silent,
    allowedOrigins: [],
    events: [],
    capabilities: [],
    devices: () => Promise.reject(new Error("no devices in this test")),
    snapshot: () => ({
      presence: [],
      health: {},
      stateVersion: { presence: 1, health: 1 },
      uptimeMs: 0,
      configPath: "/c",
      stateDir: "/s",
      sessionDefaults: {},
      authMode: "token",
    }),
    http: (_request, response) => void response.end(),
  });
  return { gateway };
}
