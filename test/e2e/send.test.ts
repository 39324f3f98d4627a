import { beforeAll, expect, test } from "vitest";
import { startTelegramPeer, type TelegramPeer } from "../support/crabline.ts";
import { ask, type Product, say, startProduct, type TempState, tempState } from "../support/product.ts";

let state: TempState;
let telegram: TelegramPeer;
let product: Product;

async function start(): Promise<void> {
  product = await startProduct({
    stateDir: state.dir,
    env: { TEST_BOT_TOKEN: telegram.token },
    config: { channels: { telegram: { botToken: "${TEST_BOT_TOKEN}", apiRoot: telegram.apiRoot } } },
  });
}

beforeAll(async () => {
  state = await tempState();
  telegram = await startTelegramPeer();
  await start();
});

const message = { to: "4201", message: "The **kettle** is on.", idempotencyKey: "send-1" };

test("a message goes out once, however often it is asked for, by whichever connection, and after a restart", async () => {
  const client = await product.connect();
  const answers = await Promise.all([ask(client, "send", message), ask(client, "send", message)]);
  const [first] = answers;
  expect(first).toEqual({
    runId: "send-1",
    messageId: expect.stringMatching(/^\d+$/),
    channel: "telegram",
    chatId: "4201",
  });
  expect(answers[1]).toEqual(first);
  await client.close();
  const again = await product.connect({ scopes: ["operator.write"] });
  expect(await ask(again, "send", message)).toEqual(first);
  expect(await telegram.sent()).toHaveLength(1);

  await product.kill();
  await start();
  expect(await ask(await product.connect(), "send", message)).toEqual(first);
  expect(await telegram.sent()).toHaveLength(1);
});

test("SEC-043: the key belongs to what it was used for, and who may only read sends nothing", async () => {
  const client = await product.connect();
  expect((await client.request("send", { ...message, to: "4202" })).error).toMatchObject({
    code: "INVALID_REQUEST",
    message: expect.stringContaining("send-1"),
  });
  const reader = await product.connect({ scopes: ["operator.read"] });
  for (const method of ["send", "poll", "message.action"])
    expect((await reader.request(method, message)).error).toMatchObject({
      code: "INVALID_REQUEST",
      message: "missing scope: operator.write",
    });
  expect(await telegram.sent()).toHaveLength(1);
});

test("what was sent stands in the conversation that it belongs to", async () => {
  const client = await product.connect();
  await say(client, "hello", { sessionKey: "agent:main:kitchen" });
  await ask(client, "send", {
    to: "telegram:4201",
    message: "Tea is ready.",
    sessionKey: "kitchen",
    idempotencyKey: "send-2",
  });
  const { messages } = await ask(client, "chat.history", { sessionKey: "agent:main:kitchen" });
  expect(messages.at(-1)).toMatchObject({
    role: "assistant",
    content: [{ type: "text", text: "Tea is ready." }],
  });
  expect(await telegram.calls("sendMessage")).toMatchObject([{}, { chat_id: expect.anything() }]);
});

test("a platform that refuses is an answer that stays", async () => {
  const client = await product.connect();
  const bad = { ...message, to: "not a chat", idempotencyKey: "send-3" };
  const { error } = await client.request("send", bad);
  expect(error).toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/^Error: /) });
  expect((await client.request("send", bad)).error).toEqual(error);
});

test("polls and actions are refused in OpenClaw's words", async () => {
  const client = await product.connect();
  const poll = { to: "4201", question: "q", options: ["a", "b"], idempotencyKey: "p1" };
  expect((await client.request("poll", poll)).error).toEqual({
    code: "INVALID_REQUEST",
    message: "unsupported poll channel: telegram",
  });
  expect((await client.request("poll", { ...poll, options: ["a"] })).error?.message).toMatch(
    /^invalid poll params: at \/options: must NOT have fewer than 2 items/,
  );
  const elsewhere = { ...message, channel: "signal", idempotencyKey: "send-4" };
  expect((await client.request("send", elsewhere)).error).toEqual({
    code: "INVALID_REQUEST",
    message: "unsupported channel: signal",
  });
  const action = { channel: "telegram", action: "react", params: {}, idempotencyKey: "a1" };
  expect((await client.request("message.action", action)).error?.message).toBe(
    "Channel telegram does not support action react.",
  );
});

test("a stopped channel hears nobody until it is started; a restart of the gateway starts it too", async () => {
  const client = await product.connect();
  expect(await ask(client, "channels.stop", { channel: "telegram" })).toEqual({
    channel: "telegram",
    accountId: "default",
    stopped: true,
  });
  const shown = await ask(client, "channels.status");
  expect(shown.channelAccounts.telegram[0]).toMatchObject({ running: false, configured: true });
  const update = await telegram.say({
    chatId: 4_201,
    fromId: 4_201,
    fromName: "Ada",
    text: "anybody there?",
  });
  expect(await ask(client, "channels.start", { channel: "telegram" })).toMatchObject({ started: true });
  await telegram.confirmed(update);
  expect((await ask(client, "channels.status")).channelAccounts.telegram[0]).toMatchObject({ running: true });
});
