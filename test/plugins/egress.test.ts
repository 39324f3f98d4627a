import type { RequestListener } from "node:http";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { echo, egress, serve } from "./egress-setup.ts";

describe("fetch as programs know it", () => {
  async function local(handler: RequestListener, limits = {}) {
    const { port, url } = await serve(handler);
    return { url, port, fetch: egress().fetchFor([`127.0.0.1:${port}`], "p", { limits }) };
  }

  test("sends method, headers and every kind of body", async () => {
    const { fetch, url } = await local(echo);
    const send = async (
      body: NonNullable<RequestInit["body"]> | null,
      headers?: NonNullable<RequestInit["headers"]>,
    ) =>
      (await (
        await fetch(`${url}/x?y=1`, {
          method: "post",
          body,
          ...(headers && { headers }),
          ...({ duplex: "half" } as object),
        })
      ).json()) as {
        body: string;
        method: string;
        url: string;
        headers: Record<string, string>;
      };
    expect(
      await send("text", { "X-A": "1", Host: "evil", "Transfer-Encoding": "chunked", Connection: "x" }),
    ).toMatchObject({
      body: "text",
      method: "POST",
      url: "/x?y=1",
      headers: {
        "x-a": "1",
        "content-type": "text/plain;charset=UTF-8",
        "content-length": "4",
        host: expect.stringContaining("127.0.0.1") as string,
      },
    });
    expect((await send(new URLSearchParams({ a: "b c" }))).body).toBe("a=b+c");
    expect((await send(new Uint8Array([65, 66]))).body).toBe("AB");
    expect((await send(new TextEncoder().encode("AB").buffer)).body).toBe("AB");
    expect((await send(new Blob(["blob"], { type: "text/x" }))).headers["content-type"]).toBe("text/x");
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("str"));
        controller.enqueue(new TextEncoder().encode("eam"));
        controller.close();
      },
    });
    expect((await send(stream, new Headers({ "content-type": "application/x" }))).body).toBe("stream");
    expect((await send(null)).headers["content-length"]).toBe("0");
    const form = new FormData();
    form.append("a", "1\n2");
    form.append("f", new Blob(["file"], { type: "text/plain" }), 'na"me.txt');
    const sent = await send(form);
    const parsed = await new Response(sent.body, {
      headers: { "content-type": sent.headers["content-type"]! },
    }).formData();
    expect(parsed.get("a")).toBe("1\r\n2");
    expect(await (parsed.get("f") as File).text()).toBe("file");
    const withBody: RequestInit = { body: "x" };
    await expect(fetch(url, withBody)).rejects.toThrow("GET cannot have a body");
  });

  test("takes a URL, a string or a Request", async () => {
    const { fetch, url } = await local(echo);
    expect((await fetch(new URL(url))).ok).toBe(true);
    const answer = (await (
      await fetch(
        new Request(`${url}/r`, {
          method: "PUT",
          body: "b",
          headers: { a: "1" },
          ...({ duplex: "half" } as object),
        }),
      )
    ).json()) as object;
    expect(answer).toMatchObject({ method: "PUT", url: "/r", body: "b", headers: { a: "1" } });
  });

  test("answers with status, headers and a body that can be read once, cloned or streamed", async () => {
    const { fetch, url } = await local((_request, response) => {
      response.writeHead(
        404,
        "Nope",
        [
          ["X-One", "1"],
          ["Set-Cookie", "a=1"],
          ["Set-Cookie", "b=2"],
        ].flat(),
      );
      response.end("héllo");
    });
    const response = await fetch(url);
    expect(response).toMatchObject({
      status: 404,
      statusText: "Nope",
      ok: false,
      redirected: false,
      url: `${url}/`,
      bodyUsed: false,
    });
    expect(response.headers.get("x-one")).toBe("1");
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(Object.fromEntries(response.headers.entries())).toMatchObject({ "x-one": "1" });
    const twin = response.clone();
    expect(await response.text()).toBe("héllo");
    expect(response.bodyUsed).toBe(true);
    expect(await twin.text()).toBe("héllo");
    await expect(response.text()).rejects.toThrow("read already");
    const reader = (await fetch(url)).body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("héllo");
    expect((await reader.read()).done).toBe(true);
    expect((await fetch(url, { method: "HEAD" })).body).toBeNull();
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).toString()).toBe("héllo");
    expect(await (await (await fetch(url)).blob()).text()).toBe("héllo");
  });

  test.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
  ])("decodes %s", async (coding, pack) => {
    const { fetch, url } = await local((_request, response) => {
      response.setHeader("content-encoding", coding);
      response.end(pack(Buffer.from('{"a":1}')));
    });
    expect(await (await fetch(url)).json()).toEqual({ a: 1 });
  });

  test("a cut or corrupt answer is an error, never half an answer", async () => {
    const cut = await local((_request, response) => {
      response.setHeader("content-length", "100");
      response.write("half");
      setImmediate(() => response.destroy());
    });
    await expect((await cut.fetch(cut.url)).text()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
    });
    const corrupt = await local((_request, response) =>
      response.setHeader("content-encoding", "gzip").end("not gzip at all"),
    );
    await expect((await corrupt.fetch(corrupt.url)).text()).rejects.toThrow(/cannot be decoded/);
  });

  test("follows redirects as browsers do", async () => {
    const { fetch, url } = await local((request, response) => {
      const status = Number(request.url!.slice(1));
      if (status) response.writeHead(status, { location: "/end" }).end();
      else echo(request, response);
    });
    for (const [status, method, expected] of [
      [301, "POST", "GET"],
      [302, "POST", "GET"],
      [303, "PUT", "GET"],
      [307, "POST", "POST"],
      [308, "PUT", "PUT"],
    ] as const) {
      const response = await fetch(`${url}/${status}`, {
        method,
        body: "b",
        headers: { authorization: "Bearer t" },
      });
      expect(response).toMatchObject({ redirected: true, url: `${url}/end` });
      const {
        method: arrived,
        body,
        headers,
      } = (await response.json()) as { method: string; body: string; headers: Record<string, string> };
      expect([arrived, body, headers["authorization"]]).toEqual([
        expected,
        expected === "GET" ? "" : "b",
        "Bearer t",
      ]);
    }
    expect((await fetch(`${url}/302`, { redirect: "manual" })).status).toBe(302);
    await expect(fetch(`${url}/302`, { redirect: "error" })).rejects.toThrow("does not allow");
  });

  test("nothing that may hold a key crosses to another origin", async () => {
    const other = await serve(echo);
    const first = await serve(
      (_request, response) => void response.writeHead(307, { location: `${other.url}/` }).end(),
    );
    const fetch = egress().fetchFor([`127.0.0.1:${first.port}`, `127.0.0.1:${other.port}`], "p");
    const headers = { authorization: "Bearer t", cookie: "c", "x-api-key": "k", accept: "text/plain" };
    const answer = (await (await fetch(first.url, { method: "POST", body: "b", headers })).json()) as {
      headers: object;
      body: string;
    };
    expect(answer.body).toBe("b");
    expect(answer.headers).toMatchObject({ accept: "text/plain" });
    for (const name of ["authorization", "cookie", "x-api-key"])
      expect(answer.headers).not.toHaveProperty(name);
  });

  test("a closed idle connection is replaced without the caller noticing", async () => {
    const sockets: import("node:net").Socket[] = [];
    const { url, port, server } = await serve(echo);
    server.keepAliveTimeout = 0;
    server.on("connection", (socket) => sockets.push(socket));
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "p");
    await (await fetch(url, { method: "POST", body: "1" })).text();
    sockets[0]!.destroy();
    expect(((await (await fetch(url, { method: "POST", body: "2" })).json()) as { body: string }).body).toBe(
      "2",
    );
    expect(sockets).toHaveLength(2);
  });

  test("a request that may have been acted on is not repeated, on a connection that was used before either", async () => {
    let asked = 0;
    const { fetch, url } = await local((request, response) => {
      if (++asked % 2 === 0) request.socket.destroy();
      else response.end("ok");
    });
    const lost = { code: "UNAVAILABLE", details: { sent: true } };
    await (await fetch(url)).text();
    await expect(fetch(url, { method: "POST", body: "once" })).rejects.toMatchObject(lost);
    expect(asked).toBe(2);
    await (await fetch(url)).text();
    expect(await (await fetch(url)).text()).toBe("ok");
    expect(asked).toBe(5);
  });

  test("a refused connection says so, and that nothing was sent", async () => {
    const { port, url, server } = await serve(echo);
    await new Promise((done) => server.close(done));
    await expect(egress().fetchFor([`127.0.0.1:${port}`], "p")(url)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      details: { sent: false, reason: "ECONNREFUSED" },
    });
    const nowhere = egress({
      resolve: async () => Promise.reject(Object.assign(new Error("x"), { code: "ENOTFOUND" })),
    }).fetchFor(["*"], "p");
    await expect(nowhere("http://nowhere.test/")).rejects.toThrow(
      "could not reach nowhere.test: no connection (ENOTFOUND)",
    );
    const lost = await local((request) => request.socket.destroy());
    await expect(lost.fetch(lost.url)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      details: { sent: true },
    });
  });
});
