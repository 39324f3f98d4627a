import { once } from "node:events";
import http from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { describe, expect, test } from "vitest";
import { createAddressRules } from "../../plugins/services/egress/address.ts";
import { exchange } from "../../plugins/services/egress/exchange.ts";
import { createGrants } from "../../plugins/services/egress/grants.ts";
import { defaultLimits } from "../../plugins/services/egress/limits.ts";
import { closers, echo, egress, resolveTo, serve } from "./egress-setup.ts";

/** Listens where the attack would land; nothing may ever connect. */
async function canary(): Promise<{ port: number; hits(): number }> {
  let hits = 0;
  const server = createTcpServer((socket) => {
    hits++;
    socket.destroy();
  });
  server.listen(0, "::");
  await once(server, "listening");
  closers.push(() => new Promise((done) => server.close(done)));
  return { port: (server.address() as AddressInfo).port, hits: () => hits };
}

describe("addresses of this machine, its network and the cloud are refused before any packet leaves", () => {
  const literals: Record<string, string[]> = {
    "SEC-124": [
      "127.0.0.1",
      "localhost",
      "localhost.",
      "foo.localhost",
      "0.0.0.0",
      "[::1]",
      "[::]",
      "LOCALHOST",
      "x.internal",
      "printer.local.",
    ],
    "SEC-125": [
      "2130706433",
      "0x7f000001",
      "0177.0.0.1",
      "127.1",
      "0x7f.1",
      "①②⑦.⓪.⓪.①",
      "127。0。0。1",
      "127.0.0.1.",
    ],
    "SEC-126": [
      "[::ffff:7f00:1]",
      "[0:0:0:0:0:ffff:127.0.0.1]",
      "[::127.0.0.1]",
      "[::ffff:0:127.0.0.1]",
      "[::ffff:a9fe:a9fe]",
      "[::a9fe:a9fe]",
    ],
    "SEC-127": [
      "[64:ff9b::7f00:1]",
      "[64:ff9b:1::1]",
      "[2002:7f00:1::]",
      "[2001::1]",
      "[fe80::5efe:7f00:1]",
      "[fec0::1]",
      "[3fff::1]",
      "[100::1]",
      "[4000::1]",
    ],
    "SEC-128": [
      "10.0.0.1",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "100.64.0.1",
      "169.254.169.254",
      "192.0.0.1",
      "198.18.0.1",
      "192.0.2.1",
      "198.51.100.1",
      "203.0.113.1",
      "224.0.0.1",
      "255.255.255.255",
      "240.0.0.1",
      "168.63.129.16",
      "100.100.100.200",
      "[fd00:ec2::254]",
      "[ff02::1]",
    ],
    "SEC-136": ["127.0.0.1", "2130706433", "[::1]"],
  };
  test.each(Object.entries(literals))("%s", async (_id, hosts) => {
    const trap = await canary();
    let resolved = 0;
    const fetch = egress({
      resolve: async () => (resolved++, [{ address: "93.184.215.14", family: 4 }]),
    }).fetchFor(["*"], "web");
    for (const host of hosts) {
      for (const url of [`http://${host}/`, `http://${host}:${trap.port}/`, `https://${host}/`]) {
        const error = await fetch(url).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(error, url).toMatchObject({ code: "EGRESS_DENIED" });
        expect(String(error)).toMatch(
          /plugin "web" may not reach .* add ".*" to permissions\.net of its manifest/,
        );
      }
    }
    expect(trap.hits()).toBe(0);
    expect(resolved).toBe(0);
  });

  test("SEC-129: a name whose answers hold a private address, even one of several, is refused without naming the address", async () => {
    const trap = await canary();
    for (const answers of [
      ["127.0.0.1"],
      ["93.184.215.14", "10.0.0.7"],
      ["fd00::1"],
      ["::ffff:127.0.0.1"],
      ["169.254.169.254"],
      ["bogus"],
    ]) {
      const fetch = egress({ resolve: resolveTo(...answers) }).fetchFor(["*.example.org"], "web");
      const error = await fetch("http://a.example.org/").catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "EGRESS_DENIED" });
      for (const answer of answers) expect(String(error)).not.toContain(answer);
    }
    expect(trap.hits()).toBe(0);
  });

  test("SEC-130: the answer that was checked is the one connected to; a second look-up never happens", async () => {
    const { port } = await serve(echo);
    let asked = 0;
    const answers = ["127.0.0.1", "169.254.169.254"];
    const resolve = async () => [{ address: answers[Math.min(asked++, 1)]!, family: 4 }];
    const fetch = egress({ resolve }).fetchFor([`rebind.test:${port}`], "web");
    await expect((await fetch(`http://rebind.test:${port}/`)).json()).resolves.toMatchObject({
      method: "GET",
    });
    expect(asked).toBe(1);
  });

  test("SEC-131: every hop of a redirect is judged anew", async () => {
    const trap = await canary();
    const { port, url } = await serve((request, response) => {
      response.writeHead(302, { location: decodeURIComponent(request.url!.slice(1)) }).end();
    });
    const fetch = egress({ resolve: resolveTo("127.0.0.1") }).fetchFor([`127.0.0.1:${port}`, "*"], "web");
    const targets = [
      `http://127.0.0.1:${trap.port}/`,
      `http://[::1]:${trap.port}/`,
      "file:///etc/passwd",
      "http://localhost/",
      "http://other.test/",
      "gopher://x/",
    ];
    for (const target of targets) {
      await expect(fetch(`${url}/${encodeURIComponent(target)}`), target).rejects.toMatchObject({
        code: "EGRESS_DENIED",
      });
    }
    await expect(fetch(`${url}/${encodeURIComponent("http://")}`)).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(trap.hits()).toBe(0);
  });

  test("SEC-131: a redirect chain ends after five hops", async () => {
    let hits = 0;
    const { port, url } = await serve(
      (_request, response) => void response.writeHead(302, { location: `/${hits++}` }).end(),
    );
    const fetch = egress().fetchFor([`127.0.0.1:${port}`], "web");
    await expect(fetch(url)).rejects.toThrow(/redirected more than 5 times/);
    expect(hits).toBe(6);
  });

  test("SEC-134: what looks like one host to a person and another to a parser", async () => {
    const trap = await canary();
    const seen: string[] = [];
    const resolve = async (host: string) => (seen.push(host), [{ address: "127.0.0.1", family: 4 }]);
    const fetch = egress({ resolve }).fetchFor(["*"], "web");
    const urls = [
      "http://evil.test#@127.0.0.1",
      "http://127.0.0.1:80\\@evil.test",
      "http://user:pass@evil.test/",
      "http://127.0.0.1\t.nip.io@x/",
      "http://127.0.\n0.1/",
      `http://evil.test:${trap.port}/`,
      "ftp://evil.test/",
      "data:text/plain,x",
    ];
    for (const url of urls) await expect(fetch(url), url).rejects.toMatchObject({ code: "EGRESS_DENIED" });
    expect(seen).toEqual(["evil.test"]);
    await expect(fetch("http://")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    const error = await fetch("http://user:hunter2@evil.test/").catch(String);
    expect(error).not.toContain("hunter2");
    expect(trap.hits()).toBe(0);
  });

  test("SEC-135: proxy variables of the environment are ignored", async () => {
    const trap = await canary();
    const { port, url } = await serve(echo);
    const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"];
    const before = names.map((name) => process.env[name]);
    for (const name of names)
      process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : `http://127.0.0.1:${trap.port}`;
    try {
      await (await egress().fetchFor([`127.0.0.1:${port}`], "web")(url)).text();
    } finally {
      for (const [i, name] of names.entries()) {
        if (before[i] === undefined) delete process.env[name];
        else process.env[name] = before[i];
      }
    }
    expect(trap.hits()).toBe(0);
  });

  test("SEC-137: an open connection serves its own owner and host only", async () => {
    const one = await serve(echo);
    const out = egress({ resolve: resolveTo("127.0.0.1") });
    const names = [`a.test:${one.port}`, `b.test:${one.port}`];
    const first = out.fetchFor(names, "first");
    for (let i = 0; i < 3; i++) await (await first(`http://${names[0]}/`)).text();
    expect(one.connections()).toBe(1);
    await (await first(`http://${names[1]}/`)).text();
    expect(one.connections()).toBe(2);
    await (await out.fetchFor(names, "second")(`http://${names[0]}/`)).text();
    expect(one.connections()).toBe(3);
  });

  test("a socket that turns out to be connected elsewhere is destroyed before the request is written", async () => {
    let requests = 0;
    const { port, url } = await serve((_request, response) => (requests++, response.end()));
    const target = createGrants([`127.0.0.1:${port}`], "web", createAddressRules())(new URL(url));
    const agent = new http.Agent();
    closers.push(() => agent.destroy());
    const seen: string[] = [];
    await expect(
      exchange({
        owner: "web",
        target,
        method: "GET",
        headers: {},
        body: {},
        agent,
        limits: defaultLimits,
        signal: undefined,
        lookup: () => undefined,
        refuse: (address) => (
          seen.push(address),
          Object.assign(new Error("refused"), {
            name: "RclawError",
            code: "EGRESS_DENIED" as const,
            retryable: false,
            details: undefined,
          }) as never
        ),
      }),
    ).rejects.toThrow("refused");
    expect(seen).toEqual(["127.0.0.1"]);
    expect(requests).toBe(0);
  });
});

