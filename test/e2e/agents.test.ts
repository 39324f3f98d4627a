import { createHash } from "node:crypto";
import { access, link, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import type { LLMock } from "@copilotkit/aimock";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { startModelPeer } from "../support/aimock.ts";
import {
  ask,
  type Product,
  say,
  startProduct,
  type TempState,
  tempState,
  token,
} from "../support/product.ts";
import { type Client, connectClient } from "../support/ws-client.ts";

let mock: LLMock;
let state: TempState;
let product: Product;
let client: Client;

const file = (...parts: string[]): string => path.join(state.dir, ...parts);
const config = async (): Promise<{ agents: { list?: object[] } }> =>
  JSON.parse(await state.read("config.json"));
const isThere = (name: string): Promise<boolean> =>
  access(name).then(
    () => true,
    () => false,
  );

async function refusal(method: string, params: object, by = client): Promise<unknown> {
  const { ok, error } = await by.request(method, params);
  expect(ok, method).toBe(false);
  return error;
}

const refused = (message: string): object => ({ code: "INVALID_REQUEST", message });

beforeAll(async () => {
  ({ mock } = await startModelPeer());
  mock.onMessage(
    "slowly",
    { content: "One word after the other, and none too soon." },
    { chunkSize: 4, latency: 100 },
  );
  mock.onMessage(/./, { content: "Understood." });
});

async function start(): Promise<void> {
  product = await startProduct({
    stateDir: state.dir,
    ...((await isThere(file("config.json")))
      ? {}
      : {
          config: {
            models: {
              providers: {
                openai: {
                  baseUrl: `${mock.url}/v1`,
                  apiKey: "sk-test-key-000000000000",
                  models: [{ id: "m" }, { id: "other" }],
                },
              },
            },
            agents: { defaults: { model: "openai/m" } },
          },
        }),
  });
  client = await product.connect({ maxProtocol: 3 });
}

beforeEach(async () => {
  state = await tempState();
  await start();
  return async () => {
    await product[Symbol.asyncDispose]();
    await state[Symbol.asyncDispose]();
  };
});

test("without agents in the configuration there is main, and it looks as it always did", async () => {
  expect(await ask(client, "agents.list")).toEqual({
    defaultId: "main",
    mainKey: "main",
    scope: "per-sender",
    agents: [{ id: "main" }],
  });
  expect(await ask(client, "agent.identity.get")).toEqual({
    agentId: "main",
    name: "Assistant",
    avatar: "A",
  });
  const workspace = file("workspace");
  const names = ["AGENTS", "SOUL", "TOOLS", "IDENTITY", "USER", "HEARTBEAT", "BOOTSTRAP", "MEMORY"];
  expect(await ask(client, "agents.files.list", { agentId: "main" })).toEqual({
    agentId: "main",
    workspace,
    files: names.map((name) => ({
      name: `${name}.md`,
      path: path.join(workspace, `${name}.md`),
      missing: true,
    })),
  });
  expect(await ask(client, "agents.files.get", { agentId: "main", name: "SOUL.md" })).toEqual({
    agentId: "main",
    workspace,
    file: { name: "SOUL.md", path: path.join(workspace, "SOUL.md"), missing: true },
  });
});

test("an agent that is made answers in its own folder with its own model, also after a restart", async () => {
  const workspace = file("workspace-research");
  const made = { name: "Re search!", workspace, emoji: "🔬", avatar: "https://example.org/r.png" };
  expect(await ask(client, "agents.create", made)).toEqual({
    ok: true,
    agentId: "re-search",
    name: "Re search!",
    workspace,
  });
  expect((await config()).agents.list).toEqual([
    { id: "main" },
    {
      id: "re-search",
      name: "Re search!",
      workspace,
      identity: { name: "Re search!", emoji: "🔬", avatar: made.avatar },
    },
  ]);
  expect(await state.read("workspace-research/IDENTITY.md")).toBe(
    "- Name: Re search!\n- Emoji: 🔬\n- Avatar: https://example.org/r.png\n",
  );
  expect(await refusal("agents.create", made)).toEqual(refused('agent "re-search" already exists'));
  expect(await ask(client, "agents.update", { agentId: "RE-SEARCH", model: "openai/other" })).toEqual({
    ok: true,
    agentId: "re-search",
  });
  await ask(client, "agents.files.set", {
    agentId: "re-search",
    name: "SOUL.md",
    content: "Speak like a lab report.",
  });

  await product.stop();
  await start();
  expect((await ask(client, "agents.list")).agents).toEqual([
    { id: "main" },
    {
      id: "re-search",
      name: "Re search!",
      identity: { name: "Re search!", emoji: "🔬", avatar: made.avatar },
    },
  ]);
  const sessionKey = "agent:re-search:main";
  expect((await say(client, "hello", { sessionKey })).payload.state).toBe("final");
  const asked = JSON.stringify(mock.getRequests().at(-1)?.body);
  expect(asked).toContain('"model":"other"');
  expect(asked).toContain(workspace);
  expect(asked).toContain("Speak like a lab report.");
  expect(asked).toContain("Your name is Re search!");
  expect(await ask(client, "agent.identity.get", { sessionKey })).toEqual({
    agentId: "re-search",
    name: "Re search!",
    avatar: made.avatar,
    emoji: "🔬",
  });

  const accepted = await client.request("agent", {
    message: "hi",
    agentId: "re-search",
    idempotencyKey: "a",
  });
  expect(accepted.payload).toMatchObject({ status: "accepted" });
  await client.find(({ payload }) => payload?.runId === "a" && payload.status === "ok");
  expect((await ask(client, "sessions.list")).sessions.map(({ key }: { key: string }) => key)).toEqual([
    sessionKey,
  ]);
});

test("comments of the configuration stay, and two who make agents at once both get theirs", async () => {
  await product.stop();
  await writeFile(
    file("config.json"),
    '{\n  // mine\n  agents: { list: [ { id: "main" /* first */ } ] }\n}\n',
  );
  await start();
  const names = ["one", "two", "three"];
  await Promise.all(names.map((name) => ask(client, "agents.create", { name })));
  const text = await state.read("config.json");
  expect(text).toContain("// mine");
  expect(text).toContain("/* first */");
  expect((await ask(client, "agents.list")).agents.map(({ id }: { id: string }) => id).sort()).toEqual(
    ["main", ...names].sort(),
  );
  expect(await isThere(file("workspace-two"))).toBe(true);
});

test("the agent that says default is the one for everybody who names none", async () => {
  await product.stop();
  await writeFile(
    file("config.json"),
    JSON.stringify({
      models: { providers: { openai: { baseUrl: `${mock.url}/v1`, apiKey: "k-0000000000000000" } } },
      agents: {
        defaults: { model: "openai/m" },
        list: [{ id: "main" }, { id: "Work", default: true, identity: { name: "Ada" } }],
      },
    }),
  );
  await start();
  const { defaultId, agents } = await ask(client, "agents.list");
  expect(defaultId).toBe("work");
  expect(agents).toEqual([{ id: "main" }, { id: "work", identity: { name: "Ada" } }]);
  const hello = await connectClient(product.url, { token });
  expect(hello.answer.payload.snapshot.sessionDefaults).toMatchObject({
    defaultAgentId: "work",
    mainSessionKey: "agent:work:main",
  });
  await hello.client.close();
  const health = await ask(client, "health");
  expect(health.defaultAgentId).toBe("work");
  expect(
    health.agents.map(({ agentId, isDefault }: Record<string, unknown>) => [agentId, isDefault]),
  ).toEqual([
    ["main", false],
    ["work", true],
  ]);
  expect((await say(client, "hello")).payload.sessionKey).toBe("agent:work:main");
  expect(await refusal("agents.delete", { agentId: "work" })).toEqual(
    refused('"work" cannot be deleted: it is the default agent; set default on another one first'),
  );
});

test("a deleted agent leaves the configuration with its bindings; its files go only when that is asked for", async () => {
  const bindings = [
    { agentId: "Temp", match: { channel: "telegram" } },
    { agentId: "main", match: { channel: "matrix" } },
  ];
  await ask(client, "agents.create", { name: "temp", workspace: file("workspace-temp") });
  await ask(client, "agents.create", { name: "kept", workspace: file("workspace-kept") });
  await ask(client, "config.edit", { values: [{ path: "bindings", value: bindings }] });
  await say(client, "hello", { sessionKey: "agent:temp:main" });

  expect(await ask(client, "agents.delete", { agentId: "kept" })).toEqual({
    ok: true,
    agentId: "kept",
    removedBindings: 0,
  });
  expect(await isThere(file("workspace-kept/IDENTITY.md"))).toBe(true);

  expect(await ask(client, "agents.delete", { agentId: "temp", deleteFiles: true })).toEqual({
    ok: true,
    agentId: "temp",
    removedBindings: 1,
  });
  expect(await isThere(file("workspace-temp"))).toBe(false);
  expect((await readdir(file("trash"))).map((name) => name.replace(/-\d+$/, ""))).toEqual(["workspace-temp"]);
  expect(await config()).toMatchObject({ agents: { list: [{ id: "main" }] }, bindings: [bindings[1]] });
  expect((await ask(client, "sessions.list")).sessions).toEqual([]);
  expect(
    await refusal("chat.send", {
      sessionKey: "agent:temp:main",
      message: "still there?",
      idempotencyKey: "x",
    }),
  ).toMatchObject({ message: expect.stringContaining('unknown agent id "temp"') });
  expect(await isThere(file("workspace-temp"))).toBe(false);
});

test("an answer under way is given although an agent is made meanwhile", async () => {
  await ask(client, "chat.send", { sessionKey: "main", message: "slowly", idempotencyKey: "run-1" });
  await client.find(({ event, payload }) => event === "chat" && payload.state === "delta");
  await ask(client, "agents.create", { name: "meanwhile" });
  const { payload } = await client.find(
    ({ event, payload }) => event === "chat" && payload.runId === "run-1" && payload.state !== "delta",
  );
  expect(payload.state).toBe("final");
  expect(payload.message.content[0].text).toBe("One word after the other, and none too soon.");
  const { messages } = await ask(client, "chat.history", { sessionKey: "main" });
  expect(messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant"]);
});

test("a workspace that somebody else needs stays, whatever is asked for", async () => {
  await ask(client, "agents.create", { name: "guest", workspace: file("workspace") });
  await writeFile(file("workspace/notes.txt"), "mine");
  await ask(client, "agents.delete", { agentId: "guest", deleteFiles: true });
  expect(await state.read("workspace/notes.txt")).toBe("mine");

  await mkdir(file("elsewhere"));
  await symlink(file("elsewhere"), file("workspace-link"));
  await ask(client, "agents.create", { name: "linked", workspace: file("workspace-link") });
  await ask(client, "agents.delete", { agentId: "linked", deleteFiles: true });
  expect(await readdir(file("elsewhere"))).toEqual(["IDENTITY.md"]);
});

test("what cannot be done says why, in the protocol's words", async () => {
  const workspace = file("workspace-x");
  expect(await refusal("agents.create", { name: "Main", workspace })).toEqual(refused('"main" is reserved'));
  expect(await refusal("agents.create", { name: "???", workspace })).toEqual(refused('"main" is reserved'));
  expect(await refusal("agents.create", { name: "x", workspace: file("credentials/x") })).toMatchObject({
    message: expect.stringContaining("belongs to the gateway"),
  });
  expect(await refusal("agents.create", { workspace })).toEqual(
    refused("invalid agents.create params: must have required property 'name'"),
  );
  expect(await refusal("agents.update", { agentId: "ghost", name: "x" })).toEqual(
    refused('agent "ghost" not found'),
  );
  expect(await refusal("agents.delete", { agentId: "ghost" })).toEqual(refused('agent "ghost" not found'));
  expect(await refusal("agents.delete", { agentId: "main" })).toEqual(refused('"main" cannot be deleted'));
  expect(await refusal("agents.files.list", { agentId: "ghost" })).toEqual(refused("unknown agent id"));
  expect(await refusal("agents.files.get", { agentId: "ghost", name: "SOUL.md" })).toEqual(
    refused("unknown agent id"),
  );
  expect(await refusal("agents.files.get", { agentId: "main", name: "../config.json" })).toEqual(
    refused('unsupported file "../config.json"'),
  );
  expect(await refusal("agents.files.set", { agentId: "main", name: "notes.md", content: "" })).toEqual(
    refused('unsupported file "notes.md"'),
  );
  const identity = "invalid agent.identity.get params: ";
  expect(await refusal("agent.identity.get", { sessionKey: "agent:main" })).toEqual(
    refused(`${identity}malformed session key "agent:main"`),
  );
  expect(await refusal("agent.identity.get", { agentId: "work", sessionKey: "agent:main:main" })).toEqual(
    refused(`${identity}agent "work" does not match session key agent "main"`),
  );
  expect(await ask(client, "agent.identity.get", { agentId: "ghost" })).toEqual({
    agentId: "ghost",
    name: "Assistant",
    avatar: "A",
  });
  expect((await readdir(state.dir)).filter((name) => name.startsWith("workspace"))).toEqual(["workspace"]);
});

test("whoever may only read changes no agent and no file", async () => {
  const reader = await product.connect({ scopes: ["operator.read"] });
  expect(await ask(reader, "agents.list")).toMatchObject({ defaultId: "main" });
  for (const [method, params] of [
    ["agents.create", { name: "x" }],
    ["agents.update", { agentId: "main", name: "x" }],
    ["agents.delete", { agentId: "main" }],
    ["agents.files.set", { agentId: "main", name: "SOUL.md", content: "x" }],
  ] as const)
    expect(await refusal(method, params, reader)).toEqual(refused("missing scope: operator.admin"));
});

test("a file of the workspace is written whole and read back, and clients of protocol 4 can see who was faster", async () => {
  const content = "# Soul\n\nCalm. ✓\n";
  const set = await ask(client, "agents.files.set", { agentId: "main", name: "SOUL.md", content });
  const saved = file("workspace/SOUL.md");
  const { mtimeMs, size } = await stat(saved);
  const expected = {
    name: "SOUL.md",
    path: saved,
    missing: false,
    size,
    updatedAtMs: Math.floor(mtimeMs),
    content,
  };
  expect(set).toEqual({ ok: true, agentId: "main", workspace: file("workspace"), file: expected });
  expect((await ask(client, "agents.files.get", { agentId: "main", name: "SOUL.md" })).file).toEqual(
    expected,
  );
  expect(await readFile(saved, "utf8")).toBe(content);

  const four = await product.connect({ maxProtocol: 4 });
  const hash = createHash("sha256").update(content).digest("hex");
  expect((await ask(four, "agents.files.get", { agentId: "main", name: "SOUL.md" })).file).toEqual({
    ...expected,
    hash,
  });
  const first = { agentId: "main", name: "SOUL.md", content: "first", expectedHash: hash };
  await ask(four, "agents.files.set", first);
  expect(await refusal("agents.files.set", { ...first, content: "second" }, four)).toEqual({
    ...refused('agent file "SOUL.md" changed since it was read'),
    details: {
      type: "agent_file_conflict",
      name: "SOUL.md",
      currentHash: createHash("sha256").update("first").digest("hex"),
    },
  });
  expect((await ask(four, "agents.list")).agents).toEqual([
    { id: "main", workspace: file("workspace"), model: { primary: "openai/m" } },
  ]);
});

test("what the Control UI of 2026.9 writes of an agent counts, is changed where it stands, and goes with it", async () => {
  const four = await product.connect({ maxProtocol: 4 });
  const { parsed, hash } = await ask(four, "config.get", {});
  const entries = { main: { model: "openai/other" }, cook: { name: "Cook" } };
  const raw = JSON.stringify({ ...parsed, agents: { ...parsed.agents, entries } });
  await ask(four, "config.set", { raw, baseHash: hash });
  const rows = async (): Promise<unknown> =>
    (await ask(four, "agents.list")).agents.map((row: Record<string, unknown>) => [
      row["id"],
      row["name"],
      row["model"],
    ]);
  expect(await rows()).toEqual([
    ["main", undefined, { primary: "openai/other" }],
    ["cook", "Cook", { primary: "openai/m" }],
  ]);
  await say(four, "hello");
  expect(mock.getLastRequest()?.body).toMatchObject({ model: "other" });

  expect(await refusal("agents.create", { name: "cook", workspace: file("workspace-x") }, four)).toEqual(
    refused('agent "cook" already exists'),
  );
  await ask(four, "agents.create", { name: "Guest", workspace: file("workspace-guest") });
  await ask(four, "agents.update", { agentId: "main", name: "Clawdia", model: "openai/m" });
  await ask(four, "agents.delete", { agentId: "cook", deleteFiles: false });
  expect(await rows()).toEqual([
    ["main", "Clawdia", { primary: "openai/m" }],
    ["guest", "Guest", { primary: "openai/m" }],
  ]);
  expect((await config()).agents).toMatchObject({
    list: [{ id: "main" }, { id: "guest", name: "Guest" }],
    entries: { main: { model: "openai/m", name: "Clawdia" } },
  });
});

test("memory.md is shown where there is no MEMORY.md", async () => {
  await ask(client, "agents.files.set", { agentId: "main", name: "memory.md", content: "tea" });
  const { files } = await ask(client, "agents.files.list", { agentId: "main" });
  expect(files.at(-1)).toMatchObject({ name: "memory.md", missing: false, size: 3 });
});

test("a link in the workspace shows and changes nothing outside it", async () => {
  await ask(client, "agents.files.list", { agentId: "main" });
  await writeFile(file("outside.md"), "secret");
  await symlink(file("outside.md"), file("workspace/AGENTS.md"));
  await link(file("outside.md"), file("workspace/USER.md"));
  const { files } = await ask(client, "agents.files.list", { agentId: "main" });
  expect(files.filter(({ missing }: { missing: boolean }) => !missing)).toEqual([]);
  for (const name of ["AGENTS.md", "USER.md"]) {
    const message = expect.stringContaining(`unsafe workspace file "${name}" (`);
    expect(await refusal("agents.files.get", { agentId: "main", name })).toMatchObject({ message });
    expect(await refusal("agents.files.set", { agentId: "main", name, content: "x" })).toMatchObject({
      message,
    });
  }
  expect(await state.read("outside.md")).toBe("secret");
});
