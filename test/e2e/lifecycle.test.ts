import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { lastWords, type ModelPeer, startModelPeer } from "../support/aimock.ts";
import { startTelegramPeer } from "../support/crabline.ts";
import { startFresh } from "../support/fresh.ts";
import { ask, processesWith, rclaw, startProduct, tempState, token } from "../support/product.ts";
import { hasSandbox } from "../support/sandbox.ts";
import type { Client, Frame } from "../support/ws-client.ts";

const poll = { timeout: 20_000, interval: 50 };
const words = "the tide takes the rust and leaves the iron on the shore";
const isPiece = ({ event, payload }: Frame): boolean => event === "agent" && payload.stream === "assistant";
const isEnd = ({ event, payload }: Frame): boolean => event === "chat" && payload.state !== "delta";

let model: ModelPeer;

beforeAll(async () => {
  model = await startModelPeer();
  model.answer("endless", { content: words.repeat(200) }, undefined, {
    chunkSize: 8,
    streamingProfile: { ttft: 10, tps: 20 },
  });
  model.answer(
    "run a long command",
    {
      toolCalls: [{ name: "exec", arguments: { command: `sleep 86400.${process.pid}` } }],
    },
    { content: "done" },
  );
  model.mock.on({ userMessage: /.*/ }, (request) => ({ content: `${lastWords(request)}: ${words}` }), {
    chunkSize: 8,
    streamingProfile: { ttft: 10, tps: 20 },
  });
});

const send = (client: Client, message: string, idempotencyKey: string): Promise<unknown> =>
  ask(client, "chat.send", { sessionKey: "main", message, idempotencyKey });

test("REL-31: SIGTERM lets running answers finish, tells the clients, and leaves with 0", async () => {
  await using state = await tempState();
  await using telegram = await startTelegramPeer();
  const { config, env } = model.anthropic();
  await using product = await startProduct({
    stateDir: state.dir,
    env,
    config: {
      ...config,
      channels: { telegram: { botToken: telegram.token, apiRoot: telegram.apiRoot, allowFrom: [77] } },
    },
  });
  const client = await product.connect();
  const sessions = Array.from({ length: 12 }, (_unused, i) => `s${i}`);
  for (const sessionKey of sessions) {
    await ask(client, "chat.send", {
      sessionKey,
      message: "by the sea",
      idempotencyKey: `run in ${sessionKey}`,
    });
  }
  await telegram.say({ chatId: 77, fromId: 77, text: "by the river" });
  await client.find((frame) => isPiece(frame) && frame.payload.runId === "run in s11");
  await client.find((frame) => isPiece(frame) && frame.payload.sessionKey.includes("telegram"));
  const pieces = client.frames.filter(isPiece).length;
  product.signal("SIGTERM");

  expect(await client.closed).toEqual({ code: 1012, reason: "service restart" });
  expect(await product.gone).toBe(0);
  const names = client.frames.map(({ event, payload }) =>
    event === "chat" ? `chat ${payload.state}` : event,
  );
  expect(names.at(-1)).toBe("shutdown");
  expect(client.frames.filter(isPiece).length).toBeGreaterThan(pieces);
  const ends = client.frames.filter(isEnd).map(({ payload }) => payload.state);
  expect(ends).toEqual(Array.from({ length: sessions.length + 1 }, () => "final"));
  expect((await telegram.sent()).at(-1)).toBe(`by the river: ${words}`);
  expect(product.stderr()).toBe("");
  expect(await processesWith(state.dir)).toEqual([]);
  await expect(stat(path.join(state.dir, "gateway.lock"))).rejects.toThrow("ENOENT");

  await using again = await startProduct({ stateDir: state.dir, env });
  const next = await again.connect();
  for (const sessionKey of sessions) {
    const { messages } = await ask(next, "chat.history", { sessionKey });
    expect(messages.map(({ role }: { role: string }) => role)).toEqual(["user", "assistant"]);
  }
});

test("while it stops nothing new is taken, and a client is told to come back", async () => {
  await using product = await startFresh(model.anthropic());
  const client = await product.connect();
  await send(client, "first", "r1");
  await client.find(isPiece);
  product.signal("SIGTERM");
  await expect
    .poll(async () => (await fetch(`${product.http}/readyz`).catch(() => undefined))?.status, poll)
    .toBe(503);
  const refused = await client.request("chat.send", {
    sessionKey: "other",
    message: "second",
    idempotencyKey: "r2",
  });
  expect(refused).toMatchObject({ ok: false, error: { code: "UNAVAILABLE", retryable: true } });
  expect(await product.gone).toBe(0);
  expect(client.frames.filter(isEnd).map(({ payload }) => payload.runId)).toEqual(["r1"]);
});

test("a second signal ends it at once", async () => {
  await using product = await startFresh(model.anthropic());
  const client = await product.connect();
  await send(client, "endless", "r1");
  await client.find(isPiece);
  product.signal("SIGINT");
  await expect
    .poll(async () => (await fetch(`${product.http}/readyz`).catch(() => undefined))?.status, poll)
    .toBe(503);
  const since = Date.now();
  product.signal("SIGINT");
  expect(await product.gone).toBe(130);
  expect(Date.now() - since).toBeLessThan(3_000);
});

test("npm start passes a signal on to the gateway and waits for it", async () => {
  await using product = await startFresh({ npm: true });
  const client = await product.connect();
  product.signal("SIGTERM");
  expect(await client.closed).toEqual({ code: 1012, reason: "service restart" });
  expect(await product.gone).toBe(0);
  expect(await processesWith(product.stateDir)).toEqual([]);
});

