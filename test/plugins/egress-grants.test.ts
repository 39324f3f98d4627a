import { describe, expect, test } from "vitest";
import type { NetGrant } from "@rclaw/plugin-sdk/services/net-grants";
import { createAddressRules } from "../../plugins/services/egress/address.ts";
import { createGrants } from "../../plugins/services/egress/grants.ts";
import { pathFits } from "../../plugins/services/egress/paths.ts";
import { echo, egress, resolveTo, serve } from "./egress-setup.ts";

const rules = createAddressRules();
const judge = (grants: readonly (string | NetGrant)[], url: string, method?: string) =>
  createGrants(grants, "weather", rules)(new URL(url), method);

describe("a grant that names methods and paths", () => {
  const narrow: NetGrant = { host: "api.example.org", methods: ["GET", "HEAD"], paths: ["/v1/*", "/status"] };

  test("allows those and no others, and the error says which line to widen", () => {
    expect(judge([narrow], "https://api.example.org/v1/a/b?x=/v2", "GET")).toMatchObject({
      named: false,
      port: 443,
    });
    expect(judge([narrow], "https://api.example.org/status", "HEAD")).toMatchObject({ named: false });
    for (const [path, method] of [
      ["/v1/a", "POST"],
      ["/v2/a", "GET"],
      ["/v1", "GET"],
      ["/status/", "GET"],
      ["/", "GET"],
    ]) {
      expect(() => judge([narrow], `https://api.example.org${path}`, method)).toThrow(
        `plugin "weather" may not send this ${method} request to api.example.org: permissions.net of its manifest names the host with other methods or paths`,
      );
    }
    expect(() => judge([narrow], "https://other.example.org/v1/a", "GET")).toThrow(
      "may not reach other.example.org",
    );
  });

  test("stands beside others: what one of them allows is allowed", () => {
    const grants = [narrow, { host: "api.example.org", methods: ["POST"], paths: ["/v2/*"] }];
    expect(judge(grants, "https://api.example.org/v2/x", "POST")).toMatchObject({ host: "api.example.org" });
    expect(() => judge(grants, "https://api.example.org/v2/x", "GET")).toThrow(
      "may not send this GET request",
    );
    expect(judge([narrow, "api.example.org"], "https://api.example.org/x", "DELETE")).toMatchObject({
      port: 443,
    });
  });

  test("opens a private address only for what it names", () => {
    const home: NetGrant = { host: "192.168.1.5:8123", methods: ["GET"], paths: ["/api/*"] };
    expect(judge([home], "http://192.168.1.5:8123/api/states")).toMatchObject({ named: true });
    expect(() => judge([home], "http://192.168.1.5:8123/other")).toThrow("may not send this GET request");
    expect(() => judge([home, "*"], "http://192.168.1.5:8123/other")).toThrow(
      "may not send this GET request",
    );
    expect(() => judge([home, "*"], "http://192.168.1.5/other")).toThrow("it is a private network address");
  });

  test("is judged anew at every redirect", async () => {
    const { port, url } = await serve((request, response) => {
      if (request.url === "/v1/go") response.writeHead(302, { location: "/admin" }).end();
      else echo(request, response);
    });
    const fetch = egress().fetchFor([{ host: `127.0.0.1:${port}`, paths: ["/v1/*"] }], "weather");
    expect((await fetch(`${url}/v1/x`)).status).toBe(200);
    await expect(fetch(`${url}/v1/go`)).rejects.toMatchObject({ code: "EGRESS_DENIED" });
  });

  test("an entry that is a list's star reaches every public host, as far as it says", () => {
    const grants: NetGrant[] = [{ host: "*", methods: ["GET"] }];
    expect(judge(grants, "https://anything.example.org/")).toMatchObject({ named: false });
    expect(() => judge(grants, "https://anything.example.org/", "POST")).toThrow(
      "may not send this POST request",
    );
    expect(() => judge(grants, "https://anything.example.org:8443/")).toThrow("may not reach");
    expect(() => judge(grants, "http://127.0.0.1/")).toThrow("it is a loopback address");
  });

  test("a function is asked for the grants with each request", async () => {
    const { port, url } = await serve(echo);
    let grants: readonly string[] = [];
    const fetch = egress().fetchFor(() => grants, "weather");
    await expect(fetch(url)).rejects.toMatchObject({ code: "EGRESS_DENIED" });
    grants = [`127.0.0.1:${port}`];
    expect((await fetch(url)).status).toBe(200);
    grants = [];
    await expect(fetch(url)).rejects.toMatchObject({ code: "EGRESS_DENIED" });
  });
});

