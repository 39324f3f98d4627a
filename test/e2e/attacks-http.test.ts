import { cp, writeFile } from "node:fs/promises";
import { request } from "node:http";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";

/** Rows of the attack table that come over HTTP, against the whole product. */
const hookToken = "hook-token-0123456789";
const canary = "CANARY-of-the-state-folder";
let state: TempState;
let product: Product;

beforeAll(async () => {
  state = await tempState();
  const plugins = path.join(state.dir, "plugins");
  await cp(
    path.resolve(import.meta.dirname, "../fixtures/plugins/open-door"),
    path.join(plugins, "open-door"),
    {
      recursive: true,
    },
  );
  await writeFile(path.join(state.dir, "canary.txt"), canary);
  const endpoints = { chatCompletions: { enabled: true }, responses: { enabled: true } };
  product = await startProduct({
    stateDir: state.dir,
    config: {
      gateway: { http: { endpoints } },
      hooks: { enabled: true, token: hookToken },
      plugins: { entries: { "open-door": { enabled: true, runtime: "in-process" } } },
    },
  });
});

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** node:http sends a path as it is given; fetch would tidy it up first. */
function send(at: string, { method = "GET", headers = {}, body }: Sent = {}) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>(
    (resolve, reject) => {
      const { port } = product;
      const sent = request(
        { host: "127.0.0.1", port, path: at, method, headers, agent: false },
        (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
          response.on("end", () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
        },
      );
      sent.on("error", reject);
      sent.end(body);
    },
  );
}

const bearer = { authorization: `Bearer ${token}` };
const json = { "content-type": "application/json" };
const post = (at: string, body: object, headers: Readonly<Record<string, string>> = bearer) =>
  send(at, { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(body) });

test.each([
  "/webchat/../../../config.json",
  "/webchat/..%2f..%2fconfig.json",
  "/webchat/%2e%2e/%2e%2e/canary.txt",
  "/webchat/....//....//canary.txt",
  "/webchat/%252e%252e%252fcanary.txt",
  "/webchat/..\\..\\canary.txt",
  "/webchat/leak.js",
  "/webchat/app.js%00.css",
  "/webchat//etc/passwd",
  "/webchat/.%00./canary.txt",
  "/avatar/..%2f..%2fcanary.txt",
  "/avatar/main/../../canary.txt",
])("SEC-047 %s leads nowhere", async (at) => {
  const { status, body } = await send(at);
  expect([400, 404]).toContain(status);
  expect(body).not.toContain(canary);
  expect(body).not.toContain("root:");
});

