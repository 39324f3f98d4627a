import type { Channel, OutboundMessage } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import messages from "../../../plugins/services/messages/index.ts";

const account = (accountId: string, fields: object = {}) => ({
  accountId,
  enabled: true,
  configured: true,
  ...fields,
});

async function setUp(accounts: Readonly<Record<string, readonly object[]>>) {
  const sent: (OutboundMessage & { channel: string })[] = [];
  const ids = Object.keys(accounts);
  const channels = ids.map((channel): Channel => ({
    id: channel,
    label: channel.toUpperCase(),
    textLimit: 4_000,
    start: async () => undefined,
    accounts: async () => [],
    send: async (message) => ({ id: String(sent.push({ channel, ...message })) }),
  }));
  const status = {
    channelOrder: ids,
    channelLabels: Object.fromEntries(ids.map((id) => [id, id.toUpperCase()])),
    channelAccounts: accounts,
    channelDefaultAccountId: Object.fromEntries(ids.map((id) => [id, "default"])),
  };
  const test = createTestContext({ channels, methods: { "channels.status": () => status } });
  await test.activate(messages);
  let keys = 0;
  const send = (params: object, method = "send") =>
    test.call(method, { to: "42", message: "hi", idempotencyKey: `k${++keys}`, ...params });
  return { ...test, sent, send };
}

test("without a channel nothing can be sent, and the answer is the recorded one", async () => {
  const { send } = await setUp({});
  const none = "Error: Channel is required (no configured channels detected).";
  await expect(send({})).rejects.toMatchObject({ code: "INVALID_REQUEST", message: none });
  await expect(send({ question: "q", options: ["a", "b"] }, "poll")).rejects.toThrow(none);
  await expect(send({ channel: "Telegram" })).rejects.toThrow("unsupported channel: Telegram");
  await expect(send({ channel: "telegram" }, "poll")).rejects.toThrow("unsupported poll channel: telegram");
  await expect(send({ message: " ", mediaUrls: [" "] })).rejects.toThrow(
    "invalid send params: text or media is required",
  );
  await expect(send({ channel: "webchat" })).rejects.toThrow("unsupported channel: webchat (internal-only).");
});

test("one configured channel is the default; among several the client must choose", async () => {
  const off = account("default", { enabled: false });
  const { send, sent } = await setUp({ matrix: [account("default")], telegram: [off] });
  expect(await send({ threadId: "7", replyToId: "8" })).toEqual({
    runId: "k1",
    messageId: "1",
    channel: "matrix",
    chatId: "42",
  });
  expect(sent[0]).toEqual({
    channel: "matrix",
    accountId: "default",
    to: "42",
    text: "hi",
    threadId: "7",
    replyTo: "8",
  });
  const two = await setUp({ matrix: [account("default")], telegram: [account("default"), account("Work")] });
  await expect(two.send({})).rejects.toThrow(
    "Error: Channel is required when multiple channels are configured: matrix, telegram",
  );
  await two.send({ channel: " Telegram ", to: "telegram: 43", accountId: "work" });
  expect(two.sent).toEqual([{ channel: "telegram", accountId: "Work", to: "43", text: "hi" }]);
  await expect(two.send({ channel: "matrix", accountId: "work" })).rejects.toThrow(
    'Error: Unknown account "work" for channel matrix.',
  );
  await expect(two.send({ channel: "telegram", to: "telegram:" })).rejects.toThrow(
    "Error: Delivering to TELEGRAM requires target",
  );
});

test("addresses on the web go along as text; files of this machine do not leave it", async () => {
  const { send, sent } = await setUp({ telegram: [account("default")] });
  const photo = "https://example.org/a.png";
  await send({ mediaUrl: photo, mediaUrls: [photo, "http://example.org/b.png"] });
  expect(sent[0]?.text).toBe(`hi\n${photo}\nhttp://example.org/b.png`);
  for (const mediaUrl of [
    "/etc/passwd",
    "file:///etc/passwd",
    "data:image/png;base64,AA",
    "~/x",
    "javascript:1",
  ])
    await expect(send({ mediaUrl })).rejects.toThrow(/channels carry text only/);
  await expect(send({ buffer: "AA==" })).rejects.toThrow(/channels carry text only/);
  expect(sent).toHaveLength(1);
});