describe("what a grant opens", () => {
  const judge = (...grants: string[]) => {
    const decide = createGrants(grants, "p", createAddressRules());
    return (url: string): boolean => {
      try {
        decide(new URL(url));
        return true;
      } catch {
        return false;
      }
    };
  };

  test.each([
    ["api.example.org", "https://api.example.org/", true],
    ["api.example.org", "http://API.example.org./x", true],
    ["api.example.org", "https://api.example.org:8443/", false],
    ["api.example.org", "https://example.org/", false],
    ["api.example.org", "https://api.example.org.evil.test/", false],
    ["*.example.org", "https://a.b.example.org/", true],
    ["*.example.org", "https://example.org/", false],
    ["*.example.org", "https://evilexample.org/", false],
    ["api.example.org:8443", "https://api.example.org:8443/", true],
    ["api.example.org:8443", "https://api.example.org/", false],
    ["bücher.example", "https://xn--bcher-kva.example/", true],
    ["127.0.0.1:11434", "http://127.0.0.1:11434/", true],
    ["127.0.0.1:11434", "http://127.0.0.1:11435/", false],
    ["127.0.0.1", "http://127.0.0.1/", false],
    ["[::1]:11434", "http://[::1]:11434/", true],
    ["localhost:11434", "http://localhost:11434/", true],
    ["localhost", "http://localhost/", false],
    ["169.254.169.254:80", "http://169.254.169.254/", true],
    ["*", "https://anything.test/", true],
    ["*", "https://anything.test:8443/", false],
  ])("%s and %s: %s", (grant, url, opens) => {
    expect(judge(grant)(url)).toBe(opens);
  });

  test("without grants nothing opens, and the refusal is the line to add", () => {
    expect(() =>
      createGrants([], "weather", createAddressRules())(new URL("https://api.example.org/v1?key=s3cret")),
    ).toThrow(
      'plugin "weather" may not reach api.example.org; if it should, add "api.example.org" to permissions.net of its manifest',
    );
    expect(() =>
      createGrants(["x"], "weather", createAddressRules())(new URL("https://api.example.org:8443/")),
    ).toThrow('add "api.example.org:8443"');
  });

  test.each(["http://x", "a b", "x:0", "x:99999", "*", "**.x", "x/y", ""])(
    "the malformed grant %j is named",
    (grant) => {
      if (grant === "*") return;
      expect(() => createGrants([grant], "p", createAddressRules())).toThrow(
        /permissions\.net of plugin "p" holds/,
      );
    },
  );

  test("a granted name may lie in the home network, but never on a link-local or metadata address", async () => {
    const at = (address: string) =>
      egress({ resolve: resolveTo(address) }).fetchFor(["nas.test:81"], "p", { limits: { connectMs: 50 } });
    for (const address of ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "224.0.0.1"]) {
      await expect(at(address)("http://nas.test:81/")).rejects.toMatchObject({ code: "EGRESS_DENIED" });
    }
    const { port } = await serve(echo);
    const fetch = egress({ resolve: resolveTo("127.0.0.1") }).fetchFor([`nas.test:${port}`], "p");
    expect((await fetch(`http://nas.test:${port}/`)).status).toBe(200);
  });
});
