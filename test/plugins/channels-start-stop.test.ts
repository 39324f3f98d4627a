import type { Channel } from "@rclaw/plugin-sdk";
import { expect, test, vi } from "vitest";
import { createChannels } from "../../plugins/services/channels/channels.ts";
import type { Pairing } from "../../plugins/services/channels/pairing.ts";
import { addKernelMethods, createMethods } from "../../kernel/gateway/methods.ts";
import { createHookBus } from "../../kernel/hooks/bus.ts";
import { silent } from "../../kernel/log.ts";
import { account } from "./channel-samples.ts";

const owner = {
  kind: "client",
  principal: "client:x",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
} as const;

function setUp(fields: Partial<Channel> = {}) {
  const activate = async (): Promise<void> => undefined;
  const methods = createMethods({ activate });
  const lives: AbortSignal[] = [];
  const telegram: Channel = {
    id: "telegram",
    label: "Telegram",
    textLimit: 4_000,
    start: async (_receive, signal) => void lives.push(signal),
    accounts: async () => [account],
    send: async () => ({ id: "1" }),
    ...fields,
  };
  const channels = createChannels({
    channel: async () => telegram,
    methods,
    hooks: createHookBus({ log: silent, activate }),
    // Nobody writes to it here.
    pairing: {} as Pairing,
    config: () => ({}),
    log: silent,
    keys: () => ({ defaultAgentId: "main", mainKey: "main" }),
    retry: { minMs: 1, maxMs: 20 },
  });
  addKernelMethods(methods, channels.channelMethods());
  const call = (
    name: string,
    params: object = { channel: "telegram" },
    scopes: readonly string[] = owner.scopes,
  ) =>
    methods.call(name, params, {
      caller: { ...owner, scopes: scopes as typeof owner.scopes },
      signal: AbortSignal.timeout(5_000),
    });
  return { channels, telegram, lives, call };
}

test("a channel stops at an operator's word, shows that it did, and starts again", async () => {
  const { channels, telegram, lives, call } = setUp();
  const plugin = new AbortController();
  await channels.start(telegram, plugin.signal);
  expect(await call("channels.stop")).toEqual({ channel: "telegram", accountId: "default", stopped: true });
  expect(lives.map(({ aborted }) => aborted)).toEqual([true]);
  expect(await call("channels.status", { channel: "Telegram" })).toMatchObject({
    channelOrder: ["telegram"],
    channels: { telegram: { running: false, lastError: null } },
    channelAccounts: { telegram: [{ running: false, connected: false }] },
  });
  const started = {
    channel: "telegram",
    accountId: "default",
    started: true,
    outcome: { status: "handed-off" },
  };
  expect(await call("channels.start", { channel: " TELEGRAM ", accountId: "default" })).toEqual(started);
  expect(await call("channels.start")).toEqual(started);
  expect(lives.map(({ aborted }) => aborted)).toEqual([true, false]);
  expect(await call("channels.status")).toMatchObject({ channels: { telegram: { running: true } } });
  plugin.abort();
  expect(lives.map(({ aborted }) => aborted)).toEqual([true, true]);
});

test("one that is stopped while it is tried again is left alone until it is started", async () => {
  let tries = 0;
  const { channels, telegram, call } = setUp({
    start: async () => {
      if (++tries < 4) throw new Error(`try ${tries} failed`);
    },
  });
  await channels.start(telegram, new AbortController().signal);
  await call("channels.stop");
  const before = tries;
  expect(await call("channels.status")).toMatchObject({ channels: { telegram: { lastError: null } } });
  expect(await call("channels.start")).toMatchObject({
    started: false,
    outcome: { status: "retry", reason: `try ${before + 1} failed` },
  });
  await vi.waitFor(async () =>
    expect(await call("channels.start")).toMatchObject({ started: true, outcome: { status: "handed-off" } }),
  );
  expect(tries).toBe(4);
});

test("a channel that does not run, and an account that cannot stop alone, are refused; and so is who may not", async () => {
  const { channels, telegram, call } = setUp({
    accounts: async () => [account, { ...account, accountId: "work" }],
  });
  for (const method of ["channels.start", "channels.stop"]) {
    await expect(call(method)).rejects.toThrow(`invalid ${method} channel`);
    await expect(call(method, { channel: "telegram" }, ["operator.write"])).rejects.toThrow(
      "missing scope: operator.admin",
    );
  }
  await expect(call("channels.status", { channel: "x" })).rejects.toThrow("unknown channel: x");
  await channels.start(telegram, new AbortController().signal);
  await expect(call("channels.stop", { channel: "telegram", accountId: "work" })).rejects.toThrow(
    "starts and stops with all of its accounts (default, work)",
  );
  await expect(call("channels.stop", { channel: "telegram", accountId: "x" })).rejects.toThrow(
    'no account "x"',
  );
  expect(await call("channels.status")).toMatchObject({ channels: { telegram: { running: true } } });
});
