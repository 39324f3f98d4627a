import { isRclawError } from "@rclaw/plugin-sdk";
import json5 from "json5";
import { expect, test } from "vitest";
import { redactConfig, restoreRedacted } from "../../../plugins/services/config/redact.ts";
import { redacted } from "../../../plugins/services/config/secrets.ts";
import { configHome, telegram, token } from "./config-home.ts";

const plain = (raw: string) => ({ raw, parsed: json5.parse<unknown>(raw) });
const shown = (raw: string): string | null =>
  redactConfig({ ...plain(raw), resolved: {}, config: {} as never, fromEnv: [] }, [telegram]).raw;

function issuesOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (isRclawError(error)) return error.details?.["issues"];
    throw error;
  }
  return undefined;
}

test("secrets go, comments and layout stay", () => {
  const raw = `// mine
{
  gateway: { auth: { token: 'abc', }, port: 1 }, // the gateway
  channels: { telegram: { botToken: "1:a", accounts: { work: { phrase: "open sesame", label: "x" } } } },
}
`;
  expect(shown(raw)).toBe(
    raw
      .replace("'abc'", `'${redacted}'`)
      .replace('"1:a"', `"${redacted}"`)
      .replace('"open sesame"', `"${redacted}"`),
  );
});

test("a secret of one letter does not damage the rest", () => {
  const raw =
    '{ models: { providers: { mock: { apiKey: "x", models: [{ input: ["text"], maxTokens: 2000, contextWindow: 128000 }] } } } }';
  expect(shown(raw)).toBe(raw.replace('"x"', `"${redacted}"`));
});

test.each([
  ["{ hooks: { token: 'c4n4ry' } }"],
  ["{ env: { OPENROUTER_API_KEY: 'c4n4ry', vars: { ANYTHING: 'c4n4ry' } } }"],
  ["{ talk: { 'api-key': 'c4n4ry' } }"],
  [
    "{ channels: { x: { signingSecret: 'c4n4ry', privateKey: 'c4n4ry', webhook_token: 'c4n4ry', appPassword: 'c4n4ry' } } }",
  ],
  ["{ models: { providers: { x: { headers: { 'X-Whatever': 'c4n4ry' } } } } }"],
  ["{ models: { providers: { x: { apiKeys: ['c4n4ry', 'c4n4ry'] } } } }"],
  ["{ channels: { x: { token: { value: 'c4n4ry' } } } }"],
  ["{ channels: { x: { proxy: 'socks5://me:c4n4ry@proxy:1080' } } }"],
  ["{ gateway: { auth: { token: 'secret:c4n4ry' } } }"],
  ["{ gateway: { auth: { token: 'c4n4ry', token: 'c4n4ry' } } }"],
  ["{ 'gateway': { auth: { \"\\u0074oken\": 'c4n4ry' } } }"],
  ["{ gateway: { auth: {\n // token: 'c4n4ry',\n token: 'new' } } }"],
  ["{ gateway: { auth: { token: 'c4n4ry' /* was c4n4ry before */ } } }"],
  ["// TELEGRAM_BOT_TOKEN=c4n4ry\n{}"],
])("SEC-143 no secret is left in %s", (raw) => {
  expect(shown(raw)).not.toContain("c4n4ry");
  expect(restoreRedacted(shown(raw) ?? "", plain(raw), [telegram])).toBe(raw);
});

test.each([
  ["{ gateway: { auth: { token: '${GATEWAY_TOKEN}' } } }"],
  ["{ channels: { telegram: { botToken: 'secret:telegram.main' } } }"],
  [
    "{ session: { mainKey: 'main' }, gateway: { tls: { keyPath: '/a/b' } }, x: { tokenFile: '/a', token: '', maxTokens: 5, secret: true } }",
  ],
])("what is no secret is shown: %s", (raw) => {
  expect(shown(raw)).toBe(raw);
});

test("a number as a password is a secret too, and comes back as a number", () => {
  const raw = "{ channels: { x: { password: 123456 } } }";
  expect(shown(raw)).toBe(`{ channels: { x: { password: "${redacted}" } } }`);
  expect(restoreRedacted(shown(raw) ?? "", plain(raw), [])).toBe(raw);
});

