import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { RclawError } from "@rclaw/plugin-sdk";
import { describe, expect, test, vi } from "vitest";
import type { TelegramConfig } from "../../plugins/channels/telegram/config.ts";
import { startTelegramPeer } from "../support/crabline.ts";
import { closers, fakeApi, never, quiet, type Running, setUp, textUpdate } from "./telegram-setup.ts";

describe("webhook", () => {
  const secret = "s3cret_-Token";
  const post = (
    bot: Running,
    body: unknown,
    headers: Record<string, string> = { "x-telegram-bot-api-secret-token": secret },
  ) =>
    bot.route.handle(
      {
        method: "POST",
        path: "/telegram-webhook",
        query: {},
        headers,
        body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
      },
      never,
    );
  const withHook = async (config: Partial<TelegramConfig> = {}): Promise<Running> => {
    const bot = await setUp(await fakeApi(quiet), {
      webhookUrl: "https://gateway.example.org/telegram-webhook",
      webhookSecret: secret,
      ...config,
    });
    await bot.start();
    return bot;
  };

  test("Telegram delivers over real HTTP, once", async () => {
    const peer = await startTelegramPeer();
    closers.push(() => peer[Symbol.asyncDispose]());
    let bot: Running | undefined;
    const server = http.createServer((request, response) => {
      void (async () => {
        const pieces: Buffer[] = [];
        for await (const piece of request) pieces.push(piece as Buffer);
        const headers = Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
        );
        const answer = await bot!.route.handle(
          { method: "POST", path: request.url!, query: {}, headers, body: Buffer.concat(pieces) },
          never,
        );
        response.writeHead(answer.status, answer.headers).end(answer.body);
      })();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    });
    const { port } = server.address() as AddressInfo;
    bot = await setUp(peer, {
      webhookUrl: `http://127.0.0.1:${port}/telegram-webhook`,
      webhookSecret: secret,
    });
    await bot.start();
    await peer.say({ chatId: 42, text: "by webhook" });
    await vi.waitFor(() => expect(bot?.received.map(({ text }) => text)).toEqual(["by webhook"]));
    expect(await bot.status()).toMatchObject([{ mode: "webhook", connected: true }]);
    expect(await peer.recorded()).not.toContain(secret);
  });

  test("SEC-057: nothing without the exact secret", async () => {
    const bot = await withHook();
    const name = "x-telegram-bot-api-secret-token";
    const wrong: Record<string, string>[] = [
      {},
      { [name]: "" },
      { [name]: "s3cret" },
      { [name]: `${secret}x` },
      { [name]: secret.toLowerCase() },
      { [name]: "x".repeat(100_000) },
      { authorization: `Bearer ${secret}` },
    ];
    for (const headers of wrong) {
      expect((await post(bot, textUpdate(1, "x"), headers)).status).toBe(401);
      expect((await post(bot, "", headers)).status).toBe(401);
      expect((await post(bot, "{", headers)).status).toBe(401);
    }
    expect(bot.received).toEqual([]);
    expect((await post(bot, textUpdate(1, "x"))).status).toBe(200);
    expect(bot.received).toHaveLength(1);
  });

  test("SEC-058: without a secret the account refuses to start", async () => {
    for (const webhookSecret of ["", "not allowed!", "x".repeat(257)]) {
      const bot = await setUp(await fakeApi(quiet), {
        webhookUrl: "https://gateway.example.org/telegram-webhook",
        ...(webhookSecret && { webhookSecret }),
      });
      await expect(bot.start()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
      expect(
        (await post(bot, textUpdate(1, "x"), { "x-telegram-bot-api-secret-token": webhookSecret })).status,
      ).toBe(401);
      expect(await bot.status()).toMatchObject([
        { running: false, lastError: expect.stringContaining("webhookSecret") as string },
      ]);
    }
  });

  test("SEC-059: a repeated update has one effect, also while the first is under way", async () => {
    const bot = await withHook();
    const answers = await Promise.all([1, 2, 3].map(() => post(bot, textUpdate(5, "once"))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    await post(bot, textUpdate(5, "once"));
    expect(bot.received).toHaveLength(1);
  });

  test("SEC-060: at most 64 KiB are read", async () => {
    const bot = await withHook();
    expect(bot.route.bodyLimit).toBe(65_536);
    expect((await post(bot, `{"update_id":1,"x":"${"y".repeat(70_000)}"}`)).status).toBe(413);
    expect((await post(bot, "not json")).status).toBe(400);
    expect((await post(bot, { nothing: 1 })).status).toBe(400);
  });

  test("SEC-061: guessing is slowed down, and never locks Telegram out", async () => {
    const bot = await withHook();
    const statuses: number[] = [];
    for (let i = 0; i < 1_000; i++)
      statuses.push((await post(bot, "x", { "x-telegram-bot-api-secret-token": `guess${i}` })).status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(30);
    expect(statuses.filter((status) => status === 429)).toHaveLength(970);
    expect((await post(bot, "x", {})).headers).toEqual({ "retry-after": "60" });
    expect((await post(bot, textUpdate(1, "still here"))).status).toBe(200);
  });

  test("SEC-062: two accounts share the path but never the secret", async () => {
    const two = {
      accounts: {
        b: {
          botToken: "222222:b-token",
          webhookUrl: "https://gateway.example.org/telegram-webhook",
          webhookSecret: "other_secret",
        },
      },
    };
    const bot = await withHook(two);
    await post(bot, textUpdate(1, "for default"));
    await post(bot, textUpdate(1, "for b"), { "x-telegram-bot-api-secret-token": "other_secret" });
    expect(bot.received.map(({ accountId, text }) => [accountId, text])).toEqual([
      ["default", "for default"],
      ["b", "for b"],
    ]);
    const same = { accounts: { b: { ...two.accounts.b, webhookSecret: secret } } };
    await expect(withHook(same)).rejects.toThrow("have the same webhookSecret");
  });

  test("a message that could not be stored is asked for again; poison is given up after five", async () => {
    const bot = await setUp(await fakeApi(quiet), {
      webhookUrl: "https://gateway.example.org/telegram-webhook",
      webhookSecret: secret,
    });
    let problem: Error | undefined = new RclawError("STORE_DEGRADED", "disk full");
    await bot.start(async (message) => {
      if (problem) throw problem;
      bot.received.push(message);
    });
    for (let i = 0; i < 7; i++) expect((await post(bot, textUpdate(1, "keep"))).status).toBe(503);
    problem = undefined;
    expect((await post(bot, textUpdate(1, "keep"))).status).toBe(200);
    expect(bot.received).toHaveLength(1);
    problem = new Error("poison");
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await post(bot, textUpdate(2, "bad"))).status);
    expect(statuses).toEqual([503, 503, 503, 503, 200, 200]);
  });

  test("a stopped account takes nothing", async () => {
    const bot = await withHook();
    await bot.stop();
    expect((await post(bot, textUpdate(1, "x"))).status).toBe(401);
  });
});
