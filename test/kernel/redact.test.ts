import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLog } from "../../kernel/log.ts";
import { createRedactor } from "../../kernel/redact.ts";
import { createSecrets } from "../../plugins/services/storage/secrets.ts";
import { createStorage } from "../../plugins/services/storage/storage.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-redact-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** Built from halves, so that no scanner takes this file for a leak. */
const join = (...parts: string[]): string => parts.join("");
const canaries: [string, string][] = [
  ["Anthropic", join("sk-", "ant-api03-AbCdEfGhIjKlMnOpQrSt")],
  ["OpenAI", join("sk-", "proj-AbCdEfGhIjKlMnOpQrStUv")],
  ["GitHub", join("gh", "p_abcdefghijklmnopqrstuvwxyz0123456789")],
  ["Slack bot", join("xo", "xb-123456789012-abcdefghijkl")],
  ["Slack app", join("xa", "pp-1-A0123456789-abcdef")],
  ["AWS", join("AK", "IAIOSFODNN7EXAMPLE")],
  ["Google", join("AI", "zaSyA1234567890abcdefghijklmnopqrstuv")],
  ["JWT", join("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0abc.dozjgNryP4J3jVmN")],
  ["Telegram", join("123456789:", "AAabcdefghijklmnopqrstuvwxyz0123456")],
  ["PEM", join("-----BEGIN PRIV", "ATE KEY-----\nMIIE\n-----END PRIV", "ATE KEY-----")],
];

test.each(canaries)("SEC-196: a %s key is never logged", (_name, secret) => {
  let out = "";
  const log = createLog({ level: "debug", redactor: createRedactor(), write: (line) => (out += line) });
  log.error({ err: new Error(`refused ${secret}`), nested: { deep: [secret] } }, `told ${secret}`);
  expect(out).toContain("[redacted]");
  expect(out).not.toContain(secret.slice(8, 24));
});

test.each([
  ["Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"],
  ["https://user:hunter2hunter2@host/x", "hunter2hunter2"],
  ["GET /x?token=abcdef&y=1", "abcdef&"],
  ["set-cookie: sid=verysecret; Path=/", "verysecret"],
])("%s loses its secret", (text, secret) => {
  expect(createRedactor().text(text)).not.toContain(secret);
});

test("SEC-197: a bot token inside a URL of a network error is redacted", () => {
  const text = createRedactor().text(
    join(
      "request to https://api.telegram.org/bot123456789:",
      "AAabcdefghijklmnopqrstuvwxyz0123456/getMe failed",
    ),
  );
  expect(text).toBe("request to https://api.telegram.org/bot[redacted]/getMe failed");
});

test("a known secret is redacted wherever it stands, the longer one first", () => {
  const redactor = createRedactor();
  redactor.add("correct horse");
  redactor.add("correct horse battery");
  expect(redactor.text("say correct horse battery!")).toBe("say [redacted]!");
});

test("in a transcript only held values are redacted: what looks like a key may be what somebody writes about", () => {
  const redactor = createRedactor();
  redactor.add("held-secret-value");
  const [, [, shaped]] = canaries as [unknown, [string, string]];
  expect(redactor.held(`{"text":"held-secret-value ${shaped}"}`)).toBe(`{"text":"[redacted] ${shaped}"}`);
});

test("SEC-044: what a client sends cannot forge a log line", () => {
  let out = "";
  const log = createLog({ level: "info", redactor: createRedactor(), write: (line) => (out += line) });
  log.info({ agent: 'x\r\n{"level":60,"msg":"forged"}\u001B[31m' }, "connected");
  expect(out.trimEnd().split("\n")).toHaveLength(1);
  expect(out).not.toContain("\u001B");
});

test("the level can change while the log is in use, for those that write to it already as well", () => {
  let out = "";
  const log = createLog({ level: "info", redactor: createRedactor(), write: (line) => (out += line) });
  const plugin = log.child({ plugin: "x" });
  const written = (): string[] => {
    for (const each of [log, plugin]) {
      each.debug({}, "debug");
      each.info({}, "info");
      each.error({}, "error");
    }
    const lines = out.split("\n").filter(Boolean);
    out = "";
    return lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  };
  expect(written()).toEqual(["info", "error", "info", "error"]);
  log.setLevel("trace");
  expect(written()).toEqual(["debug", "info", "error", "debug", "info", "error"]);
  log.setLevel("fatal");
  expect(written()).toEqual([]);
  log.setLevel("error");
  expect(written()).toEqual(["error", "error"]);
  log.setLevel("silent");
  expect(written()).toEqual([]);
});

test("a huge log line is cut to valid JSON", () => {
  let out = "";
  const log = createLog({ level: "info", redactor: createRedactor(), write: (line) => (out += line) });
  log.info({ blob: "x".repeat(1_000_000) });
  expect(out.length).toBeLessThan(10_000);
  expect(JSON.parse(out)).toMatchObject({ msg: "a log line was cut" });
});

test("secrets are kept in one private file and known to the redactor", async () => {
  const redactor = createRedactor();
  const secrets = createSecrets({ stateDir: dir, redactor });
  await secrets.set("telegram.default", "a-very-secret-value");
  const { mode } = await stat(path.join(dir, "secrets.json"));
  expect(mode & 0o777).toBe(0o600);
  expect(redactor.text("it is a-very-secret-value")).toBe("it is [redacted]");
  const again = createSecrets({ stateDir: dir, redactor });
  expect(await again.resolve("secret:telegram.default")).toBe("a-very-secret-value");
  expect(await again.resolve("plain")).toBe("plain");
  await again.set("telegram.default", undefined);
  await expect(again.get("telegram.default")).rejects.toThrow(/no secret "telegram.default"/);
});

test("a damaged secrets file is named and its content is not quoted", async () => {
  await writeFile(path.join(dir, "secrets.json"), '{ "a": "hunter2hunter2" ');
  const error = await createSecrets({ stateDir: dir, redactor: createRedactor() })
    .get("a")
    .catch((reason: unknown) => reason as Error);
  expect((error as Error).message).toContain("secrets.json");
  expect((error as Error).message).not.toContain("hunter2");
});

test("a plugin's storage is durable, private to it and bounded", async () => {
  const storage = createStorage(dir);
  await Promise.all([
    storage.for("a").set("n", 1),
    storage.for("a").set("m", { deep: [2] }),
    storage.for("b").set("n", 9),
  ]);
  const fresh = createStorage(dir);
  expect(await fresh.for("a").get("m")).toEqual({ deep: [2] });
  expect(await fresh.for("b").get("n")).toBe(9);
  await expect(fresh.for("a").set("big", "x".repeat(1_100_000))).rejects.toThrow(/"a" keeps more than/);
  await fresh.remove("a");
  expect(await createStorage(dir).for("a").get("n")).toBeUndefined();
  expect(JSON.parse(await readFile(path.join(dir, "plugins/b/storage.json"), "utf8"))).toEqual({ n: 9 });
});
