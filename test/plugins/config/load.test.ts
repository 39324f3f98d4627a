import type { LoadedConfig } from "@rclaw/plugin-sdk/services/config";
import { chmod, mkdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { createHash } from "node:crypto";
import json5 from "json5";
import { expect, test } from "vitest";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { loadConfig } from "../../../plugins/services/config/load.ts";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { configHome, minimal, telegram, token } from "./config-home.ts";

const paths = (list: LoadedConfig["issues"]): string[] => list.map((issue) => issue.path);
const mode = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

test("the paths come from the environment, or the home folder", () => {
  expect(configPaths({}, "/home/me")).toEqual({
    stateDir: "/home/me/.rusty_claw",
    configFile: "/home/me/.rusty_claw/config.json",
  });
  expect(configPaths({ RUSTY_CLAW_STATE_DIR: "~/state" }, "/home/me").configFile).toBe(
    "/home/me/state/config.json",
  );
  expect(configPaths({ RUSTY_CLAW_CONFIG: "/etc/rclaw.json5" }, "/home/me").configFile).toBe(
    "/etc/rclaw.json5",
  );
});

test("the first start creates a file for people, with a token of its own", async () => {
  const home = await configHome();
  const loaded = await home.load();
  expect(loaded).toMatchObject({ exists: true, source: "file", issues: [], warnings: [] });
  expect(loaded.config.gateway.auth.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(loaded.config.session.dmScope).toBe("per-channel-peer");
  expect(loaded.raw).toContain("// ");
  expect(await mode(home.paths.configFile)).toBe(0o600);
  expect(await mode(home.dir)).toBe(0o700);
  expect((await home.load()).hash).toBe(loaded.hash);
});

test("programs that start for the first time together agree on one token", async () => {
  const home = await configHome();
  const all = await Promise.all(Array.from({ length: 8 }, () => home.load()));
  expect(new Set(all.map(({ config }) => config.gateway.auth.token)).size).toBe(1);
  expect((await stat(home.paths.configFile)).nlink).toBe(1);
});

test("defaults fill what is not said, and a given section keeps its own values", async () => {
  const home = await configHome(
    `{ gateway: { bind: "lan", auth: { token: "${token}", rateLimit: { maxAttempts: 3 } } } }`,
  );
  const { config } = await home.load();
  expect(config.gateway).toMatchObject({
    port: 18789,
    bind: "lan",
    auth: { mode: "token", token, rateLimit: { maxAttempts: 3, windowMs: 60_000, lockoutMs: 300_000 } },
    reload: { debounceMs: 300 },
    trustedProxies: [],
  });
  expect(config.tools).toEqual({ profile: "full", deny: [] });
  expect(config.session).toMatchObject({ scope: "per-sender", dmScope: "per-channel-peer", mainKey: "main" });
});

test("the hash is the one of the file as it is", async () => {
  const home = await configHome("// ü\r\n" + minimal);
  const data = await readFile(home.paths.configFile);
  expect((await home.load()).hash).toBe(createHash("sha256").update(data).digest("hex"));
});

test("environment variables are filled in once, in values only, and can be escaped", async () => {
  const home = await configHome(`{
    gateway: { auth: { token: "\${GATEWAY_TOKEN}" } },
    agents: { defaults: { workspace: "\${WORK}/\${WORK}", note: "$\${WORK} \${lower} $WORK" }, "\${WORK}": 1 },
  }`);
  Object.assign(home.env, { GATEWAY_TOKEN: token, WORK: "${GATEWAY_TOKEN}" });
  const { config, issues, unresolved } = await home.load();
  expect(issues).toEqual([]);
  expect(config.gateway.auth.token).toBe(token);
  expect(config.agents).toMatchObject({
    defaults: { workspace: "${GATEWAY_TOKEN}/${GATEWAY_TOKEN}", note: "${WORK} ${lower} $WORK" },
    "${WORK}": 1,
  });
  expect(valueAt(unresolved, "gateway.auth.token")).toBe("${GATEWAY_TOKEN}");
  expect(await home.read("config.last-good.json")).not.toContain(token);
});

test.each([undefined, ""])("a variable that is %j is an issue that names it and its place", async (value) => {
  const home = await configHome('{ gateway: { auth: { token: "${GATEWAY_TOKEN}" } } }');
  if (value !== undefined) home.env["GATEWAY_TOKEN"] = value;
  expect((await home.load()).issues).toContainEqual({
    path: "gateway.auth.token",
    message: "environment variable GATEWAY_TOKEN is not set",
  });
});

test("a missing variable where nothing reads it is only a warning", async () => {
  const home = await configHome(
    `{ gateway: { auth: { token: "${token}" } }, channels: { telegram: { botToken: "\${BOT}" }, discord: { token: "\${BOT}" } } }`,
  );
  home.plugins.push(telegram);
  expect(paths((await home.load()).issues)).toContain("channels.telegram.botToken");
  await home.write(
    `{ gateway: { auth: { token: "${token}" } }, channels: { telegram: { enabled: false, botToken: "\${BOT}" } } }`,
  );
  const off = await home.load();
  expect([paths(off.issues), paths(off.warnings)]).toEqual([[], ["channels.telegram.botToken"]]);
});

test.each<[string, string, string, RegExp]>([
  ["a wrong type", "{ gateway: { port: 'abc' } }", "gateway.port", /^must be integer; it is a string$/],
  ["a number out of range", "{ gateway: { port: 70000 } }", "gateway.port", /<= 65535/],
  [
    "a word with a slip",
    "{ gateway: { bind: 'loopbak' } }",
    "gateway.bind",
    /^must be one of "loopback", .*did you mean "loopback"\?$/,
  ],
  ["a list that is none", "{ tools: { deny: 'exec' } }", "tools.deny", /must be array; it is a string/],
  [
    "an owner of the wrong kind",
    "{ commands: { ownerAllowFrom: [true] } }",
    "commands.ownerAllowFrom.0",
    /must be string or must be number; it is a boolean/,
  ],
  ["a section that is none", "{ gateway: 5 }", "gateway", /must be object; it is a number/],
  ["a list instead of an object", "[]", "", /must be an object/],
  ["no JSON5", "{ gateway: ", "", /^SyntaxError: JSON5: invalid end of input at 1:12$/],
  ["a bad range", "{ egress: { allowCidrs: ['10.0.0.0/33'] } }", "egress.allowCidrs.0", /CIDR/],
  ["a custom address that is not given", "{ gateway: { bind: 'custom' } }", "gateway.bind", /customBindHost/],
  [
    "TLS without a certificate",
    "{ gateway: { tls: { enabled: true, autoGenerate: false } } }",
    "gateway.tls",
    /certPath/,
  ],
  [
    "a certificate without its key",
    "{ gateway: { tls: { enabled: true, certPath: 'cert.pem' } } }",
    "gateway.tls",
    /both, certPath and keyPath/,
  ],
  [
    "an open door",
    "{ gateway: { bind: 'lan', auth: { mode: 'none' } } }",
    "gateway.auth.mode",
    /lets anybody in/,
  ],
  ["a redaction mark", "{ agents: { x: '__OPENCLAW_REDACTED__' } }", "agents.x", /only hides/],
])("%s is an issue at its path", async (_name, text, place, message) => {
  const home = await configHome(text);
  const { issues } = await home.load();
  expect(issues).toContainEqual({ path: place, message: expect.stringMatching(message) as string });
});

test.each<[string, string, string]>([
  ["an unknown key", "prot", 'unknown key; did you mean "port"?'],
  ["a key of OpenClaw", "tailscale", "a setting of OpenClaw that rclaw does not use; it has no effect"],
  ["a key that is like nothing", "zzzzzz", "unknown key; it has no effect"],
])("%s is kept and warned about", async (_name, key, message) => {
  const home = await configHome(`{ gateway: { auth: { token: "${token}" }, ${key}: 1 } }`);
  const { issues, warnings, config } = await home.load();
  expect([issues, warnings]).toEqual([[], [{ path: `gateway.${key}`, message }]]);
  expect(config.gateway).toHaveProperty(key, 1);
});

test("channels, providers and plugins that do not exist are warned about by name", async () => {
  const home = await configHome(`{
    gateway: { auth: { token: "${token}" } },
    channels: { telegramm: {} }, models: { providers: { claude: { apiKey: "x" } } },
    plugins: { entries: { telegrm: { enabled: false, config: { a: 1 } } }, deny: ["nope"] },
  }`);
  home.plugins.push(telegram);
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([]);
  expect(warnings).toEqual([
    { path: "channels.telegramm", message: 'no plugin provides this channel; did you mean "telegram"?' },
    { path: "models.providers.claude", message: "no plugin provides this provider; it has no effect" },
    { path: "plugins.entries.telegrm", message: 'there is no plugin "telegrm"; did you mean "telegram"?' },
    { path: "plugins.deny.0", message: 'there is no plugin "nope"; it has no effect' },
  ]);
});

test("a plugin's part is checked against its manifest, at its place", async () => {
  const home = await configHome(
    `{ gateway: { auth: { token: "${token}" } }, channels: { telegram: { dmPolicy: "pairng", streamMode: "partial" } } }`,
  );
  home.plugins.push(telegram);
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([
    { path: "channels.telegram", message: "must have required property 'botToken'" },
    {
      path: "channels.telegram.dmPolicy",
      message: 'must be one of "pairing", "allowlist", "open", "disabled"; did you mean "pairing"?',
    },
    { path: "", message: "ignored until corrected: channels.telegram" },
  ]);
  expect(warnings).toEqual([
    { path: "channels.telegram.streamMode", message: "unknown key; it has no effect" },
  ]);
});

test("a faulty schema in a manifest is that plugin's problem only", async () => {
  const home = await configHome(`{ gateway: { auth: { token: "${token}" } }, channels: { telegram: {} } }`);
  home.plugins.push({
    ...telegram,
    schema: { type: "object", required: ["x"], properties: { x: { pattern: "(" } } },
  });
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([]);
  expect(warnings[0]).toMatchObject({
    path: "channels.telegram",
    message: expect.stringContaining("faulty") as string,
  });
});

test("OpenClaw's own configuration loads with warnings only", async () => {
  const text = await readFile(path.join(import.meta.dirname, "openclaw.json5"), "utf8");
  const home = await configHome(text);
  Object.assign(home.env, { OPENCLAW_GATEWAY_TOKEN: token, TELEGRAM_BOT_TOKEN: "123:abc" });
  home.plugins.push(telegram);
  const { source, issues, warnings, config } = await home.load();
  expect([source, issues]).toEqual(["file", []]);
  expect(paths(warnings)).toEqual(
    expect.arrayContaining(["hooks", "gateway.tailscale", "channels.discord", "gateway.auth.mode"]),
  );
  expect(warnings).toContainEqual({
    path: "tools.sandbox",
    message: "a setting of OpenClaw that rclaw does not use; it has no effect",
  });
  expect(paths(warnings)).toContain("logging.redactSensitive");
  expect(paths(warnings).filter((place) => /rateLimit|identityLinks|controlUi\.enabled/.test(place))).toEqual(
    [],
  );
  expect(config.gateway.auth.mode).toBe("trusted-proxy");
  expect(config.channels["telegram"]).toMatchObject({ botToken: "123:abc", streamMode: "partial" });
});

test("an invalid file leaves the last good configuration in charge, and says so", async () => {
  const home = await configHome(`{ gateway: { port: 19000, auth: { token: "${token}" } } }`);
  await home.load();
  await home.write(`{ gateway: { port: "x", auth: { token: "${token}" } }, tools: { profile: "minimal" } }`);
  const loaded = await home.load();
  expect(loaded).toMatchObject({
    source: "last-known-good",
    exists: true,
    issues: [{ path: "gateway.port" }],
  });
  expect(loaded.config.gateway.port).toBe(19000);
  expect(loaded.raw).toContain('"x"');
  await rm(home.paths.configFile);
  expect(await home.load()).toMatchObject({
    source: "last-known-good",
    exists: false,
    raw: null,
    hash: null,
    issues: [{ path: "" }],
  });
});

test("without a last good one only the wrong parts are left out, on the safe side", async () => {
  const home = await configHome(`{
    gateway: { port: "x", bind: "lan", auth: { token: "${token}" } },
    tools: { deny: "exec" },
    session: { mainKey: "home" },
    logging: { level: "loud" },
    channels: { telegram: { dmPolicy: "open" } },
  }`);
  home.plugins.push(telegram);
  const { source, config, issues } = await home.load();
  expect(source).toBe("file");
  expect(config.gateway).toMatchObject({ port: 18789, bind: "lan", auth: { token } });
  expect(config.tools.profile).toBe("minimal");
  expect(config.session.mainKey).toBe("home");
  expect(config.logging.level).toBe("info");
  expect(config.channels).toEqual({});
  expect(issues.at(-1)?.message).toBe(
    'ignored until corrected: gateway.port, tools, logging, channels.telegram, with tools.profile "minimal" meanwhile',
  );
});

test("a plugin whose needs have changed does not take the others down", async () => {
  const home = await configHome(
    `{ gateway: { auth: { token: "${token}" } }, channels: { telegram: { allowFrom: ["1"] } }, session: { mainKey: "home" } }`,
  );
  await home.load();
  home.plugins.push(telegram);
  const { source, config, issues } = await home.load();
  expect([source, config.session.mainKey, config.channels]).toEqual(["file", "home", {}]);
  expect(paths(issues)).toEqual(["channels.telegram", ""]);
});

test("a file that cannot be used at the first start leaves the defaults, which let nobody in", async () => {
  const home = await configHome();
  await mkdir(home.paths.configFile);
  const loaded = await home.load();
  expect(loaded).toMatchObject({
    source: "defaults",
    raw: null,
    issues: [{ path: "", message: expect.stringContaining("not a regular file") as string }],
  });
  expect(loaded.config.gateway.auth).toMatchObject({ mode: "token" });
  expect(loaded.config.gateway.auth.token).toBeUndefined();
});

test("the last good copy is only written when something changed", async () => {
  const home = await configHome(minimal);
  await home.load();
  const file = path.join(home.dir, "config.last-good.json");
  const before = await stat(file);
  expect(before.mode & 0o777).toBe(0o600);
  await home.write(`// only a comment\n${minimal}`);
  await home.load();
  expect((await stat(file)).ino).toBe(before.ino);
  await home.write(minimal.replace("{ gateway", "{ logging: { level: 'debug' }, gateway"));
  await home.load();
  expect((await stat(file)).ino).not.toBe(before.ino);
});

test("REL-03 whatever is left of a truncated file, something loads and says what is wrong", async () => {
  const text = `// a file\n{ gateway: { port: 19000, auth: { token: "${token}" } }, tools: { deny: ["exec"], }, /* end */ }\n`;
  const withCopy = await configHome(text);
  await withCopy.load();
  const bare = await configHome(text);
  const whole = text.trimEnd().length;
  for (let length = 0; length < text.length; length++) {
    await withCopy.write(text);
    await truncate(withCopy.paths.configFile, length);
    const kept = await withCopy.load();
    expect(kept.config.gateway.port).toBe(19000);
    expect(kept.source).toBe(length < whole ? "last-known-good" : "file");
    expect(kept.issues.length > 0).toBe(length < whole);

    await bare.write(text.slice(0, length));
    await rm(path.join(bare.dir, "config.last-good.json"), { force: true });
    const { source, issues, warnings, config } = await bare.load();
    if (length === 0) {
      expect([source, issues]).toEqual(["file", []]);
      expect(warnings[0]?.message).toContain("was empty");
      expect(config.gateway.auth.token).not.toBe(token);
    } else {
      expect(source).toBe(length < whole ? "defaults" : "file");
      expect(issues.length > 0).toBe(length < whole);
    }
  }
});

test("REL-03 whatever is left of the last good copy, the file still loads and repairs it", async () => {
  const home = await configHome(minimal);
  await home.load();
  const copy = await home.read("config.last-good.json");
  for (let length = 0; length < copy.length; length++) {
    await home.write(copy.slice(0, length), "config.last-good.json");
    expect(await home.load()).toMatchObject({ source: "file", issues: [] });
    expect(await home.read("config.last-good.json")).toBe(copy);
  }
});

test.each<[string, string]>([
  ["empty", ""],
  ["blank", "  "],
  ["undefined", "undefined"],
  ["null", "NULL"],
])("SEC-039 a token that is %s is refused", async (_name, value) => {
  const home = await configHome(`{ gateway: { auth: { token: "${value}" } } }`);
  const { issues, config } = await home.load();
  expect(issues[0]).toMatchObject({
    path: "gateway.auth.token",
    message: expect.stringContaining("placeholder") as string,
  });
  expect(config.gateway.auth.token).toBeUndefined();
});

test("SEC-039 a short token or password is warned about, and a missing one too", async () => {
  const home = await configHome('{ gateway: { auth: { mode: "password", password: "hunter2" } } }');
  const short = await home.load();
  expect([short.issues, paths(short.warnings)]).toEqual([[], ["gateway.auth.password"]]);
  expect(JSON.stringify(short.warnings)).not.toContain("hunter2");
  await home.write("{}");
  expect(paths((await home.load()).warnings)).toEqual(["gateway.auth.token"]);
});

test("SEC-039 a token from the environment counts instead of the file's, and is held to the same", async () => {
  const home = await configHome("{}");
  home.env["RUSTY_CLAW_GATEWAY_TOKEN"] = token;
  expect(await home.load()).toMatchObject({ issues: [], warnings: [] });
  home.env["RUSTY_CLAW_GATEWAY_TOKEN"] = "undefined";
  expect(paths((await home.load()).issues)).toContain("gateway.auth.token");
});

test.each(["__proto__", "constructor", "prototype"])(
  "SEC-141 the key %s is refused wherever it stands",
  async (key) => {
    const home = await configHome(`{
    gateway: { auth: { token: "${token}" }, "${key}": { port: 1 } },
    channels: { telegram: { accounts: { "${key}": { botToken: "x", polluted: true } } } },
    session: { $include: "session.json5" },
  }`);
    await home.write(`{ mainKey: "home", "${key}": { polluted: true } }`, "session.json5");
    const { issues, config } = await home.load();
    expect(paths(issues)).toEqual(
      expect.arrayContaining([`gateway.${key}`, `channels.telegram.accounts.${key}`, `session.${key}`]),
    );
    expect(Object.getPrototypeOf(config.gateway)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(Object.keys(config.gateway)).not.toContain(key);
  },
);

test("SEC-144 a .env file beside the configuration or in the working folder changes nothing", async () => {
  const home = await configHome('{ gateway: { auth: { token: "${GATEWAY_TOKEN}" } } }');
  await home.write(
    `GATEWAY_TOKEN=${token}\nNODE_OPTIONS=--require=/tmp/x\nRUSTY_CLAW_INCLUDE_ROOTS=/\n`,
    ".env",
  );
  const before = { ...process.env };
  const { issues } = await home.load();
  expect(issues[0]?.message).toContain("GATEWAY_TOKEN");
  expect(process.env).toEqual(before);
});

test("SEC-148 a file others can read is closed, and a folder others can write to", async () => {
  const home = await configHome(minimal);
  await chmod(home.paths.configFile, 0o644);
  await chmod(home.dir, 0o777);
  const { issues, warnings } = await home.load();
  expect(issues).toEqual([]);
  expect(warnings.map(({ message }) => message)).toEqual([
    expect.stringContaining("(mode 0644); it is now 0600"),
    expect.stringContaining("(mode 0777); it is now 0700"),
  ]);
  expect([await mode(home.paths.configFile), await mode(home.dir)]).toEqual([0o600, 0o700]);
  expect((await home.load()).warnings).toEqual([]);
});

test("SEC-148 a shared folder such as /tmp is not closed, only warned about", async () => {
  const home = await configHome(minimal);
  await chmod(home.dir, 0o1777);
  expect((await home.load()).warnings[0]?.message).toContain("chmod 700");
  expect(await mode(home.dir)).toBe(0o777);
});

test("a configuration kept elsewhere and linked here is read", async () => {
  const home = await configHome();
  const other = await configHome();
  await symlink(await other.write(minimal, "mine.json5"), home.paths.configFile);
  expect(await home.load()).toMatchObject({ source: "file", issues: [] });
});

test("a configuration that nobody can take in is refused by size and depth", async () => {
  const home = await configHome();
  await writeFile(home.paths.configFile, `{ a: "${"x".repeat(1024 * 1024)}" }`, { mode: 0o600 });
  expect((await home.load()).issues[0]?.message).toContain("larger than");
  await home.write(`{ agents: ${"[".repeat(50_000)}${"]".repeat(50_000)} }`);
  expect((await home.load()).issues).toContainEqual({
    path: "agents",
    message: "is nested deeper than 64 levels",
  });
});

test("valueAt finds keys that hold dots, and nothing inherited", () => {
  const config = { a: { "b.c": { d: 1 }, b: { x: 2 } }, models: { "gpt-5.2": { alias: "gpt" } } };
  expect(valueAt(config, "a.b.c.d")).toBe(1);
  expect(valueAt(config, "a.b.x")).toBe(2);
  expect(valueAt(config, "models.gpt-5.2.alias")).toBe("gpt");
  expect(valueAt(config, "")).toBe(config);
  expect(valueAt(config, "a.toString")).toBeUndefined();
  expect(valueAt(config, "constructor.name")).toBeUndefined();
});

test("loading never throws, whatever is in the file", async () => {
  const home = await configHome();
  for (const text of [
    "\0",
    "null",
    "5",
    '"x"',
    "{ $include: 5 }",
    "{ tools: { $include: [] } }",
    "\uFEFF{}",
    "{ a: NaN, gateway: { port: Infinity } }",
    json5.stringify({ plugins: [] }),
  ]) {
    await home.write(text);
    const loaded = await loadConfig({ paths: home.paths, env: {}, plugins: [telegram] });
    expect(loaded.config.gateway.bind).toBe("loopback");
  }
});
