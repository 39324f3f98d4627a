import { readdir, rm, stat, symlink } from "node:fs/promises";
import * as fc from "fast-check";
import json5 from "json5";
import { expect, test } from "vitest";
import { hashOf } from "../../../plugins/services/config/load.ts";
import { mergePatch } from "../../../plugins/services/config/merge.ts";
import { redacted } from "../../../plugins/services/config/secrets.ts";
import { toProtocolError } from "../../../kernel/errors.ts";
import { configHome, token } from "./config-home.ts";
import { configured, file, methodsOn } from "./methods-on.ts";

test("config.get answers with all that OpenClaw's clients look at", async () => {
  const { get, home } = await configured();
  const payload = await get();
  expect(Object.keys(payload)).toEqual(
    "path exists raw parsed resolved valid config hash issues warnings legacyIssues".split(" "),
  );
  expect(payload).toMatchObject({
    path: home.paths.configFile,
    exists: true,
    valid: true,
    issues: [],
    legacyIssues: [],
    hash: hashOf(file),
  });
  expect(payload.raw).toBe(file.replace(token, redacted).replace("1:c4n4ry", redacted));
  expect(payload.config.gateway.auth).toMatchObject({ mode: "token", token: redacted });
});

test("the methods are guarded by scope and by their params", async () => {
  const { refusal, call } = await configured();
  await call("config.get", {}, "operator.read");
  expect(await refusal("config.set", { raw: "{}" }, "operator.write")).toMatchObject({
    message: "missing scope: operator.admin",
  });
  expect(await refusal("config.get", { x: 1 })).toEqual({
    code: "INVALID_REQUEST",
    message: "invalid config.get params: at root: unexpected property 'x'",
  });
  expect(await refusal("config.set", { raw: "" })).toMatchObject({ code: "INVALID_REQUEST" });
});

test("refusals have the protocol's own words", async () => {
  const { get, refusal, home } = await configured();
  const { hash } = await get();
  expect(await refusal("config.set", { raw: "{}" })).toEqual({
    code: "INVALID_REQUEST",
    message: "config base hash required; re-run config.get and retry",
  });
  expect(await refusal("config.set", { raw: "{}", baseHash: "bad" })).toEqual({
    code: "INVALID_REQUEST",
    message: "config changed since last load; re-run config.get and retry",
  });
  expect(await refusal("config.set", { raw: "{bad json", baseHash: hash })).toEqual({
    code: "INVALID_REQUEST",
    message: "SyntaxError: JSON5: invalid character 'j' at 1:6",
  });
  expect(await refusal("config.set", { raw: '{"gateway":{"port":"abc"}}', baseHash: hash })).toEqual({
    code: "INVALID_REQUEST",
    message: "invalid config",
    details: { issues: [{ path: "gateway.port", message: "must be integer; it is a string" }] },
  });
  expect(await refusal("config.set", { raw: "5", baseHash: hash })).toMatchObject({
    message: "invalid config",
    details: { issues: [{ path: "" }] },
  });
  expect(await refusal("config.patch", { raw: "[]", baseHash: hash })).toMatchObject({
    message: "config.patch raw must be an object",
  });
  expect(
    await refusal("config.patch", { raw: `{ a: '${"x".repeat(1 << 20)}' }`, baseHash: hash }),
  ).toMatchObject({ message: expect.stringContaining("larger than") as string });
  expect(await home.read()).toBe(file);
});

test("config.set stores exactly what the client wrote, with the hidden values put back", async () => {
  const { get, call, home } = await configured();
  const { raw, hash } = await get();
  const edited = raw.replace("19000", "19001").replace("// mine", "/* ours */");
  const result = await call("config.set", { raw: edited, baseHash: hash });
  expect(result).toMatchObject({
    ok: true,
    path: home.paths.configFile,
    config: { gateway: { port: 19001, auth: { token: redacted } } },
  });
  expect(Object.keys(result as object)).toEqual(["ok", "path", "hash", "config"]);
  expect(await home.read()).toBe(file.replace("19000", "19001").replace("// mine", "/* ours */"));
  expect((await get()).hash).toBe(hashOf(await home.read()));
});

test("what a client was shown it can send back, and nothing is written", async () => {
  const { get, call, home } = await configured();
  const { raw, hash } = await get();
  await call("config.set", { raw, baseHash: hash });
  expect(await home.read()).toBe(file);
  expect((await readdir(home.dir)).filter((name) => name.includes(".bak"))).toEqual([]);
});

