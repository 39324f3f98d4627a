import { once } from "node:events";
import { createServer as createTcpServer, type AddressInfo } from "node:net";
import type { RequestListener } from "node:http";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createSecretHandles } from "../../plugins/services/egress/secrets.ts";
import { canary, createWitness, handlesFor } from "./egress-canary.ts";
import { closers, echo, egress, serve } from "./egress-setup.ts";

interface Echoed {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A server that is bound to the secret, and what really arrived there. */
async function bound(answer: RequestListener = echo, secrets?: Record<string, string>) {
  const arrived: { url: string; headers: NodeJS.Dict<string | string[]>; body: string }[] = [];
  const server = await serve((request, response) => {
    const pieces: Buffer[] = [];
    const entry = { url: request.url ?? "", headers: request.headers, body: "" };
    arrived.push(entry);
    request.on("data", (piece: Buffer) => {
      pieces.push(piece);
      entry.body = Buffer.concat(pieces).toString();
    });
    answer(request, response);
  });
  const place = `127.0.0.1:${server.port}`;
  const witness = createWitness();
  const handles = handlesFor([place], secrets);
  const handle = await handles.handleFor("weather.key");
  const guard = egress({ log: witness.log });
  const fetchWith = (grants: readonly string[]) => guard.fetchFor(grants, "weather", { secrets: handles });
  return { ...server, place, arrived, witness, handles, handle, fetchWith, fetch: fetchWith([place]) };
}

describe("a handle becomes the secret on the way to a host that is bound to it", () => {
  test("in the query, the path and a header, each in its own encoding", async () => {
    const { url, fetch, handle, arrived, witness } = await bound();
    await witness.answer(
      await fetch(`${url}/bot${handle}/getMe?key=${handle}&b=1`, {
        headers: { authorization: `Bearer ${handle}`, "x-twice": `${handle} ${handle}` },
      }),
    );
    const [request] = arrived;
    const [path = "", query = ""] = request!.url.split("?");
    expect(decodeURIComponent(path)).toBe(`/bot${canary}/getMe`);
    expect(new URLSearchParams(query).get("key")).toBe(canary);
    expect(new URLSearchParams(query).get("b")).toBe("1");
    expect(request!.headers["authorization"]).toBe(`Bearer ${canary}`);
    expect(request!.headers["x-twice"]).toBe(`${canary} ${canary}`);
    witness.clean();
  });

  test("a Telegram token stands in the path as Telegram's own clients write it", async () => {
    const token = "123456:AAE-abc_def";
    const { url, fetch, handle, arrived, witness } = await bound(echo, { "weather.key": token });
    await witness.answer(await fetch(`${url}/bot${handle}/getMe`));
    expect(arrived[0]!.url).toBe(`/bot${token}/getMe`);
    witness.clean(token);
  });

  test("in a handle whose characters are percent-encoded", async () => {
    const { url, fetch, handle, arrived, witness } = await bound();
    const odd = handle.replace("rclaw", "%72c%6Caw");
    await witness.answer(await fetch(`${url}/${odd}?k=${odd}`));
    expect(decodeURIComponent(arrived[0]!.url)).toBe(`/${canary}?k=${canary}`);
    witness.clean();
  });

  test("inside the base64 of Basic authentication, and the echo of it is a handle again", async () => {
    const { url, fetch, handle, arrived, witness } = await bound();
    const basic = `Basic ${Buffer.from(`user:${handle}`).toString("base64")}`;
    const text = await witness.answer(await fetch(url, { headers: { authorization: basic } }));
    const sent = String(arrived[0]!.headers["authorization"]).replace("Basic ", "");
    expect(Buffer.from(sent, "base64").toString()).toBe(`user:${canary}`);
    expect((JSON.parse(text) as Echoed).headers["authorization"]).toBe(basic);
    witness.keep(
      Buffer.from(
        sent === "" ? "" : (JSON.parse(text) as Echoed).headers["authorization"]!.slice(6),
        "base64",
      ).toString(),
    );
    witness.clean();
  });

  test.each([
    ["text/plain", (handle: string) => `a ${handle} b`, (body: string) => body.slice(2, -2)],
    [
      "application/json",
      (handle: string) => JSON.stringify({ a: handle }),
      (body: string) => (JSON.parse(body) as { a: string }).a,
    ],
    [
      "application/x-www-form-urlencoded",
      (handle: string) => `a=${handle.replace("-", "%2D")}&b=1`,
      (body: string) => new URLSearchParams(body).get("a"),
    ],
  ])("in a body of %s, with a length that is right again", async (type, write, read) => {
    const { url, fetch, handle, arrived, witness } = await bound();
    const body = write(handle);
    for (const given of [body, new TextEncoder().encode(body)]) {
      await witness.answer(
        await fetch(url, { method: "POST", body: given, headers: { "content-type": type } }),
      );
      const last = arrived.at(-1)!;
      expect(read(last.body)).toBe(canary);
      expect(last.headers["content-length"]).toBe(String(Buffer.byteLength(last.body)));
    }
    witness.clean();
  });

  test("in a streamed body, wherever the pieces are cut", async () => {
    const { url, fetch, handle, arrived, witness } = await bound();
    const text = `start ${handle}${handle} rclaw-secret-0 end rclaw-`;
    for (let size = 1; size < text.length; size += 7) {
      const pieces = async function* () {
        for (let at = 0; at < text.length; at += size) yield Buffer.from(text.slice(at, at + size));
      };
      await witness.answer(await fetch(url, { method: "POST", body: pieces() as never }));
      expect(arrived.at(-1)!.body).toBe(`start ${canary}${canary} rclaw-secret-0 end rclaw-`);
    }
    witness.clean();
  });

  test("bytes around it stay what they were", async () => {
    const received: Buffer[] = [];
    const { url, fetch, handle } = await bound((request, response) => {
      request.on("data", (piece: Buffer) => received.push(piece)).on("end", () => response.end());
    });
    const noise = Buffer.from([0, 255, 128, 10, 13, 195]);
    await fetch(url, { method: "POST", body: Buffer.concat([noise, Buffer.from(handle), noise]) });
    expect(Buffer.concat(received)).toEqual(Buffer.concat([noise, Buffer.from(canary), noise]));
  });

  test("a secret that a header cannot carry is an error without the secret", async () => {
    const { url, fetch, handle, witness } = await bound(echo, { "weather.key": "line one\r\nx-evil: 1" });
    const error = await witness.failure(fetch(url, { headers: { "x-key": handle } }));
    expect(error.message).toContain("characters that a header cannot carry");
    witness.clean("line one");
    witness.clean("x-evil");
  });
});

describe("a handle goes nowhere else", () => {
  test("to a granted host that is not bound, the error names secret, host and the line to add", async () => {
    const { handle, fetchWith, witness, handles } = await bound();
    const other = await serve(echo);
    const place = `127.0.0.1:${other.port}`;
    const fetch = fetchWith([place]);
    const ways: (() => Promise<Response>)[] = [
      () => fetch(`${other.url}/${handle}`),
      () => fetch(`${other.url}/?a=%72${handle.slice(1)}`),
      () => fetch(other.url, { headers: { "x-a": handle } }),
      () =>
        fetch(other.url, {
          headers: { authorization: `Basic ${Buffer.from(`u:${handle}`).toString("base64")}` },
        }),
      () => fetch(other.url, { method: "POST", body: `a${handle}` }),
    ];
    for (const way of ways) {
      const error = await witness.failure(way());
      expect(error).toMatchObject({
        code: "EGRESS_DENIED",
        message: `plugin "weather" may not send secret "weather.key" to 127.0.0.1: its manifest does not bind the secret to ${place}; if it should, it needs permissions: { secrets: [{ name: "weather.key", hosts: ["${place}"] }] }`,
        details: { plugin: "weather", host: "127.0.0.1", secret: "weather.key" },
      });
    }
    expect(other.connections()).toBe(0);
    const streamed = (async function* () {
      yield Buffer.from(handle.slice(0, 20));
      yield Buffer.from(handle.slice(20));
    })();
    expect(
      await witness.failure(fetch(other.url, { method: "POST", body: streamed as never })),
    ).toMatchObject({
      code: "EGRESS_DENIED",
    });
    expect(await handles.handleFor("weather.key")).toBe(handle);
    witness.clean();
  });

  test("a binding without a port is for https alone", async () => {
    const handles = handlesFor(["api.example.org", "*.example.net", "h.example.org:8080"]);
    const handle = await handles.handleFor("weather.key");
    const reveal = (host: string, port: number, protocol: "http:" | "https:") =>
      handles.reveal(handle, { host, port, protocol });
    await expect(reveal("api.example.org", 443, "https:")).resolves.toMatchObject({ secret: canary });
    await expect(reveal("a.example.net", 443, "https:")).resolves.toMatchObject({ secret: canary });
    await expect(reveal("h.example.org", 8080, "http:")).resolves.toMatchObject({ secret: canary });
    await expect(reveal("api.example.org", 80, "http:")).rejects.toThrow('hosts: ["api.example.org:80"]');
    await expect(reveal("api.example.org", 8443, "https:")).rejects.toThrow("does not bind");
    await expect(reveal("example.net", 443, "https:")).rejects.toThrow("does not bind");
    await expect(reveal("h.example.org", 443, "https:")).rejects.toThrow("does not bind");
  });

  test("another plugin's handle, or one of an earlier life, opens nothing and is not sent", async () => {
    const { url, fetch, place, witness, connections } = await bound();
    const others = [
      await handlesFor([place], undefined, "stranger").handleFor("weather.key"),
      `rclaw-secret-${"0".repeat(32)}`,
    ];
    for (const other of others) {
      const error = await witness.failure(fetch(`${url}/${other}`));
      expect(error).toMatchObject({ code: "EGRESS_DENIED" });
      expect(error.message).toContain("a secret that it was not given");
    }
    expect(connections()).toBe(0);
    witness.clean();
  });

  test("nor into a host name or the name of a header", async () => {
    const { handle, url, witness, handles } = await bound();
    const guard = egress({ log: witness.log, resolve: async () => [{ address: "127.0.0.1", family: 4 }] });
    const fetch = guard.fetchFor(["*.example.org:80", "127.0.0.1:" + new URL(url).port], "weather", {
      secrets: handles,
    });
    expect((await witness.failure(fetch(`http://${handle}.example.org/`))).message).toContain(
      "into a host name",
    );
    expect((await witness.failure(fetch(url, { headers: { [handle]: "1" } }))).message).toContain(
      "the name of a header",
    );
    witness.clean();
  });

  test("a redirect is judged for itself: the unsubstituted request is what goes on", async () => {
    const { handle, fetchWith, witness, place, url } = await bound((request, response) => {
      const to = new URL(`http://x${request.url}`).searchParams.get("to") ?? "";
      response.writeHead(307, { location: to }).end();
    });
    const evil = await serve(echo);
    const fetch = fetchWith([place, `127.0.0.1:${evil.port}`]);
    const to = encodeURIComponent(`${evil.url}/`);
    const error = await witness.failure(fetch(`${url}/?to=${to}`, { method: "POST", body: handle }));
    expect(error).toMatchObject({ code: "EGRESS_DENIED", details: { secret: "weather.key" } });
    expect(evil.connections()).toBe(0);
    // Headers that may hold a key are left behind across origins, so this one arrives without.
    const text = await witness.answer(
      await fetch(`${url}/?to=${to}`, { headers: { authorization: handle } }),
    );
    expect((JSON.parse(text) as Echoed).headers["authorization"]).toBeUndefined();
    witness.clean();
  });

  test("a location that quotes the secret is masked, and then refused like any handle", async () => {
    const evil = await serve(echo);
    const { handle, fetchWith, witness, place, url } = await bound((request, response) => {
      response.writeHead(302, {
        location: `${evil.url}/?stolen=${encodeURIComponent(request.headers["x-key"] as string)}`,
      });
      response.end();
    });
    const fetch = fetchWith([place, `127.0.0.1:${evil.port}`]);
    const error = await witness.failure(fetch(url, { headers: { "x-key": handle } }));
    expect(error).toMatchObject({ code: "EGRESS_DENIED", details: { secret: "weather.key" } });
    const response = await fetch(url, { headers: { "x-key": handle }, redirect: "manual" });
    expect(response.headers.get("location")).toBe(`${evil.url}/?stolen=${handle}`);
    await witness.answer(response);
    expect(evil.connections()).toBe(0);
    witness.clean();
  });
});

describe("a bound host that echoes does not hand the secret over", () => {
  test("in headers, the status text, cookies and the body, in every form it may be written in", async () => {
    const base64 = Buffer.from(canary).toString("base64");
    const { handle, fetch, witness, url } = await bound((_request, response) => {
      response.writeHead(200, `hi ${encodeURIComponent(canary)}`, {
        "x-echo": canary,
        "set-cookie": [`k=${encodeURIComponent(canary)}`],
      });
      response.end(
        [
          canary,
          encodeURIComponent(canary),
          encodeURIComponent(canary).toLowerCase(),
          JSON.stringify({ canary }),
          JSON.stringify({ canary }).replaceAll("/", String.raw`\/`),
          base64,
          base64.replace(/=+$/, ""),
          canary
            .replaceAll("&", "&amp;")
            .replaceAll("<", "&lt;")
            .replaceAll(">", "&gt;")
            .replaceAll('"', "&quot;"),
          String(new URLSearchParams({ canary })),
        ].join("\n"),
      );
    });
    const response = await fetch(url, { headers: { "x-key": handle } });
    expect(response.headers.get("x-echo")).toBe(handle);
    const text = await witness.answer(response);
    expect(text.match(new RegExp(handle, "g"))).toHaveLength(9);
    witness.clean();
  });

  test("in chunks that cut it anywhere, and what is harmless is not held back", async () => {
    const text = `before ${canary}${canary} after ${canary.slice(0, -1)}`;
    let next: (() => void) | undefined;
    const { handle, fetch, witness, url } = await bound((request, response) => {
      const size = Number(new URL(`http://x${request.url}`).searchParams.get("size"));
      response.flushHeaders();
      let at = 0;
      next = () => {
        if (at >= text.length) return void response.end();
        response.write(text.slice(at, at + size));
        at += size;
      };
    });
    for (const size of [1, 5, 11]) {
      const response = await fetch(`${url}/?size=${size}`, { headers: { "x-key": handle } });
      const reader = response.body!.getReader();
      let got = "";
      const reading = (async () => {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          got += Buffer.from(value).toString();
        }
      })();
      for (let at = 0; at <= text.length; at += size) {
        next?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
      next?.();
      await reading;
      // What was only the beginning of it is no secret.
      expect(got).toBe(`before ${handle}${handle} after ${canary.slice(0, -1)}`);
      witness.keep(got.slice(0, -canary.length));
    }
    witness.clean();
  });

  test("an event of a stream arrives although nothing follows it", async () => {
    const { handle, fetch, url } = await bound((_request, response) => {
      response.write(`data: ${canary}\n\n`);
    });
    const response = await fetch(url, { headers: { "x-key": handle } });
    const reader = response.body!.getReader();
    let got = "";
    while (!got.endsWith("\n\n")) got += String(Buffer.from((await reader.read()).value ?? []));
    expect(got).toBe(`data: ${handle}\n\n`);
    await reader.cancel();
  });

  test.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
  ])("compressed with %s, whatever coding the plugin asked for", async (coding, pack) => {
    const { handle, fetch, witness, url, arrived } = await bound((_request, response) => {
      response.setHeader("content-encoding", coding);
      response.end(pack(Buffer.from(canary.repeat(3))));
    });
    const response = await fetch(url, { headers: { "x-key": handle, "accept-encoding": "zstd, gzip;q=0" } });
    expect(arrived[0]!.headers["accept-encoding"]).toBe("gzip, br");
    expect(await witness.answer(response)).toBe(handle.repeat(3));
    witness.clean();
  });

