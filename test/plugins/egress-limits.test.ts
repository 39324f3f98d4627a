import { getEventListeners } from "node:events";
import type { RequestListener, ServerResponse } from "node:http";
import { createGzip } from "node:zlib";
import { describe, expect, test } from "vitest";
import { egress, serve } from "./egress-setup.ts";

describe("SEC-139: an answer cannot eat memory or time", () => {
  async function from(handler: RequestListener, limits: object) {
    const { port, url } = await serve(handler);
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p", { limits });
    return () => fetch(url);
  }
  const endless = (response: ServerResponse, piece: Buffer): void => {
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
      response.once("drain", more);
    };
    more();
  };

  test("a gzip bomb is cut at the decoded limit", async () => {
    let written = 0;
    const get = await from(
      (_request, response) => {
        response.setHeader("content-encoding", "gzip");
        const gzip = createGzip();
        gzip.on("data", (piece: Buffer) => (written += piece.length));
        gzip.pipe(response);
        response.on("close", () => gzip.destroy());
        const zeros = Buffer.alloc(1 << 20);
        const more = (): void => {
          while (!gzip.destroyed && gzip.write(zeros));
          gzip.once("drain", more);
        };
        more();
      },
      { maxBytes: 5 << 20 },
    );
    await expect((await get()).text()).rejects.toMatchObject({
      code: "TOO_LARGE",
      details: { maxBytes: 5 << 20 },
    });
    expect(written).toBeLessThan(4 << 20);
  });

  test("an answer that changes the protocol is a failure, and not waited for", async () => {
    const { port, url, server } = await serve(() => undefined);
    server.on("upgrade", (_request, socket) => socket.end());
    server.on("connection", (socket) =>
      socket.once("data", () =>
        socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
      ),
    );
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p");
    await expect(fetch(url)).rejects.toMatchObject({ code: "UNAVAILABLE", details: { sent: true } });
  });

  test.each(["CONNECT", "trace"])("the method %s is refused, as in every fetch", async (method) => {
    const { port, url, connections } = await serve(() => undefined);
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p");
    await expect(fetch(url, { method })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    expect(connections()).toBe(0);
  });

  test("an endless chunked answer is cut; a stream may be longer than a plain answer, not endless", async () => {
    const get = await from((_request, response) => endless(response, Buffer.alloc(65_536)), {
      maxBytes: 1 << 20,
      maxStreamBytes: 4 << 20,
    });
    await expect((await get()).arrayBuffer()).rejects.toMatchObject({ code: "TOO_LARGE" });
    let size = 0;
    await expect(
      (async () => {
        for await (const piece of (await get()).body!) size += piece.length;
      })(),
    ).rejects.toMatchObject({ code: "TOO_LARGE" });
    expect(size).toBeGreaterThan(3 << 20);
  });

  test("one byte at a time ends at the deadline, and so does silence", async () => {
    const slow = await from(
      (_request, response) => {
        const timer = setInterval(() => response.write("x"), 5);
        response.on("close", () => clearInterval(timer));
      },
      { bodyMs: 60, streamMs: 60 },
    );
    await expect((await slow()).text()).rejects.toMatchObject({ code: "TIMEOUT", retryable: true });
    const reader = (await slow()).body!.getReader();
    await expect(
      (async () => {
        for (;;) if ((await reader.read()).done) return;
      })(),
    ).rejects.toMatchObject({ code: "TIMEOUT" });
    const silent = await from(() => undefined, { headersMs: 40 });
    await expect(silent()).rejects.toMatchObject({
      code: "TIMEOUT",
      message: expect.stringContaining("no answer within 40 ms") as string,
    });
  });

  test("a resolver that never answers ends at the connection deadline", async () => {
    const fetch = egress({ resolve: () => new Promise(() => undefined) }).fetchFor(["*"], "p", {
      limits: { connectMs: 30 },
    });
    await expect(fetch("http://slow.test/")).rejects.toThrow("no connection within 30 ms");
  });

  test("an answer that nobody reads gives its connection back", async () => {
    const closed = new Promise<void>((done) => {
      void (async () => {
        const get = await from(
          (_request, response) => {
            response.on("close", () => done());
            endless(response, Buffer.alloc(65_536));
          },
          { bodyMs: 40 },
        );
        await get();
      })();
    });
    await closed;
  });
});

describe("aborting", () => {
  test("works before, while waiting and while reading, with the caller's own reason", async () => {
    const { port, url } = await serve((request, response) => {
      if (request.url === "/wait") return;
      response.write("start");
    });
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p");
    const reason = new Error("enough");
    await expect(fetch(url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const waiting = new AbortController();
    const pending = fetch(`${url}/wait`, { signal: waiting.signal });
    setImmediate(() => waiting.abort());
    await expect(pending).rejects.toMatchObject({ name: "AbortError" });
    const reading = new AbortController();
    const response = await fetch(url, { signal: reading.signal });
    const text = response.text();
    reading.abort(reason);
    await expect(text).rejects.toBe(reason);
  });

  test("the owner's end is the end of its requests, and no listener stays behind", async () => {
    const { port, url } = await serve((request, response) =>
      request.url === "/quick" ? response.end("ok") : response.write("x"),
    );
    const owner = new AbortController();
    const caller = new AbortController();
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p", { signal: owner.signal });
    for (let i = 0; i < 3; i++) await (await fetch(`${url}/quick`, { signal: caller.signal })).text();
    await expect
      .poll(
        () =>
          getEventListeners(owner.signal, "abort").length + getEventListeners(caller.signal, "abort").length,
      )
      .toBe(0);
    const text = (await fetch(url, { signal: caller.signal })).text();
    owner.abort(new Error("disabled"));
    await expect(text).rejects.toThrow("disabled");
    await expect(fetch(url)).rejects.toThrow("disabled");
  });

  test("idle connections are closed soon and never hold the process", async () => {
    const { port, url, server } = await serve((_request, response) => response.end("ok"));
    const closed = new Promise<void>((done) =>
      server.on("connection", (socket) => socket.on("close", () => done())),
    );
    const fetch = egress({ idleMs: 30 }).fetchFor([`127.0.0.1:${port}`], "p");
    await (await fetch(url)).text();
    await closed;
  });
});
