import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { lastWords, type ModelPeer, startModelPeer } from "../support/aimock.ts";
import { startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";
import {
  ask,
  type Product,
  rclaw,
  startProduct,
  type TempState,
  tempState,
  token,
} from "../support/product.ts";

const poll = { timeout: 20_000, interval: 50 };
const ada = { chatId: 501, fromId: 501 };
const wrongToken = "987654321:AA-wrong-CANARY-token_0123456789ab";

let state: TempState;
let telegram: TelegramPeer;
let model: ModelPeer;
let product: Product;

/** The program in this state folder; what it printed as JSON when it was asked for that. */
async function run(...args: string[]) {
  const result = await rclaw(state.dir, args, { env: model.anthropic().env });
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into documents of every shape
  const json: any = args.includes("--json") ? JSON.parse(result.stdout) : undefined;
  return { ...result, json };
}

beforeAll(async () => {
  state = await tempState();
  telegram = await startTelegramPeer();
  model = await startModelPeer();
  model.answer("wait for me", { content: "a b c d e f g h i j ".repeat(100) }, undefined, {
    chunkSize: 4,
    streamingProfile: { ttft: 10, tps: 20 },
  });
  model.mock.on({ userMessage: /.*/ }, (request) => ({ content: `You said: ${lastWords(request)}` }));
  const { config, env } = model.anthropic();
  const file = JSON.stringify({ ...config, channels: { telegram: { apiRoot: telegram.apiRoot } } }, null, 2);
  await writeFile(path.join(state.dir, "config.json"), file.replace("{", "{\n  // written by hand\n"), {
    mode: 0o600,
  });
  product = await startProduct({ stateDir: state.dir, env });
});

test("a wrong bot token is tried, refused and kept nowhere", async () => {
  const before = await state.read("config.json");
  for (const [given, reason] of [
    [wrongToken, /Telegram refused the settings: .*(?:401|not accept|Unauthorized).*Nothing was stored/],
    ["not-a-token", /does not look like one.*Nothing was stored/],
  ] as const) {
    const result = await rclaw(state.dir, ["plugin", "add", "telegram", "--token-env", "MY_TOKEN"], {
      env: { MY_TOKEN: given },
    });
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toMatch(reason);
    expect(result.stderr).not.toContain(given);
    expect(await state.filesWith(given)).toEqual([]);
  }
  expect(await state.read("config.json")).toBe(before);
  const argued = await rclaw(state.dir, ["plugin", "add", "telegram", "--set", `botToken=${wrongToken}`]);
  expect(argued).toMatchObject({ code: 2 });
  expect(argued.stderr).toMatch(/is a secret and is not taken from the command line/);
  expect(argued.stderr).not.toContain(wrongToken);
});

test("the right one is stored as a secret, and the bot answers at once", async () => {
  const result = await rclaw(state.dir, ["plugin", "add", "telegram"], { input: `${telegram.token}\n` });
  expect(result).toMatchObject({ code: 0, stdout: "" });
  expect(result.stderr).toMatch(/Testing \.\.\. ok, this is rusty_test_bot\nAdded Telegram\. It runs now\./);
  expect(result.stderr).not.toContain(telegram.token);

  expect((await stat(path.join(state.dir, "secrets.json"))).mode & 0o777).toBe(0o600);
  expect(await state.filesWith(telegram.token)).toEqual(["secrets.json"]);
  const config = await state.read("config.json");
  expect(config).toContain("// written by hand");
  expect(config).toContain("secret:telegram.default");

  await telegram.say({ ...ada, text: "let me in" });
  await expect.poll(telegram.sent, poll).toEqual([expect.stringContaining("Pairing code")]);
  await expect
    .poll(
      async () => (await run("channels", "status", "--json", "--probe")).json.channelAccounts.telegram[0],
      poll,
    )
    .toMatchObject({
      accountId: "default",
      connected: true,
      probe: { ok: true, name: "rusty_test_bot" },
    });
});

test("a setting takes effect while the gateway runs", async () => {
  expect((await run("config", "set", "channels.telegram.allowFrom", "[501]")).code).toBe(0);
  expect((await run("config", "get", "channels.telegram.allowFrom")).stdout).toMatch(/501/);
  await expect
    .poll(
      async () => (await run("channels", "status", "--json")).json.channelAccounts.telegram[0].connected,
      poll,
    )
    .toBe(true);
  await telegram.say({ ...ada, text: "am I in?" });
  await expect.poll(async () => (await telegram.sent()).at(-1), poll).toBe("You said: am I in?");

  expect((await run("config", "unset", "channels.telegram.allowFrom")).code).toBe(0);
  expect((await run("config", "get", "channels.telegram.allowFrom")).code).toBe(1);
  expect(await state.read("config.json")).toContain("// written by hand");
  const shown = await run("config", "show");
  expect(shown.code).toBe(0);
  expect(shown.stdout).not.toContain(telegram.token);
});

test("an edit of the file by hand takes effect as well, and a broken one does no harm", async () => {
  const file = path.join(state.dir, "config.json");
  const good = await readFile(file, "utf8");
  await writeFile(file, good.replace('"apiRoot"', '"allowFrom": [501],\n      "apiRoot"'));
  await expect
    .poll(async () => (await run("config", "get", "channels.telegram.allowFrom")).code, poll)
    .toBe(0);
  await telegram.say({ ...ada, text: "and by hand?" });
  await expect.poll(async () => (await telegram.sent()).at(-1), poll).toBe("You said: and by hand?");

  await writeFile(file, "{ this is: not");
  await expect.poll(async () => (await run("status", "--json")).json.problems, poll).not.toEqual([]);
  expect((await run("agent", "-m", "still there?")).stdout).toBe("You said: still there?\n");
  await writeFile(file, good);
  await expect.poll(async () => (await run("status", "--json")).json.problems, poll).toEqual([]);
});

test("status tells people and programs the same", async () => {
  const { json } = await run("status", "--json");
  expect(json).toMatchObject({
    gateway: { running: true, url: product.url, pid: product.pid },
    model: { provider: "anthropic", model: "claude-sonnet-5-5" },
    config: { source: "file", issues: [] },
    problems: [],
  });
  expect(json.plugins).toContainEqual({ id: "telegram", state: "active" });
  const { stdout, stderr, code } = await run("status");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain(`running at ${product.url} (process ${product.pid})`);
  expect(stdout).toContain("anthropic/claude-sonnet-5-5");
  expect(stdout).toMatch(/Channels +\S*telegram/i);
  expect(stdout).not.toContain("\u001B[");
});

test("agent answers on stdout and keeps everything else off it", async () => {
  const plain = await run("agent", "-m", "hello there");
  expect(plain).toMatchObject({ code: 0, stdout: "You said: hello there\n" });
  const piped = await rclaw(state.dir, ["agent"], { input: "through a pipe\n" });
  expect(piped).toMatchObject({ code: 0, stdout: "You said: through a pipe\n" });
  const { json } = await run("agent", "-m", "as a document", "--json");
  expect(json).toMatchObject({ status: "ok", text: "You said: as a document", sessionKey: "main" });
  expect((await run("sessions", "show", "main")).stdout).toContain("as a document");
});

test("a channel is logged out of, and its settings wait for the next login", async () => {
  const account = async () =>
    (await run("channels", "status", "--json")).json.channelAccounts.telegram?.[0] as object;
  const before = await state.read("config.json");
  const login = () => rclaw(state.dir, ["channels", "login", "telegram"], { input: `${telegram.token}\n` });
  expect((await run("channels", "logout", "telegram", "--yes")).stderr).toMatch(/^Logged out of telegram/);
  expect(await state.filesWith(telegram.token)).toEqual([]);
  expect(await account()).toMatchObject({ configured: false, connected: false });
  expect((await run("channels", "logout", "telegram", "--yes")).stderr).toMatch(/^No login of telegram/);
  expect(await login()).toMatchObject({ code: 0 });
  await expect.poll(account, poll).toMatchObject({ configured: true, connected: true });
  expect(await state.read("config.json")).toBe(before);
});

test("a plugin is switched off and on from outside, and removed with its secrets", async () => {
  expect((await run("plugin", "disable", "telegram", "--json")).json).toMatchObject({
    id: "telegram",
    state: "disabled",
  });
  expect((await run("plugin", "enable", "telegram", "--json")).json).toMatchObject({ state: "active" });
  expect((await run("plugin", "reload", "telegram")).code).toBe(0);
  expect(await run("plugin", "remove", "telegram")).toMatchObject({ code: 2, stdout: "" });
  expect((await run("plugin", "remove", "telegram", "--yes")).code).toBe(0);
  expect(await state.filesWith(telegram.token)).toEqual([]);
  expect((await run("plugin", "info", "telegram", "--json")).json).toMatchObject({ state: "disabled" });
});

test("exit codes: 1 for what failed, 2 for what was not understood", async () => {
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["plugin", "info", "telegrm"], 1, /no plugin "telegrm"; did you mean "telegram"\?.*\[NOT_FOUND\]/],
    [["config", "get", "no.such.key"], 1, /nothing is set at no\.such\.key/],
    [["config", "set", "gateway.port", "seventy"], 1, /gateway\.port/],
    [["pairing", "approve", "telegram", "ABCDEFGH"], 1, /ABCDEFGH|code/],
    [["plugin", "frobnicate"], 2, /frobnicate.*See: rclaw plugin --help/],
    [["config", "set", "only.a.path"], 2, /value/],
    [["agent", "--thinking", "hgih", "-m", "x"], 2, /did you mean "high"/],
    [["sttaus"], 2, /did you mean "status"/],
  ];
  for (const [args, code, message] of cases) {
    const result = await run(...args);
    expect(result, args.join(" ")).toMatchObject({ code, stdout: "" });
    expect(result.stderr, args.join(" ")).toMatch(message);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    const asJson = await run(...args, "--json").catch(() => undefined);
    if (asJson?.json) expect(asJson.json.error.message, args.join(" ")).toMatch(/\S/);
  }
  for (const name of ["agent", "status", "config", "sessions", "plugin", "channels", "pairing"]) {
    const help = await run(name, "--help");
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toContain(`Usage: rclaw ${name}`);
  }
});

