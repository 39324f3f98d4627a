import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { describe, expect, test } from "vitest";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import type { TelegramConfig } from "../../plugins/channels/telegram/config.ts";
import { telegram } from "../../plugins/channels/telegram/index.ts";
import {
  closers,
  egress,
  fakeApi,
  manifest,
  never,
  quiet,
  setUp,
  timing,
  withPeer,
} from "./telegram-setup.ts";

describe("the manifest", () => {
  test("takes OpenClaw's configuration and names mistakes", () => {
    const check = compile(manifest.configSchema!);
    const openclaw = {
      enabled: true,
      botToken: "${TELEGRAM_BOT_TOKEN}",
      dmPolicy: "pairing",
      allowFrom: ["1"],
      groupPolicy: "allowlist",
      groupAllowFrom: ["1"],
      groups: {
        "*": { requireMention: true },
        "-1001": {
          requireMention: false,
          systemPrompt: "Be brief.",
          tools: { deny: ["exec"] },
          topics: { "99": { skills: [] } },
        },
      },
      customCommands: [],
      streamMode: "partial",
      replyToMode: "first",
      historyLimit: 50,
      textChunkLimit: 4e3,
      linkPreview: true,
      actions: {},
      capabilities: { inlineButtons: "allowlist" },
      retry: { attempts: 3 },
      network: { autoSelectFamily: false },
      accounts: {
        alerts: {
          name: "Alerts bot",
          botToken: "123456:ALERTS",
          dmPolicy: "allowlist",
          allowFrom: ["1"],
        },
      },
    };
    expect(check.issues(openclaw)).toEqual([]);
    expect(
      check.issues({
        botToken: "1:a",
        groups: { "-1": { topics: { "2": { requireMention: false } } } },
        accounts: { b: { allowFrom: [1, "2"] } },
      }),
    ).toEqual([]);
    expect(check.valid({ dmPolcy: "open" })).toBe(false);
    expect(check.valid({ dmPolicy: "everybody" })).toBe(false);
  });
});

describe("accounts", () => {
  test("come from the top level, the environment and accounts; one without a token is not configured", async () => {
    const api = await fakeApi(quiet);
    const both = await setUp(api, {
      name: "Main",
      accounts: { alerts: { name: "Alerts", botToken: "999999:other-token_1" } },
    });
    await both.start();
    expect(
      (await both.status()).map(({ accountId, name, configured }) => [accountId, name, configured]),
    ).toEqual([
      ["default", "Main", true],
      ["alerts", "Alerts", true],
    ]);
    const none = createTestContext<TelegramConfig>({ manifest, config: {} });
    closers.push(() => none[Symbol.asyncDispose]());
    await none.activate(telegram(timing));
    const channel = none.contributions.channels.get("telegram")!;
    await channel.start(async () => undefined, never);
    expect(await channel.accounts({ probe: true, signal: never })).toMatchObject([
      { accountId: "default", configured: false, running: false },
    ]);
    await expect(channel.send({ accountId: "default", to: "1", text: "x" }, never)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await expect(channel.send({ accountId: "nobody", to: "1", text: "x" }, never)).rejects.toMatchObject({
      code: "NOT_FOUND",
    });

    const fromEnv = createTestContext<TelegramConfig>({
      manifest,
      config: { apiRoot: api.apiRoot },
      env: { TELEGRAM_BOT_TOKEN: api.token },
      fetch: egress.fetchFor([new URL(api.apiRoot).host], "telegram"),
    });
    closers.push(() => fromEnv[Symbol.asyncDispose]());
    await fromEnv.activate(telegram(timing));
    expect(
      await fromEnv.contributions.channels.get("telegram")!.accounts({ probe: true, signal: never }),
    ).toMatchObject([{ configured: true, probe: { ok: true, name: "fake_bot" } }]);
  });

  test("a token may be the name of a secret; one that looks like none is refused without showing it", async () => {
    const bot = await withPeer({ botToken: "secret:telegram.default" });
    await bot.start();
    expect(await bot.status(true)).toMatchObject([{ probe: { ok: true } }]);
    const odd = await setUp({ apiRoot: bot.peer.apiRoot, token: "hunter2/../getMe" });
    const error = await odd.start().catch(String);
    expect(error).toContain("does not look like one");
    expect(error).not.toContain("hunter2");
  });

  test("one broken account leaves the others alone; two with the same token are refused", async () => {
    const api = await fakeApi(quiet);
    const bot = await setUp(api, {
      accounts: { odd: { botToken: "nonsense" }, off: { botToken: "1:x", enabled: false } },
    });
    await bot.start();
    expect(
      (await bot.status()).map(({ accountId, running, enabled }) => [accountId, running, enabled]),
    ).toEqual([
      ["default", true, true],
      ["odd", false, true],
      ["off", false, false],
    ]);
    const twins = await setUp(api, { accounts: { twin: { botToken: api.token } } });
    await expect(twins.start()).rejects.toThrow(
      'telegram accounts "default" and "twin" have the same botToken',
    );
  });
});