test("the Control UI's way, the whole shown configuration as JSON, keeps every secret", async () => {
  const { get, call, home } = await configured();
  const { config, hash } = await get();
  await call("config.set", {
    raw: JSON.stringify({ ...config, gateway: { ...config.gateway, port: 19002 } }, null, 2),
    baseHash: hash,
  });
  const { config: loaded, issues } = await home.load();
  expect(issues).toEqual([]);
  expect(loaded.gateway).toMatchObject({ port: 19002, auth: { token } });
  expect(loaded.channels["telegram"]).toMatchObject({ botToken: "1:c4n4ry" });
});

test("config.patch merges, removes with null, merges lists by id, and keeps comments", async () => {
  const { get, call, home } = await configured();
  const { hash } = await get();
  const raw = `{ gateway: { port: 19003, bind: 'lan' }, channels: { telegram: null }, agents: { list: [{ id: "work", name: "Work" }, { id: "new" }] } }`;
  const result = await call("config.patch", { raw, baseHash: hash, note: "from a test", sessionKey: "main" });
  expect(result).toMatchObject({ ok: true, config: { gateway: { port: 19003, auth: { token: redacted } } } });
  expect(await home.read()).toBe(`// mine
{
  gateway: { port: 19003, auth: { token: "${token}" }, bind: "lan" }, // the gateway
  channels: {},
  agents: { list: [{ id: "main", name: "Molty" }, { id: "work", name: "Work" }, { id: "new" }] },
}
`);
});

test("how a page looks is patched without a hash, and nothing else is", async () => {
  const { call, refusal, home } = await configured();
  const raw = '{"ui":{"prefs":{"theme":"knot","accent":"theme"}}}';
  expect(await call("config.patch", { raw, note: "control-ui prefs sync" })).toMatchObject({ ok: true });
  expect((await home.load()).config).toMatchObject({ ui: { prefs: { theme: "knot", accent: "theme" } } });
  const needed = { message: "config base hash required; re-run config.get and retry" };
  for (const more of [
    '{"ui":{"prefs":{"theme":"claw"}},"gateway":{"port":1}}',
    '{"ui":{"prefs":null}}',
    '{"ui":{"prefs":{},"assistant":{}}}',
    '{"ui":null}',
    "{}",
    "[]",
    "{",
  ])
    expect(await refusal("config.patch", { raw: more })).toMatchObject(needed);
});

test("a sentinel in a patch keeps the value, and one for nothing is refused", async () => {
  const { get, call, refusal, home } = await configured();
  await call("config.patch", {
    raw: `{ gateway: { port: 1, auth: { token: "${redacted}" } } }`,
    baseHash: (await get()).hash,
  });
  expect(await home.read()).toBe(file.replace("19000", "1"));
  expect(
    await refusal("config.patch", {
      raw: `{ gateway: { auth: { password: "${redacted}" } } }`,
      baseHash: (await get()).hash,
    }),
  ).toMatchObject({
    message: "invalid config",
    details: { issues: [{ path: "gateway.auth.password" }] },
  });
});

test("a broken file is refused for a patch and can be replaced, its hidden values from what runs", async () => {
  const { get, call, refusal, reload, home } = await configured();
  await home.write(file.replace("}, //", ", //"));
  await reload();
  const { config, hash, raw, valid } = await get();
  expect([raw, valid, config.gateway.port]).toEqual([null, false, 19000]);
  expect(await refusal("config.patch", { raw: "{}", baseHash: hash })).toMatchObject({
    details: { code: "CONFIG_INVALID" },
  });
  await call("config.set", { raw: JSON.stringify(config), baseHash: hash });
  expect((await home.load()).config.gateway.auth.token).toBe(token);
});

test("without a file there is nothing to be in conflict with", async () => {
  const { home, call } = await configured();
  await rm(home.paths.configFile);
  await call("config.set", { raw: `{ gateway: { auth: { token: "${token}" } } }` });
  expect((await stat(home.paths.configFile)).mode & 0o777).toBe(0o600);
});

test("the five texts before stay as backups, closed to others", async () => {
  const { get, call, home } = await configured();
  for (let port = 1; port <= 8; port++) {
    await call("config.patch", { raw: `{ gateway: { port: ${port} } }`, baseHash: (await get()).hash });
  }
  const ports = await Promise.all(
    ["", ".bak", ".bak.1", ".bak.2", ".bak.3", ".bak.4"].map(async (ending) => {
      expect((await stat(home.paths.configFile + ending)).mode & 0o777).toBe(0o600);
      return json5.parse<{ gateway: { port: number } }>(await home.read(`config.json${ending}`)).gateway.port;
    }),
  );
  expect(ports).toEqual([8, 7, 6, 5, 4, 3]);
  expect(
    (await readdir(home.dir)).filter((name) => name.includes(".bak") || name.includes(".tmp")),
  ).toHaveLength(5);
});