test("SEC-143 what came from the environment under a telling name is hidden where it was filled in", async () => {
  const home = await configHome(
    '{ gateway: { auth: { token: "${GATEWAY_TOKEN}" } }, agents: { note: "key ${SOME_API_KEY}", lang: "${LANGUAGE}" } }',
  );
  Object.assign(home.env, { GATEWAY_TOKEN: token, SOME_API_KEY: "c4n4ry", LANGUAGE: "de" });
  const loaded = await home.load();
  const result = redactConfig(loaded, []);
  expect(JSON.stringify(result)).not.toMatch(new RegExp(`c4n4ry|${token}`));
  expect(result.config).toMatchObject({ agents: { note: redacted, lang: "de" } });
  expect(result.raw).toBe(loaded.raw);
});

test("SEC-143 a text that nobody can read is not shown at all", async () => {
  const home = await configHome('{ gateway: { auth: { token: "c4n4ry" } ');
  expect(redactConfig(await home.load(), [])).toMatchObject({ raw: null, parsed: {}, resolved: {} });
});

test("a plugin's schema may mark secrets anywhere, also by reference", () => {
  const pin = { type: "string", writeOnly: true };
  const schema = {
    $defs: {
      pin,
      loop: { $ref: "#/$defs/loop" },
      one: { anyOf: [{ type: "null" }, { properties: { code: { $ref: "#/$defs/pin" } } }] },
    },
    properties: { list: { items: { oneOf: [{ $ref: "#/$defs/loop" }, { $ref: "#/$defs/one" }] } } },
  };
  const raw = "{ tools: { door: { list: [{ code: '0815', label: '0815' }] } } }";
  const loaded = { ...plain(raw), resolved: {}, config: {} as never, fromEnv: [] };
  expect(redactConfig(loaded, [{ owner: "door", path: "tools.door", schema }]).raw).toBe(
    raw.replace("code: '0815'", `code: '${redacted}'`),
  );
});

test("a sentinel takes the current value, in the quotes it has", () => {
  const current = plain(`{ gateway: { auth: { token: "it's \\"it\\"" } } }`);
  expect(restoreRedacted(`{gateway:{auth:{token:'${redacted}'}}}`, current, [])).toBe(
    `{gateway:{auth:{token:'it\\'s "it"'}}}`,
  );
});

test("a reference to the environment comes back as a reference", () => {
  const current = plain("{ gateway: { auth: { token: '${T}' } } }");
  expect(restoreRedacted(`{ gateway: { auth: { token: "${redacted}" } } }`, current, [])).toContain('"${T}"');
});

test("a sentinel where nothing is, or inside a text, is refused", () => {
  const current = plain("{ gateway: { auth: { token: 'abc' } } }");
  const raw = `{ a: "${redacted}", gateway: { auth: { token: "x${redacted}" } }, te${redacted}t: 1, list: ["${redacted}"] }`;
  expect(issuesOf(() => restoreRedacted(raw, current, []))).toEqual([
    { path: "a", message: expect.stringContaining("no value") as string },
    { path: "gateway.auth.token", message: expect.stringContaining("inside other text") as string },
    { path: `te${redacted}t`, message: expect.stringContaining("inside other text") as string },
    { path: "list.0", message: expect.stringContaining("no value") as string },
  ]);
});

test("in a list a secret stays with its own element, or is refused", () => {
  const current = plain(
    "{ list: [{ id: 'a', token: 'token-a' }, { id: 'b', token: 'token-b' }], plain: [{ token: '1' }, { token: '2' }] }",
  );
  const moved = restoreRedacted(`{ list: [{ id: 'b', token: '${redacted}' }] }`, current, []);
  expect(json5.parse(moved)).toEqual({ list: [{ id: "b", token: "token-b" }] });
  expect(
    json5.parse(
      restoreRedacted(`{ plain: [{ token: '${redacted}', x: 1 }, { token: '${redacted}' }] }`, current, []),
    ),
  ).toEqual({
    plain: [{ token: "1", x: 1 }, { token: "2" }],
  });
  expect(issuesOf(() => restoreRedacted(`{ plain: [{ token: '${redacted}' }] }`, current, []))).toHaveLength(
    1,
  );
  expect(
    issuesOf(() => restoreRedacted(`{ list: [{ id: 'c', token: '${redacted}' }] }`, current, [])),
  ).toHaveLength(1);
});

test("what is shown and sent back unchanged is the same file", () => {
  const raw = `// token: "old-one"
{
  gateway: { auth: { token: "abcdefgh", /* abcdefgh */ password: 'p' } }, // password = hunter2
  channels: { telegram: { botToken: "1:a" } },
}
`;
  expect(restoreRedacted(shown(raw) ?? "", plain(raw), [telegram])).toBe(raw);
});