  test("in a coding that is not read here, the answer is refused", async () => {
    const { handle, fetch, witness, url } = await bound((_request, response) => {
      response.setHeader("content-encoding", "gzip, gzip");
      response.end(gzipSync(gzipSync(Buffer.from(canary))));
    });
    const response = await fetch(url, { headers: { "x-key": handle } });
    expect((await witness.failure(response.text())).message).toContain("in a coding that is not read here");
    witness.clean();
  });

  test("in a later answer to a request without a handle", async () => {
    let stored = "";
    const { handle, fetch, witness, url } = await bound((request, response) => {
      stored ||= request.headers["x-key"] as string;
      response.end(stored);
    });
    expect(await witness.answer(await fetch(url, { headers: { "x-key": handle } }))).toBe(handle);
    expect(await witness.answer(await fetch(url))).toBe(handle);
    witness.clean();
  });

  test("in an error, its cause and the log", async () => {
    const server = createTcpServer((socket) =>
      socket.once("data", (sent) =>
        socket.end(`HTTP/1.1 200 OK\r\n${sent.toString().split("\r\n").join(" ")}\r\nx y: 1\r\n\r\n`),
      ),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    const place = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const witness = createWitness();
    const handles = handlesFor([place]);
    const handle = await handles.handleFor("weather.key");
    const fetch = egress({ log: witness.log }).fetchFor([place], "weather", { secrets: handles });
    const error = await witness.failure(fetch(`http://${place}/${handle}`, { headers: { "x-key": handle } }));
    expect(error).toMatchObject({ code: "UNAVAILABLE" });
    expect(error.cause).toBeUndefined();
    witness.clean();
  });

  test("an answer to a plugin that never used a secret is not touched", async () => {
    const { fetch, url } = await bound((_request, response) => response.end(canary));
    expect(await (await fetch(url)).text()).toBe(canary);
  });

  test("two secrets of which one begins like the other are told apart, also when cut", async () => {
    const secrets = { "weather.key": "abcd", "weather.long": "abcdefgh" };
    let pieces: string[] = [];
    const server = await serve((_request, response) => {
      const [first = "", ...rest] = pieces;
      response.write(first, () => setImmediate(() => response.end(rest.join(""))));
    });
    const place = `127.0.0.1:${server.port}`;
    const handles = handlesFor([place], secrets);
    const short = await handles.handleFor("weather.key");
    const long = await handles.handleFor("weather.long");
    const fetch = egress().fetchFor([place], "weather", { secrets: handles });
    const get = async (...given: string[]): Promise<string> => {
      pieces = given;
      return (await fetch(server.url, { headers: { a: short, b: long } })).text();
    };
    expect(await get("abcdefgh abcd")).toBe(`${long} ${short}`);
    expect(await get("abcd", "efgh abcd")).toBe(`${long} ${short}`);
    expect(await get("abcdef", "x")).toBe(`${short}efx`);
  });
});

