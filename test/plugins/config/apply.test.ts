import { expect, test } from "vitest";
import { hashOf } from "../../../plugins/services/config/load.ts";
import { redacted } from "../../../plugins/services/config/secrets.ts";
import { token } from "./config-home.ts";
import { configured, file } from "./methods-on.ts";

interface Applied {
  readonly hash: string;
  readonly sentinel: { readonly payload: { readonly ts: number; readonly stats: object } };
}

test("config.apply replaces the whole file, puts the hidden values back, and claims no restart", async () => {
  const { get, call, home } = await configured();
  const { raw, hash } = await get();
  const edited = raw.replace('"Molty"', '"Moltina"');
  const params = { raw: edited, baseHash: hash, sessionKey: "agent:main:main", note: "from a test" };
  const result = (await call("config.apply", params)) as Applied;
  expect(Object.keys(result)).toEqual(["ok", "path", "hash", "config", "restart", "sentinel"]);
  expect(result).toEqual({
    ok: true,
    path: home.paths.configFile,
    hash: hashOf(await home.read()),
    config: expect.objectContaining({
      agents: { list: [{ id: "main", name: "Moltina" }, { id: "work" }] },
    }) as object,
    restart: null,
    sentinel: {
      path: null,
      persisted: false,
      payload: {
        kind: "config-apply",
        status: "ok",
        ts: expect.any(Number) as number,
        sessionKey: "agent:main:main",
        message: "from a test",
        stats: { mode: "config.apply", root: home.paths.configFile, requiresRestart: false },
      },
    },
  });
  expect(await home.read()).toBe(file.replace('"Molty"', '"Moltina"'));
});

test("what only takes effect with the next start is said so", async () => {
  const { get, call } = await configured();
  const patched = await call("config.patch", {
    raw: "{ gateway: { port: 5 } }",
    baseHash: (await get()).hash,
  });
  expect(patched).toMatchObject({
    changedPaths: ["gateway.port"],
    restart: null,
    sentinel: { payload: { kind: "config-patch", message: null, stats: { requiresRestart: true } } },
  });
  const { raw, hash } = await get();
  const applied = (await call("config.apply", { raw, baseHash: hash })) as Applied;
  expect(applied.sentinel.payload.stats).toMatchObject({ requiresRestart: false });
});

test("config.apply is refused in the same words as config.set", async () => {
  const { get, refusal, home } = await configured();
  expect((await refusal("config.apply", { raw: "{}" })).message).toBe(
    "config base hash required; re-run config.get and retry",
  );
  const { hash } = await get();
  expect(await refusal("config.apply", { raw: '{"gateway":{"port":"abc"}}', baseHash: hash })).toMatchObject({
    message: "invalid config",
    details: { issues: [{ path: "gateway.port" }] },
  });
  expect(await refusal("config.apply", { raw: "{}", baseHash: hash }, "operator.write")).toMatchObject({
    message: "missing scope: operator.admin",
  });
  expect(await home.read()).toBe(file);
});

test("a client may apply three times a minute, whatever comes of it", async () => {
  const { refusal, call, get } = await configured();
  const { raw, hash } = await get();
  await refusal("config.apply", { raw: "{}", baseHash: "bad" });
  await refusal("config.apply", { raw: "{bad", baseHash: hash });
  await call("config.apply", { raw, baseHash: hash });
  const refused = await refusal("config.apply", { raw, baseHash: hash });
  expect(refused).toEqual({
    code: "UNAVAILABLE",
    message: expect.stringMatching(/^rate limit exceeded for config\.apply; retry after (60|59)s$/) as string,
    retryable: true,
    retryAfterMs: expect.any(Number) as number,
    details: { method: "config.apply", limit: "3 per 60s" },
  });
  await call("config.apply", { raw, baseHash: hash }, "operator.admin", "another connection");
  await call("config.set", { raw, baseHash: hash });
});

test("with the hash of an answer a client goes on without asking again", async () => {
  const { get, call, home } = await configured();
  const first = (await call("config.set", {
    raw: (await get()).raw.replace("19000", "1"),
    baseHash: (await get()).hash,
  })) as Applied;
  await call("config.set", { raw: (await get()).raw.replace("port: 1", "port: 2"), baseHash: first.hash });
  expect(await home.read()).toBe(file.replace("19000", "2"));
});

