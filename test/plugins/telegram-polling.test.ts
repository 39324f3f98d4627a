import { RclawError } from "@rclaw/plugin-sdk";
import { describe, expect, test, vi } from "vitest";
import { botUsername } from "../support/crabline.ts";
import { fakeApi, never, quiet, setUp, textUpdate, withPeer } from "./telegram-setup.ts";

describe("polling", () => {
  test("receives, shows typing and answers", async () => {
    const bot = await withPeer();
    await bot.start();
    await bot.peer.say({ chatId: 42, fromId: 42, text: "hello" });
    await vi.waitFor(() => expect(bot.received).toHaveLength(1));
    expect(bot.received[0]).toMatchObject({
      accountId: "default",
      chatType: "direct",
      peerId: "42",
      sender: { id: "42", name: "QA User" },
      text: "hello",
    });
    await bot.channel.typing!({ accountId: "default", to: "42" }, never);
    const { id } = await bot.send({ text: "**Hi** there", replyTo: bot.received[0]!.messageId! });
    expect(Number(id)).toBeGreaterThan(0);
    expect((await bot.peer.calls("sendChatAction"))[0]).toMatchObject({ chat_id: "42", action: "typing" });
    expect((await bot.peer.calls("sendMessage"))[0]).toMatchObject({
      chat_id: "42",
      text: "<b>Hi</b> there",
      parse_mode: "HTML",
      reply_parameters: {
        message_id: Number(bot.received[0]!.messageId),
        allow_sending_without_reply: true,
      },
    });
    expect(await bot.status(true)).toEqual([
      {
        accountId: "default",
        enabled: true,
        configured: true,
        running: true,
        connected: true,
        mode: "polling",
        lastStartAt: expect.any(Number) as number,
        lastInboundAt: expect.any(Number) as number,
        lastOutboundAt: expect.any(Number) as number,
        probe: { ok: true, name: botUsername },
      },
    ]);
    await bot.stop();
    await vi.waitFor(async () =>
      expect(await bot.status()).toMatchObject([{ running: false, connected: false }]),
    );
  });

  test("tells group messages with and without a mention apart, and topics", async () => {
    const bot = await withPeer();
    await bot.start();
    const group = { chatId: -1001234567890, chatType: "supergroup", fromId: 42 };
    await bot.peer.say({ ...group, text: "just talk" });
    await bot.peer.say({
      ...group,
      text: `@${botUsername} hi`,
      entities: [{ type: "mention", offset: 0, length: botUsername.length + 1 }],
    });
    await bot.peer.say({ ...group, isForum: true, text: "in general" });
    await vi.waitFor(() => expect(bot.received).toHaveLength(3));
    expect(bot.received.map(({ chatType, mentioned, threadId }) => [chatType, mentioned, threadId])).toEqual([
      ["group", false, undefined],
      ["group", true, undefined],
      ["group", false, "1"],
    ]);
    await bot.send({ to: "-1001234567890", threadId: "1", text: "general" });
    await bot.send({ to: "-1001234567890", threadId: "7", text: "topic" });
    const [general, topic] = await bot.peer.calls("sendMessage");
    expect(general).not.toHaveProperty("message_thread_id");
    expect(topic).toMatchObject({ message_thread_id: 7 });
  });

  test("REL-19: an update is confirmed only once it is durable, and a restart neither loses nor repeats", async () => {
    const bot = await withPeer();
    let release: () => void = () => undefined;
    const seen: string[] = [];
    await bot.start(async ({ text }) => {
      seen.push(text);
      await new Promise<void>((done) => (release = done));
    });
    const { update_id: first } = await bot.peer.say({ chatId: 42, text: "one" });
    await vi.waitFor(() => expect(seen).toEqual(["one"]));
    // Killed before the message was durable: Telegram still has it.
    await bot.stop();
    expect((await bot.peer.calls("getUpdates")).some(({ offset }) => Number(offset) > first)).toBe(false);
    const again: string[] = [];
    await bot.start(async ({ text }) => void again.push(text));
    await vi.waitFor(() => expect(again).toEqual(["one"]));
    await vi.waitFor(async () =>
      expect(await bot.context.context.storage.get("offset:default")).toMatchObject({
        botId: 424242,
        offset: first + 1,
      }),
    );
    await bot.stop();
    release();
    const last: string[] = [];
    await bot.peer.say({ chatId: 42, text: "two" });
    await bot.start(async ({ text }) => void last.push(text));
    await vi.waitFor(() => expect(last).toEqual(["two"]));
    await vi.waitFor(async () =>
      expect(await bot.context.context.storage.get("offset:default")).toMatchObject({ offset: first + 2 }),
    );
    expect(again).toEqual(["one"]);
  });

  test("a redelivered update carries the same id", async () => {
    const api = await fakeApi((method, _body, count) =>
      method === "getUpdates" && count <= 3 ? { result: [textUpdate(9, "again")] } : quiet(method),
    );
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(() => expect(bot.received).toHaveLength(3));
    expect(new Set(bot.received.map(({ id }) => id))).toEqual(new Set(["42:9"]));
  });

  test("REL-20, REL-21: a poison message is given up after five tries; its chat goes on in order and other chats never wait", async () => {
    const api = await fakeApi((method, _body, count) =>
      method === "getUpdates" && count === 1
        ? { result: [textUpdate(1, "poison"), textUpdate(2, "after"), textUpdate(3, "other", 43)] }
        : quiet(method),
    );
    const bot = await setUp(api);
    const order: string[] = [];
    await bot.start(async ({ text }) => {
      order.push(text);
      if (text === "poison") throw new Error("cannot");
    });
    await vi.waitFor(() => expect(order).toContain("after"));
    expect(order.filter((text) => text === "poison")).toHaveLength(5);
    expect(order.indexOf("other")).toBeLessThan(2);
    expect(order.at(-1)).toBe("after");
    expect(bot.context.logs.join("\n")).toMatch(
      /error telegram: a message was given up after 5 tries .*42:1/,
    );
    await vi.waitFor(() => expect(api.calls.at(-1)).toMatchObject(["getUpdates", { offset: 4 }]));
  });

  test("an update that makes no sense is skipped; what stands behind it is not held up", async () => {
    const odd = [{}, { message: null }, { message: {} }, { message: { chat: {}, from: {}, text: 5 } }];
    const updates = [...odd.map((fields, i) => ({ update_id: i + 1, ...fields })), textUpdate(9, "after")];
    const api = await fakeApi((method, _body, count) =>
      method === "getUpdates" && count === 1 ? { result: updates } : quiet(method),
    );
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(() => expect(bot.received.map(({ text }) => text)).toEqual(["after"]));
    await vi.waitFor(() => expect(api.calls.at(-1)).toMatchObject(["getUpdates", { offset: 10 }]));
  });

  test("an album is one message, also when its pictures come one by one", async () => {
    const picture = (id: number, more: object = {}): object => {
      const { update_id, message } = textUpdate(id, "") as { update_id: number; message: object };
      return {
        update_id,
        message: { ...message, text: undefined, photo: [{}], media_group_id: "a", ...more },
      };
    };
    const album = [picture(1), picture(2, { caption: "look" }), picture(3)];
    const api = await fakeApi((method, _body, count) => {
      if (method !== "getUpdates") return quiet(method);
      if (count <= 3) return { result: album.slice(0, count) };
      return count === 4 ? { result: album } : "hang";
    });
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(() =>
      expect(bot.received).toMatchObject([
        { id: "42:1", text: "<media:image>\n<media:image>\nlook\n<media:image>" },
      ]),
    );
    await vi.waitFor(() => expect(api.calls.at(-1)).toMatchObject(["getUpdates", { offset: 4 }]));
  });

  test("a server that answers with no list of updates is asked less and less often", async () => {
    const api = await fakeApi((method, _body, count) =>
      method !== "getUpdates" || count > 3 ? quiet(method) : { result: count === 1 ? null : [null] },
    );
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(async () =>
      expect(await bot.status()).toMatchObject([
        { connected: false, lastError: expect.stringContaining("no update") as string },
      ]),
    );
    await vi.waitFor(() => expect(api.calls.filter(([method]) => method === "getUpdates")).toHaveLength(4));
    expect(bot.context.logs.filter((line) => line.includes("trouble with an account"))).toHaveLength(1);
  });

  test("a store that is down is waited for, however long", async () => {
    const bot = await withPeer();
    let tries = 0;
    await bot.start(async (message) => {
      if (++tries < 12) throw new RclawError("STORE_DEGRADED", "disk full");
      bot.received.push(message);
    });
    await bot.peer.say({ chatId: 42, text: "keep me" });
    await vi.waitFor(() => expect(bot.received).toHaveLength(1), { timeout: 5_000 });
  });

  test("a conflict is told in the status and passes", async () => {
    let conflict = true;
    const api = await fakeApi((method) => {
      if (method !== "getUpdates") return quiet(method);
      return conflict
        ? { status: 409, description: "Conflict: terminated by other getUpdates request" }
        : { result: [] };
    });
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(async () =>
      expect(await bot.status()).toMatchObject([
        {
          running: true,
          connected: false,
          lastError: expect.stringContaining("another program polls") as string,
        },
      ]),
    );
    conflict = false;
    await vi.waitFor(async () => expect(await bot.status()).toMatchObject([{ connected: true }]));
    expect((await bot.status())[0]).not.toHaveProperty("lastError");
  });

  test("a refused token ends the account with a reason, at the start and later", async () => {
    const refused = { status: 401, description: "Unauthorized" };
    const dead = await setUp(await fakeApi(() => refused));
    await expect(dead.start()).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    expect(await dead.status()).toMatchObject([
      { running: false, lastError: expect.stringContaining("does not accept the bot token") as string },
    ]);
    const revoked = await setUp(
      await fakeApi((method) => (method === "getUpdates" ? refused : quiet(method))),
    );
    await revoked.start();
    await vi.waitFor(async () =>
      expect(await revoked.status()).toMatchObject([
        { running: false, connected: false, lastError: expect.stringContaining("does not accept") as string },
      ]),
    );
  });

  test("network faults are told and survived, from the first call on", async () => {
    const faults = [
      "reset",
      { status: 502, description: "Bad Gateway" },
      "junk",
      { status: 429, description: "Too Many Requests", parameters: { retry_after: 0 } },
    ] as const;
    const api = await fakeApi((method, _body, count) => {
      if (method === "getMe" && count <= 2) return "reset";
      if (method === "getUpdates")
        return (
          faults[count - 1] ?? (count === faults.length + 1 ? { result: [textUpdate(1, "made it")] } : "hang")
        );
      return quiet(method);
    });
    const bot = await setUp(api);
    await bot.start();
    expect(await bot.status()).toMatchObject([
      { running: true, connected: false, lastError: expect.any(String) as string },
    ]);
    await vi.waitFor(() => expect(bot.received).toHaveLength(1));
  });

  test("after a failure the status is right again at once, not only when the next long poll ends", async () => {
    const api = await fakeApi((method, body, count) => {
      if (method !== "getUpdates") return quiet(method);
      if (count === 1) return { status: 502, description: "Bad Gateway" };
      return body["timeout"] === 0 ? { result: [] } : "hang";
    });
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(() =>
      expect(
        api.calls.filter(([method]) => method === "getUpdates").map(([, { timeout }]) => timeout),
      ).toEqual([1, 0, 1]),
    );
    expect(await bot.status()).toMatchObject([{ connected: true }]);
  });

  test("a poll that never answers is given up and made anew", async () => {
    const api = await fakeApi((method, _body, count) =>
      method === "getUpdates" && count === 2 ? { result: [textUpdate(1, "awake")] } : quiet(method),
    );
    const bot = await setUp(api);
    await bot.start();
    await vi.waitFor(
      async () =>
        expect(await bot.status()).toMatchObject([
          { connected: false, lastError: expect.stringContaining("no answer for 1400 ms") as string },
        ]),
      { timeout: 4_000 },
    );
    await vi.waitFor(() => expect(bot.received).toHaveLength(1));
  });

  test("an offset of another bot or from last week is not used", async () => {
    let clock = 1_000_000_000_000;
    for (const [stored, expected] of [
      [{ botId: 123456, offset: 50, at: clock - 1_000 }, 50],
      [{ botId: 1, offset: 50, at: clock - 1_000 }, undefined],
      [{ botId: 123456, offset: 50, at: clock - 90_000_000 }, undefined],
      ["junk", undefined],
    ] as const) {
      // One each: a poll that was on its way when a bot stopped would be taken for the next one's.
      const api = await fakeApi((method, _body, count) =>
        method === "getUpdates" && count === 1 ? { result: [] } : quiet(method),
      );
      const bot = await setUp(api, {}, {}, () => clock++);
      await bot.context.context.storage.set("offset:default", stored);
      await bot.start();
      await vi.waitFor(() => expect(api.calls.some(([method]) => method === "getUpdates")).toBe(true));
      expect(api.calls.find(([method]) => method === "getUpdates")![1]["offset"]).toBe(expected);
      await bot.stop();
    }
  });
});