test.runIf(hasSandbox)("Ctrl-C under npm start lets a running answer end its command", async () => {
  await using product = await startFresh({ npm: true });
  const client = await product.connect();
  await send(client, "run `sleep 1; echo awake`", "r1");
  await client.find(({ event, payload }) => event === "agent" && payload.stream === "tool");
  product.interrupt();
  const { payload } = await client.find(isEnd);
  expect(JSON.stringify(payload)).toContain("awake");
  expect(await product.gone).toBe(0);
});

test("REL-42: a port that is taken is named, and nothing is left behind", async () => {
  await using state = await tempState();
  const squatter = createServer().listen(0, "127.0.0.1");
  try {
    await expect.poll(() => squatter.listening).toBe(true);
    const { port } = squatter.address() as AddressInfo;
    const { code, stdout, stderr } = await rclaw(state.dir, ["gateway", "--port", String(port), "--json"]);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toMatch(
      new RegExp(`^rclaw: port ${port} on \\S+ is taken by another program; .* \\[PORT_IN_USE\\]\\n$`),
    );
    await expect(stat(path.join(state.dir, "gateway.lock"))).rejects.toThrow("ENOENT");
  } finally {
    await new Promise((resolve) => squatter.close(resolve));
  }
  await using product = await startProduct({ stateDir: state.dir });
  expect(await product.stop()).toBe(0);
});

test("two gateways do not share a state folder, not even when both start at once", async () => {
  await using product = await startFresh();
  const second = await rclaw(product.stateDir, ["gateway", "--port", "0", "--json"]);
  expect(second).toMatchObject({ code: 1, stdout: "" });
  expect(second.stderr).toContain(
    `a gateway (pid ${product.pid}) already runs on ${product.stateDir} at ${product.url}`,
  );
  expect(second.stderr).toMatch(/\[GATEWAY_LOCKED\]\n$/);
  expect((await ask(await product.connect(), "health")).ok).toBe(true);
  await product.kill();

  const race = await Promise.allSettled([1, 2, 3].map(() => startProduct({ stateDir: product.stateDir })));
  const winners = race.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  try {
    expect(winners).toHaveLength(1);
    for (const result of race)
      if (result.status === "rejected") expect(String(result.reason)).toContain("GATEWAY_LOCKED");
  } finally {
    for (const winner of winners) await winner[Symbol.asyncDispose]();
  }
});

test("the program says what is wrong with its arguments and does not start", async () => {
  await using state = await tempState();
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["gateway", "--port", "70000"], 2, /--port wants a number from 0 to 65535, not "70000"/],
    [["gateway", "--port", "0", "now"], 2, /unexpected "now"/],
    [["gatewy"], 2, /there is no command "gatewy"; did you mean "gateway"\?/],
    [["gateway", "--prot", "1"], 2, /--prot/],
  ];
  for (const [args, code, message] of cases) {
    const result = await rclaw(state.dir, args, { env: { RUSTY_CLAW_GATEWAY_TOKEN: token } });
    expect(result, args.join(" ")).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/\bat .*:\d+:\d+/);
  }
});

// These two wait for the ten seconds that running answers get; together, so that they wait once.

test.concurrent("an answer that takes longer than the gateway waits goes on after the restart", async () => {
  await using state = await tempState();
  const { config, env } = model.anthropic();
  await using product = await startProduct({ stateDir: state.dir, config, env });
  const client = await product.connect();
  await send(client, "endless", "r1");
  await client.find(isPiece);
  const since = Date.now();
  expect(await product.stop()).toBe(0);
  expect(Date.now() - since).toBeGreaterThan(8_000);
  expect(Date.now() - since).toBeLessThan(14_000);
  expect(client.frames.filter(isEnd)).toEqual([]);

  await using again = await startProduct({ stateDir: state.dir, env });
  const next = await again.connect();
  await next.find((frame) => isPiece(frame) && frame.payload.runId === "r1");
  await ask(next, "chat.abort", { sessionKey: "main" });
  const { messages } = await ask(next, "chat.history", { sessionKey: "main" });
  expect(messages.filter(({ role }: { role: string }) => role === "user")).toHaveLength(1);
  expect(await again.stop()).toBe(0);
});

test
  .runIf(hasSandbox)
  .concurrent("a command that runs on is ended with the gateway, and its child as well", async () => {
    await using product = await startFresh(model.anthropic());
    const client = await product.connect();
    await send(client, "run a long command", "r1");
    const sleeping = (): Promise<readonly number[]> => processesWith(`86400.${process.pid}`);
    await expect.poll(sleeping, poll).not.toEqual([]);
    expect(await product.stop()).toBe(0);
    await expect.poll(sleeping, poll).toEqual([]);
  });

test("a configuration without a token gets one at the start, beside what its author wrote", async () => {
  await using state = await tempState();
  const file = path.join(state.dir, "config.json");
  await writeFile(file, '{\n  // Mine.\n  logging: { level: "warn" },\n}\n', { mode: 0o600 });
  const env = { RUSTY_CLAW_GATEWAY_TOKEN: "" };
  await using product = await startProduct({ stateDir: state.dir, env });
  const text = await state.read("config.json");
  expect(text).toContain("// Mine.");
  const written = /token: "([\w-]{43})"/.exec(text.replaceAll('"token"', "token"))?.[1];
  expect(written).toBeDefined();
  const client = await product.connect({ token: written ?? "" });
  expect(await ask(client, "health")).toMatchObject({ ok: true });
  const status = await rclaw(state.dir, ["status", "--json"], { env });
  expect([status.code, status.stderr]).toEqual([0, ""]);
});