test("the command line of 2026.9 sends with message.action, and it is the same as send", async () => {
  const { send, sent } = await setUp({ telegram: [account("default"), account("work")] });
  // The literal frame of `openclaw message send --channel telegram --target 777 --message "hi Zoe"`.
  const frame = {
    channel: "telegram",
    action: "send",
    params: {
      pin: false,
      gifPlayback: false,
      forceDocument: false,
      silent: false,
      json: false,
      dryRun: false,
      verbose: false,
      channel: "telegram",
      target: "777",
      message: "hi Zoe",
      action: "send",
      to: "telegram:777",
      __sessionKey: "agent:main:main",
      __agentId: "main",
    },
    senderIsOwner: true,
    agentId: "main",
    conversationReadOrigin: "direct-operator",
    idempotencyKey: "fe1c6175-4cea-4e90-ae74-bf185711524b",
  };
  const answer = { runId: frame.idempotencyKey, messageId: "1", channel: "telegram", chatId: "777" };
  expect(await send(frame, "message.action")).toEqual(answer);
  expect(await send(frame, "message.action")).toEqual(answer);
  expect(sent).toEqual([{ channel: "telegram", accountId: "default", to: "777", text: "hi Zoe" }]);

  const more = {
    to: "8",
    media: "https://example.org/a.png",
    accountId: "work",
    replyTo: "5",
    threadId: "6",
  };
  await send({ ...frame, idempotencyKey: "k-2", params: more }, "message.action");
  expect(sent[1]).toMatchObject({
    accountId: "work",
    text: "https://example.org/a.png",
    replyTo: "5",
    threadId: "6",
  });
  const refused = (params: object) =>
    expect(send({ ...frame, idempotencyKey: "k-3", params }, "message.action")).rejects;
  await refused({ message: "hi" }).toThrow("Delivering to TELEGRAM requires target");
  await refused({ to: "8" }).toThrow("text or media is required");
  await refused({ to: "8", message: "x".repeat(200_001) }).toThrow("at most 200000 characters");
});

test("no channel has polls or actions, and none is pretended", async () => {
  const { send } = await setUp({ telegram: [account("default")] });
  const poll = (fields: object) => send({ question: "q", options: ["a", "b"], ...fields }, "poll");
  await expect(poll({ isAnonymous: true })).rejects.toThrow("unsupported poll channel: telegram");
  await expect(send({ channel: "telegram", action: "react", params: {} }, "message.action")).rejects.toThrow(
    "Channel telegram does not support action react.",
  );
});

test("what is sent into a conversation is noted there, when it exists, and does not wait for a run", async () => {
  const { send, sent, state } = await setUp({ telegram: [account("default")] });
  await send({ sessionKey: "agent:main:nobody" });
  expect(await state.sessions.find("agent:main:nobody")).toBeUndefined();
  await (await state.sessions.open("agent:main:x", AbortSignal.timeout(1_000)))[Symbol.asyncDispose]();
  await send({ sessionKey: "agent:main:x", message: "remember the milk" });
  expect(state.transcript("agent:main:x").at(-1)).toMatchObject({
    type: "message",
    message: {
      role: "assistant",
      content: [{ type: "text", text: "remember the milk" }],
      provider: "openclaw",
      model: "delivery-mirror",
      stopReason: "stop",
    },
  });
  {
    await using held = await state.sessions.open("agent:main:x", AbortSignal.timeout(5_000));
    expect(await send({ sessionKey: "agent:main:x", message: "meanwhile" })).toHaveProperty("messageId");
    expect(await held.tail(9)).toHaveLength(1);
  }
  await expect.poll(() => state.transcript("agent:main:x")).toHaveLength(2);
  await send({ sessionKey: "agent:" });
  expect(sent).toHaveLength(4);
});
