import { beforeAll, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { ask, say, token } from "../support/product.ts";
import { type Client, connectClient } from "../support/ws-client.ts";

const refused = (message: string): object => ({ code: "INVALID_REQUEST", message });

const product = freshForAll({
  model: "openai-completions",
  files: { "workspace-cook/skills/tea/SKILL.md": "---\nname: tea\ndescription: Makes\n  tea.\n---\n" },
  config: {
    models: {
      providers: { openai: { models: [{ id: "m" }, { id: "big" }, { id: "deep", reasoning: true }] } },
    },
    agents: {
      defaults: { model: "openai/m", models: { "openai/m": { alias: "quick" } } },
      list: [
        { id: "main" },
        { id: "cook" },
        { id: "guest", tools: { profile: "minimal", alsoAllow: ["read", "write"], deny: ["write"] } },
      ],
    },
    tools: { deny: ["exec"] },
  },
});
let client: Client;
beforeAll(async () => {
  product.model.mock.onMessage(/./, { content: "Understood." });
  client = await product.connect({ maxProtocol: 3 });
});

interface Group {
  readonly id: string;
  readonly tools: readonly { readonly id: string; readonly description: string }[];
}
const idsOf = (groups: readonly Group[]): unknown[] =>
  groups.map(({ id, tools }) => [id, tools.map((tool) => tool.id)]);

test("the catalog has the tools that are there, in OpenClaw's sections and by plugin", async () => {
  const { agentId, profiles, groups } = await ask(client, "tools.catalog");
  expect(agentId).toBe("main");
  expect(profiles).toEqual([
    { id: "minimal", label: "Minimal" },
    { id: "coding", label: "Coding" },
    { id: "messaging", label: "Messaging" },
    { id: "full", label: "Full" },
  ]);
  expect(groups[0]).toMatchObject({ id: "fs", label: "Files", source: "core" });
  expect(groups[0].tools[0]).toEqual({
    id: "read",
    label: "read",
    description: expect.stringMatching(/\w/),
    source: "core",
    defaultProfiles: ["coding"],
  });
  expect(idsOf(groups)).toContainEqual(["fs", ["read", "write", "edit"]]);
  expect(groups.find(({ id }: Group) => id === "plugin:weather")).toMatchObject({
    source: "plugin",
    pluginId: "weather",
    tools: [{ id: "weather", source: "plugin", pluginId: "weather", defaultProfiles: [] }],
  });
  const { groups: core } = await ask(client, "tools.catalog", { agentId: "cook", includePlugins: false });
  expect(core.every(({ id }: Group) => !id.startsWith("plugin:"))).toBe(true);
  expect((await client.request("tools.catalog", { agentId: "Ghost" })).error).toEqual(
    refused('unknown agent id "Ghost"'),
  );
});

test("what is denied stands in the catalog, and not among what a session has", async () => {
  await say(client, "hello", { sessionKey: "agent:cook:main" });
  const all = (await ask(client, "tools.catalog")).groups.flatMap(({ tools }: Group) =>
    tools.map(({ id }) => id),
  );
  expect(all).toContain("exec");
  const { agentId, profile, groups } = await ask(client, "tools.effective", {
    sessionKey: "agent:cook:main",
  });
  expect([agentId, profile]).toEqual(["cook", "full"]);
  expect(groups.map(({ id, label, source }: Record<string, string>) => [id, label, source])).toEqual([
    ["core", "Built-in tools", "core"],
    ["plugin", "Connected tools", "plugin"],
  ]);
  const mine = groups.flatMap(({ tools }: Group) => tools.map(({ id }) => id));
  expect(mine).toContain("read");
  expect(mine).not.toContain("exec");
  const refusal = async (params: object): Promise<unknown> =>
    (await client.request("tools.effective", params)).error;
  expect(await refusal({ sessionKey: "agent:cook:nothing" })).toEqual(
    refused('unknown session key "agent:cook:nothing"'),
  );
  expect(await refusal({ sessionKey: "agent:cook:main", agentId: "main" })).toEqual(
    refused('agent id "main" does not match session agent "cook"'),
  );
});

test("an agent may be left fewer tools than the others have", async () => {
  const sessionKey = "agent:guest:main";
  await say(client, "hello", { sessionKey });
  const { groups, profile } = await ask(client, "tools.effective", { sessionKey });
  expect(profile).toBe("minimal");
  expect(idsOf(groups)).toEqual([["core", ["read"]]]);
  const asked = product.model.mock.getRequests().at(-1)?.body as { tools: { function?: { name: string } }[] };
  expect(asked.tools.map((tool) => tool.function?.name)).toEqual(["read"]);
});

test("the skills of an agent's own workspace are named to its model, and to no other", async () => {
  await say(client, "one", { sessionKey: "agent:cook:main" });
  expect(JSON.stringify(product.model.mock.getRequests().at(-1)?.body)).toContain(
    "- tea: Makes tea. (skills/tea/SKILL.md)",
  );
  await say(client, "two");
  expect(JSON.stringify(product.model.mock.getRequests().at(-1)?.body)).not.toContain("skills/tea");
});

test("commands that can be typed are listed with what they take", async () => {
  const { commands } = await ask(client, "commands.list", { scope: "text", includeArgs: true });
  expect(commands).toContainEqual({
    name: "think",
    textAliases: ["/think", "/thinking", "/t"],
    description: expect.stringContaining("how long"),
    category: "options",
    source: "native",
    scope: "text",
    acceptsArgs: true,
    args: [{ name: "level", description: expect.any(String), type: "string", required: false }],
  });
  for (const { textAliases } of commands) {
    if (textAliases[0] === "/stop") continue;
    const { payload } = await say(client, textAliases[0], { sessionKey: "agent:main:commands" });
    expect(payload.state, textAliases[0]).toBe("final");
    expect(payload.message.content[0].text, textAliases[0]).not.toBe("Understood.");
  }
  expect((await ask(client, "commands.list", { scope: "native" })).commands).toEqual([]);
});

test("models are listed as each protocol wants them", async () => {
  const [quick] = (await ask(client, "models.list")).models.filter(({ id }: { id: string }) => id === "m");
  expect(quick).toMatchObject({ id: "m", provider: "openai" });
  expect(quick).not.toHaveProperty("alias");
  const four = await product.connect({ maxProtocol: 4 });
  const { models } = await ask(four, "models.list", {
    view: "configured",
    agentId: "cook",
    preparedOnly: true,
  });
  expect(models.map(({ id, alias }: Record<string, string>) => [id, alias])).toEqual([["m", "quick"]]);
});

test("a client of protocol 4 sees how a model may think, who answers first, and which provider is ready", async () => {
  const { client: four, answer } = await connectClient(product.url, {
    token,
    minProtocol: 4,
    maxProtocol: 4,
  });
  expect(answer.payload.features.capabilities).toEqual(["published-model-catalog"]);
  const { models } = await ask(four, "models.list", { view: "all", includeDetails: true });
  const shown = (wanted: string): object => models.find(({ id }: { id: string }) => id === wanted);
  expect(shown("m")).toMatchObject({ available: true, tags: ["default", "configured"] });
  expect(shown("m")).not.toHaveProperty("thinkingLevels");
  expect(shown("deep")).toMatchObject({
    available: true,
    tags: [],
    thinkingDefault: "off",
    thinkingLevels: ["off", "minimal", "low", "medium", "high", "xhigh"].map((id) => ({ id, label: id })),
  });
  expect(models.find(({ provider }: { provider: string }) => provider === "anthropic")).toMatchObject({
    available: false,
  });
  const three = await connectClient(product.url, { token, maxProtocol: 3 });
  expect(three.answer.payload.features).not.toHaveProperty("capabilities");
});