test("a linked configuration stays a link", async () => {
  const other = await configHome(file);
  const home = await configHome();
  await symlink(other.paths.configFile, home.paths.configFile);
  const { get, call } = await methodsOn(home);
  await call("config.patch", { raw: "{ gateway: { port: 7 } }", baseHash: (await get()).hash });
  expect(await other.read()).toContain("port: 7");
  expect(
    (await readdir(home.dir, { withFileTypes: true }))
      .find(({ name }) => name === "config.json")
      ?.isSymbolicLink(),
  ).toBe(true);
});

test("SEC-146 of many writes with the same hash one wins and the others are told", async () => {
  const { get, call, home } = await configured();
  const { hash } = await get();
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_item, port) =>
      call(
        port % 2 ? "config.patch" : "config.set",
        port % 2
          ? { raw: `{ gateway: { port: ${port} } }`, baseHash: hash }
          : { raw: file.replace("19000", String(port)), baseHash: hash },
        "operator.admin",
        `connection ${port}`,
      ),
    ),
  );
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const result of results) {
    if (result.status === "rejected")
      expect(toProtocolError(result.reason).message).toMatch(/^config changed since last load/);
  }
  expect(await home.read()).toBe(file.replace("19000", "0"));
});

test("SEC-146 an edit by hand that nobody has loaded yet is not lost", async () => {
  const { get, refusal, home } = await configured();
  const { hash, raw } = await get();
  await home.write(file.replace("19000", "20000"));
  expect((await refusal("config.set", { raw, baseHash: hash })).message).toMatch(
    /^config changed since last load/,
  );
  expect(await home.read()).toContain("20000");
});

test("SEC-143 no answer and no error of any method shows a secret", async () => {
  const { get, call, refusal, home } = await configured();
  const { raw, hash } = await get();
  const seen: unknown[] = [
    await get(),
    await refusal("config.set", { raw: raw.replace("port", "prot").replace("19000", '"x"'), baseHash: "1" }),
    await refusal("config.set", { raw: raw.replace("19000", '"x"'), baseHash: hash }),
    await refusal("config.patch", { raw: "{ channels: { telegram: { botToken: 5 } } }", baseHash: hash }),
    await call("config.patch", { raw: "{ gateway: { port: 5 } }", baseHash: hash }),
    await call("config.set", { raw, baseHash: hashOf(await home.read()) }),
  ];
  expect(JSON.stringify(seen)).not.toMatch(new RegExp(`c4n4ry|${token}`));
});

test.each(["__proto__", "constructor", "prototype"])(
  "SEC-141 a write with the key %s is refused",
  async (key) => {
    const { get, refusal, home } = await configured();
    const { hash } = await get();
    const unsafe = `{ gateway: { auth: { token: "${token}" } }, channels: { telegram: { accounts: { "${key}": { phrase: "x" } } } } }`;
    for (const method of ["config.set", "config.patch"]) {
      const { message, details } = await refusal(method, { raw: unsafe, baseHash: hash });
      expect([message, details]).toMatchObject([
        "invalid config",
        {
          issues: expect.arrayContaining([
            { path: `channels.telegram.accounts.${key}`, message: `the key "${key}" is not allowed` },
          ]) as unknown,
        },
      ]);
    }
    expect(
      await refusal("config.patch", {
        raw: `{ a: ${"[".repeat(20_000)}${"]".repeat(20_000)} }`,
        baseHash: hash,
      }),
    ).toMatchObject({ message: "invalid config" });
    expect(await home.read()).toBe(file);
  },
);

test("SEC-141 no patch reaches a prototype, whatever its keys", () => {
  const key = fc.oneof(
    fc.constantFrom("__proto__", "constructor", "prototype", "a", "b", "id"),
    fc.string({ maxLength: 3 }),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, 1, "x"),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.dictionary(key, tie("value"), { maxKeys: 3 }),
    ),
  }));
  const before = Object.getOwnPropertyNames(Object.prototype).join();
  fc.assert(
    fc.property(value, value, (target, patch) => {
      const result = mergePatch(target, patch);
      expect(Object.getOwnPropertyNames(Object.prototype).join()).toBe(before);
      if (typeof result === "object" && result !== null)
        expect([Object.prototype, Array.prototype]).toContain(Object.getPrototypeOf(result));
    }),
    { numRuns: 100_000 },
  );
}, 60_000);