const tricky = `{
  gateway: { auth: { token: "${token}" } },
  models: {
    providers: {
      mock: {
        apiKey: "x",
        headers: { "X-Key": "text" },
        baseUrl: "https://\${HOST}/v1",
        token: "\${MOCK_TOKEN}",
        models: [{ id: "b", apiKey: "2", input: ["text"] }, { id: "a", apiKey: "1", maxTokens: 2000 }],
      },
    },
  },
}
`;

test("the shown text sent back changes nothing, with short secrets, lists of objects and the environment", async () => {
  const { get, call, home, reload } = await configured(tricky);
  Object.assign(home.env, { HOST: "models.example", MOCK_TOKEN: "c4n4ry" });
  await reload();
  const { raw, hash } = await get();
  expect(raw).toBe(
    tricky
      .replace(token, redacted)
      .replaceAll(/(apiKey|Key"): "(x|text|1|2)"/g, (_whole, name: string) => `${name}: "${redacted}"`),
  );
  await call("config.set", { raw, baseHash: hash });
  await call("config.apply", { raw, baseHash: hash });
  expect(await home.read()).toBe(tricky);
});

test("a form that sends values back keeps references to the environment, and every secret with its element", async () => {
  const { get, call, home, reload } = await configured(tricky);
  Object.assign(home.env, { HOST: "models.example", MOCK_TOKEN: "c4n4ry" });
  await reload();
  const { resolved, hash } = await get();
  expect(JSON.stringify(resolved)).toContain("https://models.example/v1");
  expect(JSON.stringify(resolved)).not.toContain("c4n4ry");
  const { models } = resolved as { models: { providers: { mock: { models: unknown[] } } } };
  models.providers.mock.models.reverse();
  await call("config.apply", { raw: JSON.stringify(resolved), baseHash: hash });
  const { mock } = (JSON.parse(await home.read()) as { models: { providers: { mock: object } } }).models
    .providers;
  expect(mock).toEqual({
    apiKey: "x",
    headers: { "X-Key": "text" },
    baseUrl: "https://${HOST}/v1",
    token: "${MOCK_TOKEN}",
    models: [
      { id: "a", apiKey: "1", maxTokens: 2000 },
      { id: "b", apiKey: "2", input: ["text"] },
    ],
  });
  const now = await get();
  const elsewhere = JSON.stringify(now.resolved).replace("models.example", "elsewhere.example");
  await call("config.apply", { raw: elsewhere, baseHash: now.hash });
  expect(await home.read()).toContain('"https://elsewhere.example/v1"');
});

test("what a form sends changes only what was changed there: comments stay, defaults are not written down", async () => {
  const { get, call, home } = await configured();
  const { config, hash } = await get();
  const changed = {
    ...config,
    gateway: { ...config.gateway, port: 19002, bind: "lan" },
    logging: { level: "debug" },
  };
  await call("config.apply", { raw: `${JSON.stringify(changed, null, 2)}\n`, baseHash: hash });
  expect(await home.read()).toBe(
    file
      .replace("port: 19000, ", "port: 19002, ")
      .replace(` } }, // the gateway`, ` }, bind: "lan" }, // the gateway`)
      .replace("\n}\n", '\n  logging: {\n    level: "debug",\n  },\n}\n'),
  );
});

test("a key that a form leaves out goes, and what a file includes stays where it is", async () => {
  const { get, call, home, reload } = await configured(
    `{ $include: "more.json5", ${file.slice(file.indexOf("{") + 1)}`,
  );
  await home.write("{ logging: { level: 'warn' } }", "more.json5");
  await reload();
  const { config, hash } = await get();
  const { channels: _channels, ...rest } = config as Record<string, unknown>;
  await call("config.set", { raw: JSON.stringify(rest, null, 2), baseHash: hash });
  const text = await home.read();
  expect(text).toContain('$include: "more.json5"');
  expect(text).not.toMatch(/telegram|logging/);
  expect((await home.load()).config.logging.level).toBe("warn");
});
