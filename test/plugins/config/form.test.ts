import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { configPathOf } from "../../../kernel/plugins/catalog.ts";
import { parseManifest } from "../../../kernel/plugins/discover.ts";
import { configForm } from "../../../plugins/services/config/form.ts";
import { lookUp } from "../../../plugins/services/config/lookup.ts";
import { telegram } from "./config-home.ts";
import { configured } from "./methods-on.ts";

const manifests = path.resolve(import.meta.dirname, "../../../manifests");
const builtIn: PluginConfigSchema[] = readdirSync(manifests, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".json5"))
  .map((file) => parseManifest(readFileSync(path.join(manifests, file), "utf8"), file))
  .map((manifest) => ({
    owner: manifest.id,
    path: configPathOf(manifest),
    schema: manifest.configSchema ?? {},
  }));

interface Node {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: boolean | Node;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

const annotations =
  "$schema title description default writeOnly examples type enum required uniqueItems pattern format".split(
    " ",
  );
const limits =
  "minimum maximum minLength maxLength minItems maxItems multipleOf properties items additionalProperties anyOf";
const drawable = new Set([...annotations, ...limits.split(" ")]);

/** Every place that OpenClaw's Control UI draws as "use Raw mode". A model or an object of models it draws since 2026.9. */
function* undrawable(node: Node, at: string): Generator<string> {
  for (const key of Object.keys(node)) if (!drawable.has(key)) yield `${at} has ${key}`;
  if (node.anyOf) {
    for (const branch of node.anyOf) yield* undrawable(branch, at);
    return;
  }
  if (node.type === undefined) yield `${at} has no type`;
  if (node.additionalProperties === true) yield `${at} allows anything`;
  if (node.type === "array" && !node.items) yield `${at} has no items`;
  for (const [key, inner] of Object.entries(node.properties ?? {})) yield* undrawable(inner, `${at}.${key}`);
  const others = node.additionalProperties;
  if (typeof others === "object" && Object.keys(others).length > 0) yield* undrawable(others, `${at}.*`);
  if (node.items) yield* undrawable(node.items, `${at}[]`);
}

test("OpenClaw's Control UI can draw the configuration of everything that ships", () => {
  expect([...undrawable(configForm(builtIn).schema, "")]).toEqual([]);
});

test("the form says what the checks say: what loads fits it, and a wrong value does not", async () => {
  const { home } = await configured();
  const check = new Ajv({ strict: false }).compile(configForm(builtIn).schema);
  const { config } = await home.load();
  expect([check(config), check.errors]).toEqual([true, null]);
  expect(check({})).toBe(true);
  for (const wrong of [
    { gateway: { port: "abc" } },
    { session: { dmScope: "everybody" } },
    { channels: { telegram: { allowFrom: "me" } } },
    { models: { providers: { openai: { baseUrl: 5 } } } },
    { plugins: { entries: { weather: { enabled: "yes" } } } },
  ])
    expect(check(wrong), JSON.stringify(wrong)).toBe(false);
});

test("a place's hint has its words from the schema, and every hidden value is marked", () => {
  const { uiHints } = configForm([telegram]);
  expect(uiHints["gateway"]).toEqual({ label: "Gateway", group: "Gateway", order: 10, advanced: false });
  expect(uiHints["session.dmScope"]).toEqual({
    label: "Dm scope",
    help: "Which direct messages share a conversation.",
    advanced: false,
  });
  expect(Object.keys(uiHints).filter((key) => uiHints[key]?.sensitive)).toEqual([
    "gateway.auth.token",
    "gateway.auth.password",
    "gateway.remote.token",
    "gateway.remote.password",
    "channels.telegram.botToken",
    "channels.telegram.accounts.*.botToken",
    "channels.telegram.accounts.*.phrase",
  ]);
});

test("config.schema answers with schema, hints, version and time", async () => {
  const { call, refusal } = await configured();
  const answer = (await call("config.schema", {})) as { schema: { properties: object }; generatedAt: string };
  expect(Object.keys(answer)).toEqual(["schema", "uiHints", "version", "generatedAt"]);
  expect(answer).toMatchObject({
    version: "1.2.3",
    schema: {
      $schema: "http://json-schema.org/draft-07/schema#",
      type: "object",
      properties: { channels: { properties: { telegram: { required: ["botToken"] } } } },
    },
  });
  expect(new Date(answer.generatedAt).toISOString()).toBe(answer.generatedAt);
  expect((await refusal("config.schema", { x: 1 })).message).toBe(
    "invalid config.schema params: at root: unexpected property 'x'",
  );
  expect((await refusal("config.schema", {}, "operator.read")).message).toBe("missing scope: operator.admin");
});

test("one place can be looked up with what stands below it", async () => {
  const { call, refusal } = await configured();
  expect(await call("config.schema.lookup", { path: "session.identityLinks" }, "operator.read")).toEqual({
    path: "session.identityLinks",
    schema: {
      type: "object",
      description: "People and their addresses on several channels.",
      default: {},
      additionalProperties: { type: "array", items: { type: "string" } },
    },
    reloadKind: "hot",
    hint: {
      label: "Identity links",
      help: "People and their addresses on several channels.",
      advanced: false,
    },
    hintPath: "session.identityLinks",
    children: [
      {
        key: "*",
        path: "session.identityLinks.*",
        type: "array",
        required: false,
        hasChildren: true,
        reloadKind: "hot",
        hint: { advanced: false },
        hintPath: "session.identityLinks.*",
      },
    ],
  });
  expect(await refusal("config.schema.lookup", { path: "gateway.nothing" })).toEqual({
    code: "INVALID_REQUEST",
    message: "config schema path not found",
  });
  expect((await refusal("config.schema.lookup", { path: "a b" })).message).toMatch(
    /^invalid config\.schema\.lookup params: /,
  );
});

test.each([
  ["agents.list[0].id", "agents.list.0.id"],
  ["agents.list[].id", "agents.list.*.id"],
  [".gateway..port.", "gateway.port"],
  ["channels.telegram.accounts.work.botToken", "channels.telegram.accounts.work.botToken"],
])("%s is found as %s", (asked, path) => {
  expect(lookUp(configForm(builtIn), asked)).toMatchObject({
    path,
    schema: { type: expect.any(String) as string },
  });
});

test.each([["..."], ["__proto__"], ["gateway.constructor"], ["gateway.port.x"], ["a.".repeat(40)]])(
  "%s leads nowhere",
  (path) => {
    expect(lookUp(configForm(builtIn), path)).toBeUndefined();
  },
);

test("a point is the root, and a name that fits a pattern gets the pattern's hint", () => {
  const root = lookUp(configForm([telegram]), ".");
  expect(root?.children).toContainEqual(
    expect.objectContaining({ key: "gateway", path: "gateway", hasChildren: true, hintPath: "gateway" }),
  );
  expect(lookUp(configForm([telegram]), "channels.telegram.accounts.work.phrase")).toMatchObject({
    hint: { sensitive: true },
    hintPath: "channels.telegram.accounts.*.phrase",
  });
});

test("the file is opened nowhere, and the client is told where it is", async () => {
  const { call, home } = await configured();
  expect(await call("config.openFile", {})).toEqual({
    ok: false,
    path: home.paths.configFile,
    error: expect.stringContaining(home.paths.configFile) as string,
  });
});
