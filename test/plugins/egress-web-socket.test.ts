import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket as NetSocket } from "node:net";
import { describe, expect, test } from "vitest";
import type { FetchOptions } from "@rclaw/plugin-sdk/services/egress";
import { type RawData, type WebSocket, WebSocketServer } from "ws";
import { canary, createWitness, handlesFor } from "./egress-canary.ts";
import { selfSigned } from "../../plugins/services/listening/certificate.ts";
import { closers, egress, resolveTo } from "./egress-setup.ts";

/** A WebSocket server of another make than the client under test only in that it is a server: `ws` itself. */
async function peer(onSocket: (socket: WebSocket, request: http.IncomingMessage) => void = () => undefined) {
  const server = http.createServer();
  const sockets = new WebSocketServer({
    server,
    maxPayload: 64 * 1024 * 1024,
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  const requests: http.IncomingMessage[] = [];
  let connections = 0;
  server.on("connection", () => connections++);
  sockets.on("connection", (socket, request) => {
    requests.push(request);
    socket.on("error", () => undefined);
    onSocket(socket, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  closers.push(() => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return {
    port,
    url: `ws://127.0.0.1:${port}`,
    place: `127.0.0.1:${port}`,
    requests,
    server,
    connections: () => connections,
  };
}

const echoing = (socket: WebSocket): void =>
  void socket.on("message", (data: RawData, isBinary) => socket.send(data, { binary: isBinary }));

function connecting(grants: readonly string[], options: FetchOptions = {}) {
  const witness = createWitness();
  const connect = egress({ log: witness.log }).webSocketFor(grants, "weather", options);
  const controller = new AbortController();
  closers.push(() => controller.abort());
  return {
    witness,
    controller,
    connect: (url: string, more: Partial<Parameters<typeof connect>[1]> = {}) =>
      connect(url, { signal: controller.signal, ...more }),
  };
}

async function read<T>(from: AsyncIterable<T>, count: number): Promise<T[]> {
  const got: T[] = [];
  for await (const item of from) {
    got.push(item);
    if (got.length === count) break;
  }
  return got;
}

describe("a WebSocket through egress", () => {
  test("carries text and bytes both ways, with protocol and headers, until it is closed", async () => {
    const { url, place, requests } = await peer(echoing);
    const { connect } = connecting([place]);
    const socket = await connect(`${url}/live?x=1`, {
      protocols: ["v2", "v1"],
      headers: { "x-a": "1", host: "evil", "Sec-WebSocket-Key": "mine", upgrade: "h2c" },
    });
    expect(socket.protocol).toBe("v2");
    expect(requests[0]).toMatchObject({
      url: "/live?x=1",
      headers: { "x-a": "1", host: place, upgrade: "websocket" },
    });
    expect(requests[0]!.headers["sec-websocket-key"]).not.toBe("mine");
    socket.send("text");
    const bytes = new Uint8Array([1, 2, 255]);
    socket.send(bytes);
    const [text, binary] = await read(socket, 2);
    expect(text).toBe("text");
    expect(binary).toEqual(new Uint8Array([1, 2, 255]));
    // Who leaves the loop may come back to it.
    socket.send("more");
    expect(await read(socket, 1)).toEqual(["more"]);
    socket.close(4001, "done");
    expect(await socket.closed).toEqual({ code: 4001, reason: "done" });
    expect(await read(socket, 1)).toEqual([]);
    expect(() => socket.send("late")).toThrow("is closed");
  });

  test("tells how the far side closed it, after what was said before", async () => {
    const { url, place } = await peer((socket) => {
      socket.send("last words");
      socket.close(4002, "bye");
    });
    const socket = await connecting([place]).connect(url);
    expect(await read(socket, 9)).toEqual(["last words"]);
    expect(await socket.closed).toEqual({ code: 4002, reason: "bye" });
  });

  test("a connection that is lost is 1006, and a ping is answered", async () => {
    let ponged: (() => void) | undefined;
    const isPonged = new Promise<void>((resolve) => (ponged = resolve));
    const { url, place } = await peer((socket) => {
      socket.on("pong", () => {
        ponged?.();
        socket.terminate();
      });
      socket.ping();
    });
    const socket = await connecting([place]).connect(url);
    await isPonged;
    expect(await socket.closed).toMatchObject({ code: 1006 });
  });

  test("only closes with what a program may say", async () => {
    const { url, place } = await peer();
    const socket = await connecting([place]).connect(url);
    expect(() => socket.close(1001)).toThrow("1000 or 3000 to 4999");
    expect(() => socket.close(1000, "é".repeat(62))).toThrow("at most 123 bytes");
    socket.close();
    expect(await socket.closed).toMatchObject({ code: 1000 });
  });
});

describe("it is judged as fetch is", () => {
  test("by host and port, before any packet leaves", async () => {
    const { url, place, connections } = await peer();
    const { connect, witness } = connecting(["127.0.0.1:1", { host: place, methods: ["POST"] } as never]);
    const narrow = await witness.failure(connect(url));
    expect(narrow).toMatchObject({ code: "EGRESS_DENIED" });
    const { connect: other } = connecting(["api.example.org"]);
    expect(await witness.failure(other(url))).toMatchObject({
      code: "EGRESS_DENIED",
      details: { needs: `net: ["${place}"]` },
    });
    expect(await witness.failure(other("wss://169.254.169.254/"))).toMatchObject({ code: "EGRESS_DENIED" });
    expect(await witness.failure(other("https://api.example.org/"))).toMatchObject({
      code: "INVALID_REQUEST",
    });
    expect(await witness.failure(other("wss://user:pass@api.example.org/"))).toMatchObject({
      code: "EGRESS_DENIED",
    });
    expect(connections()).toBe(0);
  });

  test("by the address that the name resolves to, which is the one that is connected to", async () => {
    const { port, place, connections } = await peer(echoing);
    const witness = createWitness();
    const guard = egress({ log: witness.log, resolve: resolveTo("127.0.0.1") });
    const { signal } = new AbortController();
    for (const grant of ["api.example.org", "*.example.org:" + port]) {
      const port80 = grant === "api.example.org" ? "" : `:${port}`;
      const error = await witness.failure(
        guard.webSocketFor([grant], "weather")(`ws://api.example.org${port80}/`, { signal }),
      );
      expect(error).toMatchObject({ code: "EGRESS_DENIED" });
      expect(error.message).toContain("it resolves to a loopback address");
    }
    expect(connections()).toBe(0);
    const metadata = egress({ log: witness.log, resolve: resolveTo("169.254.169.254") });
    const named = metadata.webSocketFor([`api.example.org:${port}`], "weather");
    expect(await witness.failure(named(`ws://api.example.org:${port}/`, { signal }))).toMatchObject({
      code: "EGRESS_DENIED",
    });
    // Named with its port it may be a machine of one's own; no other resolver is ever asked.
    const socket = await guard.webSocketFor([`api.example.org:${port}`], "weather")(
      `ws://api.example.org:${port}/`,
      { signal },
    );
    expect(connections()).toBe(1);
    expect(place).toContain(String(port));
    socket.close();
    await socket.closed;
  });

  test("a redirect is not followed, and an answer that is none says so", async () => {
    const evil = await peer();
    const { server, url, place } = await peer();
    const { connect, witness } = connecting([place, evil.place]);
    server.removeAllListeners("upgrade");
    server.on("upgrade", (request, socket) =>
      socket.end(
        request.url === "/away"
          ? `HTTP/1.1 302 Found\r\nlocation: ${evil.url}/\r\nconnection: close\r\n\r\n`
          : "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n",
      ),
    );
    expect(await witness.failure(connect(`${url}/away`))).toMatchObject({
      code: "UNAVAILABLE",
      details: { status: 302 },
    });
    const error = await witness.failure(connect(`${url}/`));
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: false, details: { status: 401 } });
    expect(error.message).toBe("no WebSocket to 127.0.0.1: it answered 401");
    expect(evil.connections()).toBe(0);
  });

  test("nobody there is an error that may pass", async () => {
    const { url, place, server } = await peer();
    await new Promise((done) => server.close(done));
    const { connect, witness } = connecting([place]);
    expect(await witness.failure(connect(url))).toMatchObject({ code: "UNAVAILABLE", retryable: true });
  });
});

describe("it has an end and a measure", () => {
  test("its own signal ends it, also while it is being opened", async () => {
    const { url, place } = await peer();
    const { connect, controller } = connecting([place]);
    const socket = await connect(url);
    const reading = read(socket, 1);
    controller.abort(new Error("enough"));
    await expect(reading).rejects.toThrow("enough");
    expect(await socket.closed).toMatchObject({ code: 1006 });
    await expect(connect(url)).rejects.toThrow("enough");

    const mute = http.createServer();
    const reached = once(mute, "upgrade");
    mute.listen(0, "127.0.0.1");
    await once(mute, "listening");
    closers.push(() => mute.close());
    const there = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const late = new AbortController();
    const opening = connecting([there]).connect(`ws://${there}`, { signal: late.signal });
    const [, far] = (await reached) as [unknown, NetSocket];
    const gone = once(far.resume(), "end");
    late.abort(new Error("too slow"));
    await expect(opening).rejects.toThrow("too slow");
    await gone;
    far.destroy();
  });

  test("the end of its owner ends it", async () => {
    const { url, place } = await peer();
    const owner = new AbortController();
    const socket = await connecting([place], { signal: owner.signal }).connect(url);
    owner.abort(new Error("the plugin was disabled"));
    expect(await socket.closed).toMatchObject({ code: 1006 });
    await expect(read(socket, 1)).rejects.toThrow("the plugin was disabled");
  });

  test("a consumer that does not read makes the far side wait, and loses nothing", async () => {
    const piece = Buffer.alloc(64 * 1024, 1);
    const total = 2_000;
    let far: WebSocket | undefined;
    const { url, place } = await peer((socket) => {
      far = socket;
      for (let i = 0; i < total; i++) socket.send(Buffer.concat([Buffer.from([i % 256]), piece]));
    });
    let received = 0;
    const socket = await connecting([place], { onBytes: (_sent, more) => (received += more) }).connect(url);
    // Everything that still moves by itself has moved when nothing did for many turns.
    for (let quiet = 0, last = -1; quiet < 200; quiet = received === last ? quiet + 1 : 0) {
      last = received;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBeLessThan(8 * 1024 * 1024);
    expect(far!.bufferedAmount).toBeGreaterThan(64 * 1024 * 1024);
    const got = await read(socket, total);
    expect(got.map((bytes) => (bytes as Uint8Array)[0])).toEqual(
      Array.from({ length: total }, (_unused, i) => i % 256),
    );
    expect(received).toBeGreaterThan(total * piece.length);
  });

  test("a paused one can still be ended and closed", async () => {
    const { url, place } = await peer((socket) => {
      for (let i = 0; i < 600; i++) socket.send(Buffer.alloc(64 * 1024));
    });
    const { connect, controller } = connecting([place]);
    const first = await connect(url);
    const second = await connect(url);
    await read(first, 1);
    await read(second, 1);
    first.close(4000);
    expect(await first.closed).toMatchObject({ code: 4000 });
    controller.abort(new Error("over"));
    expect(await second.closed).toMatchObject({ code: 1006 });
  });

  test("a plugin has a number of them at a time", async () => {
    const { url, place } = await peer();
    const { connect, witness } = connecting([place]);
    const [first] = await Promise.all(Array.from({ length: 64 }, () => connect(url)));
    expect(await witness.failure(connect(url))).toMatchObject({ code: "RATE_LIMITED" });
    first!.close();
    await first!.closed;
    await connect(url);
  });

  test("a message of more than 8 MiB ends it", async () => {
    const { url, place } = await peer((socket) => {
      socket.send("fine");
      socket.send(Buffer.alloc(8 * 1024 * 1024 + 1));
    });
    const { connect, witness } = connecting([place]);
    const socket = await connect(url);
    expect(await read(socket, 1)).toEqual(["fine"]);
    expect(await witness.failure(read(socket, 1))).toMatchObject({ code: "TOO_LARGE" });
    expect(await socket.closed).toMatchObject({ code: 1006 });
  });
});

describe("a caged plugin's secrets", () => {
  async function caged(hosts?: readonly string[]) {
    const heard: string[] = [];
    const server = await peer((socket, request) => {
      socket.send(`${request.url} ${String(request.headers["x-key"])} ${canary}`);
      socket.send(Buffer.from(`bytes ${canary}`));
      socket.on("message", (data: Buffer, isBinary) => {
        heard.push(data.toString());
        socket.send(data, { binary: isBinary });
        if (data.toString() === "close") socket.close(4000, canary);
      });
    });
    const secrets = handlesFor(hosts ?? [server.place]);
    const handle = await secrets.handleFor("weather.key");
    return { ...server, ...connecting([server.place], { secrets }), heard, handle };
  }

  test("go out in the URL, a header, a protocol and text, in order, and come back as handles", async () => {
    const { connect, url, handle, requests, heard, witness } = await caged();
    const socket = await connect(`${url}/${handle}?k=${handle}`, { headers: { "x-key": handle } });
    expect(decodeURIComponent(requests[0]!.url!)).toBe(`/${canary}?k=${canary}`);
    const first = await read(socket, 2);
    witness.keep(first);
    expect(first[0]).toBe(`/${handle}?k=${handle} ${handle} ${handle}`);
    expect(Buffer.from(first[1] as Uint8Array).toString()).toBe(`bytes ${handle}`);
    socket.send(JSON.stringify({ token: handle }));
    socket.send("plain");
    socket.send(new Uint8Array([7]));
    socket.send(`again ${handle}`);
    socket.send("close");
    const rest = await read(socket, 9);
    witness.keep(rest);
    expect(heard).toEqual([`{"token":"${canary}"}`, "plain", "\u0007", `again ${canary}`, "close"]);
    expect(rest[3]).toBe(`again ${handle}`);
    const end = await socket.closed;
    expect(end.reason).toBe(handle);
    witness.keep(end);
    witness.clean();
  });

  test("over TLS, and to no host whose certificate is not trusted", async () => {
    const { cert, key } = selfSigned(["api.example.org"], Date.now());
    const server = https.createServer({ cert, key });
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket, request) => socket.send(String(request.headers["x-key"])));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
    });
    const place = `api.example.org:${(server.address() as AddressInfo).port}`;
    const secrets = handlesFor([place]);
    const handle = await secrets.handleFor("weather.key");
    const witness = createWitness();
    const guard = egress({ log: witness.log, resolve: resolveTo("127.0.0.1") });
    const connect = guard.webSocketFor([place], "weather", { secrets });
    const { signal } = new AbortController();
    const open = () => connect(`wss://${place}/`, { signal, headers: { "x-key": handle } });
    expect(await witness.failure(open())).toMatchObject({ code: "UNAVAILABLE", retryable: false });
    // Node reads it for every connection; there is no other way to trust one more certificate in a running process.
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    closers.push(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]);
    const socket = await open();
    expect(await read(socket, 1)).toEqual([handle]);
    socket.close();
    await socket.closed;
    witness.clean();
  });

  test("a token in a subprotocol", async () => {
    const token = "tok-12345678";
    const { url, place, requests } = await peer();
    const secrets = handlesFor([place], { "weather.key": token });
    const handle = await secrets.handleFor("weather.key");
    const { connect, witness } = connecting([place], { secrets });
    const socket = await connect(url, { protocols: [`key.${handle}`] });
    expect(requests[0]!.headers["sec-websocket-protocol"]).toBe(`key.${token}`);
    expect(socket.protocol).toBe(`key.${handle}`);
    witness.keep(socket.protocol);
    witness.clean(token);
  });

  test("go to no host that is not bound: not at the start, and not in a later frame", async () => {
    const { connect, url, handle, heard, witness, connections } = await caged(["api.example.org"]);
    expect(await witness.failure(connect(`${url}/${handle}`))).toMatchObject({
      code: "EGRESS_DENIED",
      details: { secret: "weather.key" },
    });
    expect(connections()).toBe(0);
    const socket = await connect(url);
    await read(socket, 2);
    socket.send(`x ${handle}`);
    expect(await witness.failure(read(socket, 1))).toMatchObject({ code: "EGRESS_DENIED" });
    await socket.closed;
    expect(heard).toEqual([]);
  });
});