test("exit code 3: the gateway went away, or does not let this program in", async () => {
  const waiting = rclaw(state.dir, ["agent", "-m", "wait for me"]);
  const client = await product.connect();
  await client.find(({ event, payload }) => event === "agent" && payload.stream === "assistant");
  await product.kill();
  const gone = await waiting;
  expect(gone.code).toBe(3);
  expect(gone.stderr).toMatch(/the gateway closed the connection.*\[GATEWAY_UNREACHABLE\]\n$/);

  product = await startProduct({ stateDir: state.dir, env: model.anthropic().env });
  const stranger = await rclaw(state.dir, ["sessions", "--json"], {
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "another" },
  });
  expect(stranger.code).not.toBe(0);
  expect((JSON.parse(stranger.stdout) as { error: { message: string } }).error.message).toMatch(/token/);
  expect(stranger.stdout + stranger.stderr).not.toContain(token);
  expect((await ask(await product.connect(), "health")).ok).toBe(true);
});

test("without a gateway the commands work on the same folder, and a lock of the dead is no obstacle", async () => {
  await product.kill();
  expect((await run("status", "--json")).json.gateway).toEqual({ running: false });
  expect((await run("agent", "-m", "on my own")).stdout).toBe("You said: on my own\n");
  expect((await run("config", "set", "channels.telegram.apiRoot", telegram.apiRoot)).code).toBe(0);
  const added = await rclaw(state.dir, ["plugin", "add", "telegram", "--token-env", "BOT"], {
    env: { BOT: telegram.token },
  });
  expect(added.stderr).toContain("Added Telegram. It starts with the gateway.");
  expect(added.code).toBe(0);
  product = await startProduct({ stateDir: state.dir, env: model.anthropic().env });
  await expect
    .poll(
      async () => (await run("channels", "status", "--json")).json.channelAccounts.telegram?.[0]?.connected,
      poll,
    )
    .toBe(true);
  expect(await product.stop()).toBe(0);
});
