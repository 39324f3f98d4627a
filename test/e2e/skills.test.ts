import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import json5 from "json5";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ask, type Product, startProduct, type TempState, tempState } from "../support/product.ts";
import { type Client, createDevice } from "../support/ws-client.ts";

let state: TempState;
let product: Product;
let client: Client;

const file = (...parts: string[]): string => path.join(state.dir, ...parts);
const refused = (message: string): object => ({ code: "INVALID_REQUEST", message });

async function skill(folder: string, text: string): Promise<void> {
  await mkdir(file(folder), { recursive: true });
  await writeFile(file(folder, "SKILL.md"), text);
}

async function start(env: NodeJS.ProcessEnv = {}): Promise<void> {
  product = await startProduct({
    stateDir: state.dir,
    env: { PATH: `${file("bin")}:/usr/bin:/bin`, ...env },
  });
  client = await product.connect({ maxProtocol: 3 });
}

const status = async (): Promise<Record<string, unknown>[]> => (await ask(client, "skills.status")).skills;

beforeEach(async () => {
  state = await tempState();
  await mkdir(file("bin"));
  await writeFile(file("bin/brewer"), "#!/bin/sh\n");
  await chmod(file("bin/brewer"), 0o755);
  await start();
});
afterEach(async () => {
  await product[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

test("without skills there are none, and it is said where they would be", async () => {
  expect(await ask(client, "skills.status")).toEqual({
    workspaceDir: file("workspace"),
    managedSkillsDir: file("skills"),
    skills: [],
  });
});

test("a skill says what it needs, and what of that is missing", async () => {
  await skill(
    "workspace/skills/tea",
    `---
name: tea
description: "Makes tea: green, black. Use it at five."
homepage: https://example.org/tea
metadata:
  {
    "openclaw":
      {
        "emoji": "🍵",
        "primaryEnv": "TEA_KEY",
        "os": ["linux", "darwin", "win32"],
        "requires": { "bins": ["brewer", "kettle-of-nobody"], "env": ["TEA_KEY"], "config": ["tea.enabled"] },
        "install": [{ "id": "brew", "kind": "brew", "formula": "kettle", "bins": ["kettle-of-nobody"], "label": "Install kettle (brew)" }],
      },
  }
---
Boil water.
`,
  );
  expect(await status()).toEqual([
    {
      name: "tea",
      description: "Makes tea: green, black. Use it at five.",
      source: "openclaw-workspace",
      bundled: false,
      filePath: file("workspace/skills/tea/SKILL.md"),
      baseDir: file("workspace/skills/tea"),
      skillKey: "tea",
      primaryEnv: "TEA_KEY",
      emoji: "🍵",
      homepage: "https://example.org/tea",
      always: false,
      disabled: false,
      blockedByAllowlist: false,
      eligible: false,
      requirements: {
        bins: ["brewer", "kettle-of-nobody"],
        anyBins: [],
        env: ["TEA_KEY"],
        config: ["tea.enabled"],
        os: ["linux", "darwin", "win32"],
      },
      missing: { bins: ["kettle-of-nobody"], anyBins: [], env: ["TEA_KEY"], config: ["tea.enabled"], os: [] },
      configChecks: [{ path: "tea.enabled", satisfied: false }],
      install: [{ id: "brew", kind: "brew", label: "Install kettle (brew)", bins: ["kettle-of-nobody"] }],
    },
  ]);
});

test("a skill of the workspace takes the place of one that is installed for every agent", async () => {
  await skill("skills/notes", "---\ndescription: For everybody\n---\n");
  await skill("skills/other", "---\ndescription: It says: what it likes\n---\n");
  await skill("workspace/skills/notes", "---\ndescription: Mine\n---\n");
  await skill("workspace/skills/silent", "---\nname: silent\n---\nNobody can tell what it is for.\n");
  const lines = await status();
  expect(lines.map(({ name, source, description }) => [name, source, description])).toEqual([
    ["notes", "openclaw-workspace", "Mine"],
    ["other", "openclaw-managed", "It says: what it likes"],
  ]);
  expect(lines.every(({ eligible }) => eligible)).toBe(true);
});

test("no file from elsewhere becomes a skill through a link", async () => {
  await skill("elsewhere/secret", "---\ndescription: not yours\n---\n");
  await mkdir(file("workspace/skills/linked"), { recursive: true });
  await symlink(file("elsewhere/secret"), file("workspace/skills/secret"));
  await symlink(file("elsewhere/secret/SKILL.md"), file("workspace/skills/linked/SKILL.md"));
  expect(await status()).toEqual([]);
});

test("settings of a skill are kept, its secrets are shown to nobody, and empty values take them away", async () => {
  await skill(
    "workspace/skills/tea",
    '---\ndescription: Tea\nmetadata: {"openclaw":{"primaryEnv":"TEA_KEY","requires":{"env":["TEA_KEY","TEA_PLACE"]}}}\n---\n',
  );
  const hidden = "__OPENCLAW_REDACTED__";
  const update = {
    skillKey: "tea",
    enabled: true,
    apiKey: " sk-tea-0123456789 \n",
    env: { TEA_PLACE: "garden-0123" },
  };
  expect(await ask(client, "skills.update", update)).toEqual({
    ok: true,
    skillKey: "tea",
    config: { enabled: true, apiKey: hidden, env: { TEA_PLACE: hidden } },
  });
  expect(await status()).toMatchObject([{ eligible: true, missing: { env: [] } }]);
  expect(JSON.stringify(await ask(client, "config.get"))).not.toContain("sk-tea-0123456789");

  await product.stop();
  await start();
  expect(json5.parse<{ skills: object }>(await state.read("config.json")).skills).toEqual({
    entries: { tea: { enabled: true, apiKey: "sk-tea-0123456789", env: { TEA_PLACE: "garden-0123" } } },
  });
  expect(await status()).toMatchObject([{ eligible: true }]);
  const off = { skillKey: "tea", enabled: false, apiKey: "", env: { TEA_PLACE: " " } };
  expect(await ask(client, "skills.update", off)).toMatchObject({ ok: true, config: { enabled: false } });
  expect(await status()).toMatchObject([
    { disabled: true, eligible: false, missing: { env: ["TEA_KEY", "TEA_PLACE"] } },
  ]);
  expect(product.stderr()).not.toContain("sk-tea-0123456789");
});

test("a variable of the gateway's own counts too", async () => {
  await skill(
    "skills/tea",
    '---\ndescription: Tea\nmetadata: {"openclaw":{"requires":{"env":["TEA_KEY"]}}}\n---\n',
  );
  await product.stop();
  await start({ TEA_KEY: "there" });
  expect(await status()).toMatchObject([{ eligible: true }]);
});

test("nothing is installed by the gateway, and the answer says what to do instead", async () => {
  await skill(
    "skills/tea",
    '---\ndescription: Tea\nmetadata: {"openclaw":{"install":[{"id":"go","kind":"go","module":"example.org/kettle@latest"}]}}\n---\n',
  );
  const failed = (message: string): object => ({
    ok: false,
    payload: { ok: false, message, stdout: "", stderr: "", code: null },
    error: { code: "UNAVAILABLE", message },
  });
  expect(await client.request("skills.install", { name: "ghost", installId: "brew" })).toMatchObject(
    failed("Skill not found: ghost"),
  );
  expect(await client.request("skills.install", { name: "tea", installId: "brew" })).toMatchObject(
    failed("Installer not found: brew"),
  );
  expect(await client.request("skills.install", { name: "tea", installId: "go" })).toMatchObject(
    failed("rclaw does not run installers. Run it yourself: go install example.org/kettle@latest"),
  );
  for (const [method, params] of [
    ["skills.search", { query: "tea" }],
    ["skills.detail", { slug: "tea" }],
    ["skills.update", { source: "clawhub", slug: "tea" }],
    ["skills.install", { source: "clawhub", slug: "tea" }],
  ] as const)
    expect((await client.request(method, params)).error).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("no skill registry"),
    });
  expect((await client.request("skills.search", { limit: 20 })).payload).toEqual({ results: [] });
});

test("what is asked wrongly is refused in the protocol's words", async () => {
  const error = async (method: string, params: object): Promise<unknown> =>
    (await client.request(method, params)).error;
  expect(await error("skills.status", { agentId: "Ghost" })).toEqual(refused('unknown agent id "Ghost"'));
  expect(await error("skills.update", {})).toEqual(
    refused("invalid skills.update params: must have required property 'skillKey'"),
  );
  expect(await error("skills.install", { name: "x" })).toEqual(
    refused("invalid skills.install params: must have required property 'installId'"),
  );
  expect(await error("skills.update", { skillKey: "a.b" })).toMatchObject({ code: "INVALID_REQUEST" });
  expect(await error("skills.update", { skillKey: "__proto__", enabled: true })).toMatchObject({
    code: "INVALID_REQUEST",
  });
  expect(await error("skills.bins", {})).toEqual(refused("unauthorized role: operator"));
  const reader = await product.connect({ scopes: ["operator.read"] });
  for (const method of ["skills.update", "skills.install"])
    expect((await reader.request(method, { skillKey: "tea" })).error).toEqual(
      refused("missing scope: operator.admin"),
    );
});

test("a node is told which programs skills may want from it", async () => {
  await skill(
    "skills/tea",
    '---\ndescription: Tea\nmetadata: {"openclaw":{"requires":{"bins":["pot"],"anyBins":["a","b"]},"install":[{"kind":"brew","formula":"x","bins":["kettle"]}]}}\n---\n',
  );
  const node = await product.connect({
    role: "node",
    scopes: [],
    device: createDevice(),
    client: { id: "node-host", version: "1", platform: "linux", mode: "node" },
  });
  expect(await ask(node, "skills.bins")).toEqual({ bins: ["a", "b", "kettle", "pot"] });
  expect((await node.request("skills.status", {})).error).toEqual(refused("unauthorized role: node"));
});