describe("SEC-048 a page of another site", () => {
  const mutating = [
    ["/v1/chat/completions", bearer],
    ["/v1/responses", bearer],
    ["/tools/invoke", bearer],
    ["/hooks/wake", { authorization: `Bearer ${hookToken}` }],
    ["/hooks/agent", { authorization: `Bearer ${hookToken}` }],
  ] as const;

  test.each(mutating)("cannot make %s do anything", async (at, credentials) => {
    const body = JSON.stringify({
      text: "x",
      message: "x",
      tool: "read",
      messages: [{ role: "user", content: "x" }],
    });
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
    ]) {
      const answer = await send(at, {
        method: "POST",
        headers: { ...json, ...credentials, ...headers },
        body,
      });
      expect(answer.status, JSON.stringify(headers)).toBe(403);
    }
  });

  test.each(mutating.slice(0, 3))("%s takes nothing that a form can send", async (at, credentials) => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      const headers = { "content-type": type, ...credentials };
      expect((await send(at, { method: "POST", headers, body: "{}" })).status, type).toBe(415);
    }
  });

  test.each(mutating)("is not told by %s that it may ask", async (at) => {
    const headers = {
      origin: "https://evil.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    };
    const answer = await send(at, { method: "OPTIONS", headers });
    expect(answer.status).toBe(405);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

test.each([
  "exec",
  "bash",
  "process",
  "write",
  "edit",
  "sessions_spawn",
  "sessions_send",
  "gateway",
  "cron",
  "nodes",
])("SEC-049 %s is not there over HTTP, even with the token", async (tool) => {
  const answer = await post("/tools/invoke", { tool, args: { command: "id", path: "x", content: "x" } });
  expect(answer.status).toBe(404);
  expect(JSON.parse(answer.body)).toEqual({
    ok: false,
    error: { type: "not_found", message: `Tool not available: ${tool}` },
  });
});

test("SEC-049 a tool that is there keeps to the workspace", async () => {
  expect((await post("/tools/invoke", { tool: "read", args: { path: "." } })).status).toBe(200);
  for (const outside of ["../canary.txt", path.join(state.dir, "config.json"), "/etc/passwd"]) {
    const answer = await post("/tools/invoke", { tool: "read", args: { path: outside } });
    expect(answer.status, outside).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({ ok: false, error: { type: "tool_call_blocked" } });
    expect(answer.body).not.toContain(canary);
  }
});

test("SEC-049 without the token nothing is there at all", async () => {
  for (const headers of [{}, { authorization: "Bearer no" }, { authorization: `Bearer ${hookToken}` }])
    expect((await post("/tools/invoke", { tool: "read", args: { path: "." } }, headers)).status).toBe(401);
  expect(
    (await send(`/tools/invoke?token=${token}`, { method: "POST", headers: json, body: "{}" })).status,
  ).toBe(400);
});

describe("SEC-051 an open route of a plugin", () => {
  const call = async (door: string, body: object, headers = {}) =>
    JSON.parse((await post(door, body, headers)).body) as {
      ok: boolean;
      code?: string;
      message?: string;
      payload?: object;
    };

  test("does what its manifest lists", async () => {
    expect((await call("/open-door", { method: "health" })).ok).toBe(true);
    const { ok, payload } = await call("/open-door", { method: "config.get" });
    expect(ok).toBe(true);
    expect(JSON.stringify(payload)).not.toContain(hookToken);
  });

  test("does nothing else, and not as an owner of its own making", async () => {
    for (const method of ["config.set", "sessions.list", "agent", "plugins.enable", "device.pair.list"])
      expect(await call("/open-door", { method, params: {} }), method).toMatchObject({
        ok: false,
        code: "PERMISSION_DENIED",
      });
    expect(await call("/open-door", { method: "config.get", as: "forged" })).toMatchObject({
      ok: false,
      code: "PERMISSION_DENIED",
    });
  });

  test("is not told who asks, even if it is the owner; a closed one is, and cannot keep a copy", async () => {
    // Without a caller it is the plugin's own call.
    expect((await call("/open-door", { method: "config.get", as: "mine" }, bearer)).ok).toBe(true);
    expect((await call("/closed-door", { method: "config.get", as: "mine" }, bearer)).ok).toBe(true);
    expect(await call("/closed-door", { method: "config.get", as: "copied" }, bearer)).toMatchObject({
      ok: false,
      code: "PERMISSION_DENIED",
    });
    // The owner's own rights do not widen the manifest.
    expect(await call("/closed-door", { method: "config.set", as: "mine" }, bearer)).toMatchObject({
      ok: false,
      code: "PERMISSION_DENIED",
    });
  });
});

test("SEC-052 bodies over the limits are refused, with and without their size", async () => {
  const big = JSON.stringify({ tool: "x".repeat(2_200_000) });
  expect(
    (await send("/tools/invoke", { method: "POST", headers: { ...json, ...bearer }, body: big })).status,
  ).toBe(413);
  const hook = { ...json, authorization: `Bearer ${hookToken}` };
  const large = JSON.stringify({ text: "x".repeat(262_144) });
  expect((await send("/hooks/wake", { method: "POST", headers: hook, body: large })).status).toBe(413);
  const chunked = { ...hook, "transfer-encoding": "chunked" };
  expect((await send("/hooks/wake", { method: "POST", headers: chunked, body: large })).status).toBe(413);
});

test("SEC-053 every endpoint's answer keeps pages apart", async () => {
  const answers = await Promise.all([
    send("/"),
    send("/nope"),
    send("/metrics"),
    send("/metrics", { headers: bearer }),
    post("/v1/chat/completions", { messages: [] }),
    post("/tools/invoke", {}),
    post("/hooks/wake", {}, { authorization: `Bearer ${hookToken}` }),
    post("/hooks/wake", {}, {}),
  ]);
  for (const { headers } of answers)
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "x-frame-options": "DENY",
      "content-security-policy": expect.stringContaining("frame-ancestors 'none'") as string,
    });
});