describe("a path", () => {
  test.each([
    ["/v1/*", "/v1/"],
    ["/v1/*", "/v1/a"],
    ["/v1/*", "/v1/a/b/c"],
    ["/*", "/"],
    ["/*", "/a/b"],
    ["/bot*/getMe", "/botrclaw-secret-0/getMe"],
    ["/repos/*/*/issues", "/repos/a/b/issues"],
    ["/v1/*", "/v1/caf%C3%A9%20au%20lait"],
    ["/v1/a*c*e", "/v1/abcde"],
    ["/v1/files/*", "/v1/files/a%2Fb"],
  ])("%s means %s", (pattern, path) => {
    expect(pathFits(pattern, new URL(`http://h${path}`).pathname)).toBe(true);
  });

  test.each([
    ["/v1/*", "/v1"],
    ["/v1/*", "/V1/a"],
    ["/v1/*", "/v1/../admin"],
    ["/v1/*", "/v1/%2e%2e/admin"],
    ["/v1/*", "/v1/.%2E/admin"],
    ["/v1/*", "/v1/..%2Fadmin"],
    ["/v1/*", "/v1/..%2fadmin"],
    ["/v1/*", "/v1/%252e%252e/admin"],
    ["/v1/*", "/v1/..%252Fadmin"],
    ["/v1/*", "/v1/..%5Cadmin"],
    ["/v1/*", "/v1/..\\admin"],
    ["/v1/*", "/v1/..;/admin"],
    ["/v1/*", "/v1/%c0%ae%c0%ae/admin"],
    ["/v1/*", "/v1//admin"],
    ["/v1/*", "//v1/a"],
    ["/v1/*", "/v1/%2F/a"],
    ["/v1/*", "/v1%2Fa"],
    ["/v1/*", "/%76%31/a"],
    ["/v1/*", "/v1/a%00b"],
    ["/v1/*", "/v1/a%0d%0ab"],
    ["/v1/*", "/v1/%zz"],
    ["/status", "/status/"],
    ["/status", "/status/x"],
    ["/status", "/statusx"],
    ["/repos/*/issues", "/repos/a/b/issues"],
    ["/v1/a*c", "/v1/ac/d"],
    ["/v1/a*a", "/v1/a"],
  ])("%s does not mean %s", (pattern, path) => {
    expect(pathFits(pattern, new URL(`http://h${path}`).pathname)).toBe(false);
  });

  test("many stars do not make it slow", () => {
    const started = performance.now();
    expect(pathFits(`/${"*a".repeat(120)}b`, `/${"a".repeat(100_000)}`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

test("bytes are counted as they go over the wire, also when a connection is used again", async () => {
  const { port, url } = await serve((request, response) => {
    request.resume().on("end", () => response.end("x".repeat(50_000)));
  });
  const counted: [number, number][] = [];
  const fetch = egress({ resolve: resolveTo("127.0.0.1") }).fetchFor([`127.0.0.1:${port}`], "weather", {
    onBytes: (sent, received) => void counted.push([sent, received]),
  });
  const totals = (): [number, number] => [
    counted.reduce((sum, [sent]) => sum + sent, 0),
    counted.reduce((sum, [, received]) => sum + received, 0),
  ];
  for (const round of [1, 2]) {
    await (await fetch(url, { method: "POST", body: "y".repeat(20_000) })).text();
    await new Promise((resolve) => setImmediate(resolve));
    const [sent, received] = totals();
    expect(sent).toBeGreaterThan(20_000 * round);
    expect(sent).toBeLessThan(21_000 * round);
    expect(received).toBeGreaterThan(50_000 * round);
    expect(received).toBeLessThan(51_000 * round);
  }
});
