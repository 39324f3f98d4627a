import { RclawError, type RouteRequest, type Tool } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import plugin from "../../plugins/services/tools-http/index.ts";

const seen: unknown[] = [];
const tool = (name: string, execute: Tool["execute"], properties: object = {}): Tool => ({
  name,
  description: name,
  params: { type: "object", properties },
  execute: (params, context) => (seen.push({ name, params, place: context }), execute(params, context)),
});
const failing = (name: string, error: Error): Tool => tool(name, () => Promise.reject(error));
const tools = [
  tool("echo", async (params) => ({ content: JSON.stringify(params), details: { policy: [], lines: 1 } })),
  tool("acts", async (params) => ({ content: JSON.stringify(params) }), { action: { type: "string" } }),
  tool("sorry", async () => ({ content: "there is no such file", isError: true })),
  failing("boom", new RclawError("PLUGIN_FAILED", "tool boom failed at /root/x")),
  failing(
    "strict",
    new RclawError("INVALID_REQUEST", "invalid strict params: must have required property 'a'"),
  ),
  failing(
    "profiled",
    new RclawError("POLICY_DENIED", "not in the profile", { details: { gate: "profile" } }),
  ),
  failing("hooked", new RclawError("POLICY_DENIED", "not today", { details: { gate: "before_tool_call" } })),
  failing("gone", new RclawError("NOT_FOUND", 'there is no tool "gone"', { details: { tool: "gone" } })),
  tool("exec", async () => ({ content: "root" })),
  tool("write", async () => ({ content: "written" })),
];

async function invoke(
  body: unknown,
  { config = {}, headers = {} }: { config?: object; headers?: object } = {},
) {
  await using rclaw = createTestContext({
    id: "tools-http",
    config,
    tools,
    methods: { "config.get": () => ({ config: { agents: { list: [{ id: "poet" }] } } }) },
  });
  await rclaw.activate(plugin);
  const request = {
    method: "POST",
    path: "/tools/invoke",
    query: {},
    headers,
    body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
    caller: rclaw.caller(),
  } as RouteRequest;
  seen.length = 0;
  const answer = await rclaw.contributions.routes
    .get("POST /tools/invoke")!
    .handle(request, new AbortController().signal);
  return { status: answer.status, body: JSON.parse(answer.body as string) as unknown };
}

test("a tool's answer has the shape of OpenClaw's", async () => {
  expect(await invoke({ tool: "echo", args: { a: 1 } })).toEqual({
    status: 200,
    body: { ok: true, result: { content: [{ type: "text", text: '{"a":1}' }], details: { lines: 1 } } },
  });
  expect(seen[0]).toMatchObject({ place: { sessionKey: "agent:main:main", agentId: "main", isOwner: true } });
});

test("the session, its agent and the channel are the caller's choice, as far as there are such", async () => {
  await invoke(
    { tool: "echo", sessionKey: "agent:poet:verse" },
    { headers: { "x-openclaw-message-channel": "telegram" } },
  );
  expect(seen[0]).toMatchObject({
    place: { sessionKey: "agent:poet:verse", agentId: "poet", channel: "telegram" },
  });
  await expect(invoke({ tool: "echo", sessionKey: "agent:nobody:main" })).rejects.toThrow(
    'unknown agent id "nobody"',
  );
  expect(seen).toEqual([]);
});

test("an action is a parameter where the tool has one", async () => {
  await invoke({ tool: "acts", action: "start", args: { a: 1 } });
  await invoke({ tool: "acts", action: "start", args: { action: "stop" } });
  const [last] = seen;
  expect(last).toMatchObject({ params: { action: "stop" } });
  await invoke({ tool: "acts", action: "start" });
  expect(seen[0]).toMatchObject({ params: { action: "start" } });
  await invoke({ tool: "echo", action: "json", args: {} });
  expect(seen[0]).toMatchObject({ params: {} });
});

test("a dry run calls nothing", async () => {
  const { status, body } = await invoke({ tool: "echo", args: { a: 1 }, dryRun: true });
  expect(status).toBe(200);
  expect(body).toMatchObject({
    ok: true,
    result: { details: { dryRun: true, tool: "echo", args: { a: 1 } } },
  });
  expect((await invoke({ tool: "nothing", dryRun: true })).status).toBe(404);
  expect(seen).toEqual([]);
});

test.each([
  ["sorry", 500, "tool_error", "there is no such file"],
  ["boom", 500, "tool_error", "tool execution failed"],
  ["strict", 400, "tool_error", "invalid strict params: must have required property 'a'"],
  ["profiled", 404, "not_found", "Tool not available: profiled"],
  ["gone", 404, "not_found", "Tool not available: gone"],
  ["hooked", 403, "tool_call_blocked", "not today"],
])("%s answers %i %s", async (name, status, type, message) => {
  expect(await invoke({ tool: name })).toEqual({ status, body: { ok: false, error: { type, message } } });
});

test.each([[{}], [{ tool: " " }], [{ tool: 5 }], ["null"], [""]])("%j names no tool", async (body) => {
  await expect(invoke(body)).rejects.toThrow("tools.invoke requires body.tool");
});

test("SEC-049 what runs programs, changes files or steers the gateway is not there over HTTP", async () => {
  const names =
    "exec EXEC bash process write edit apply_patch sessions_spawn sessions_send cron gateway nodes whatsapp_login";
  for (const name of names.split(" ")) {
    expect(await invoke({ tool: name }), name).toEqual({
      status: 404,
      body: { ok: false, error: { type: "not_found", message: `Tool not available: ${name}` } },
    });
  }
  expect(seen).toEqual([]);
});

test("SEC-049 the owner may allow one of them, and deny others; what is in both lists is denied", async () => {
  expect((await invoke({ tool: "exec" }, { config: { allow: ["exec"] } })).status).toBe(200);
  expect((await invoke({ tool: "write" }, { config: { allow: ["exec"] } })).status).toBe(404);
  expect((await invoke({ tool: "write" }, { config: { allow: ["group:fs"] } })).status).toBe(200);
  expect((await invoke({ tool: "echo" }, { config: { deny: ["ECHO"] } })).status).toBe(404);
  expect(
    (await invoke({ tool: "exec" }, { config: { allow: ["bash"], deny: ["group:runtime"] } })).status,
  ).toBe(404);
});