describe("handles", () => {
  test("are the same for the same name, and different for every instance of a plugin", async () => {
    const one = handlesFor(["h:1"], { "a.b": "secret-1", "a.c": "secret-2" });
    const handle = await one.handleFor("a.b");
    expect(handle).toMatch(/^rclaw-secret-[0-9a-f]{32}$/);
    expect(await one.resolve("secret:a.b")).toBe(handle);
    expect(await one.resolve("plain")).toBe("plain");
    expect(await one.handleFor("a.c")).not.toBe(handle);
    expect(await handlesFor(["h:1"], { "a.b": "secret-1" }).handleFor("a.b")).not.toBe(handle);
  });

  test("are not made for a secret that is missing, or too short to be told from other text", async () => {
    const handles = handlesFor(["h:1"], { "a.b": "abc" });
    await expect(handles.handleFor("a.x")).rejects.toThrow("no secret a.x");
    await expect(handles.handleFor("a.b")).rejects.toThrow('secret "a.b" is shorter than 4 characters');
  });

  test("a name with a star binds all below it, and nothing beside it", async () => {
    const handles = createSecretHandles({
      owner: "p",
      bindings: [{ name: "weather.*", hosts: ["h:1"] }],
      resolve: (name) => Promise.resolve(`value of ${name}`),
    });
    const target = { host: "h", port: 1, protocol: "http:" } as const;
    const reveal = async (name: string) => handles.reveal(await handles.handleFor(name), target);
    expect((await reveal("weather.a.b")).secret).toBe("value of weather.a.b");
    await expect(reveal("weatherman")).rejects.toThrow('may not send secret "weatherman"');
    await expect(reveal("other.a")).rejects.toThrow("does not bind");
  });

  test("a secret that was changed counts with the next request", async () => {
    const secrets = { "weather.key": "first-value" };
    const { url, fetch, handle, arrived, witness } = await bound(echo, secrets);
    await witness.answer(await fetch(url, { headers: { "x-key": handle } }));
    secrets["weather.key"] = "second-value";
    await witness.answer(await fetch(url, { headers: { "x-key": handle } }));
    expect(arrived.map(({ headers }) => headers["x-key"])).toEqual(["first-value", "second-value"]);
    witness.clean("first-value");
    witness.clean("second-value");
  });
});
