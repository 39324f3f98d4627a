import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type Channel,
  type HookHandler,
  type HookName,
  type OutboundMessage,
  RclawError,
} from "@rclaw/plugin-sdk";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type Channels,
  type ChannelsOptions,
  createChannels,
} from "../../plugins/services/channels/channels.ts";
import { addKernelMethods, createMethods, type Methods } from "../../kernel/gateway/methods.ts";
import { createHookBus, type HookBus } from "../../kernel/hooks/bus.ts";
import { silent } from "../../kernel/log.ts";
import { account, message } from "./channel-samples.ts";
import { createPairing, type Pairing } from "../../plugins/services/channels/pairing.ts";

let dir: string;
let config: Record<string, unknown>;
let hooks: HookBus;
let methods: Methods;
let pairing: Pairing;
let channels: Channels;
let runs: {
  params: Record<string, unknown>;
  caller: { isOwner: boolean; scopes: readonly string[]; principal: string };
}[];
let agent: (call: { accept(payload: unknown): void; params: Record<string, unknown> }) => Promise<unknown>;
let sent: OutboundMessage[];
let sendFailures: unknown[];
let telegram: Channel;
const { signal } = new AbortController();
const on = <Name extends HookName>(name: Name, handler: HookHandler<Name>) =>
  hooks.on({ plugin: "watcher", name }, handler);
const fake = (fields: Partial<Channel> = {}): Channel => ({
  id: "telegram",
  label: "Telegram",
  textLimit: 4e3,
  start: async () => undefined,
  accounts: async () => [account],
  async send(out) {
    const failure = sendFailures.shift();
    if (failure) throw failure;
    return { id: String(sent.push(out)) };
  },
  ...fields,
});
const operator = {
  kind: "client",
  principal: "client:x",
  role: "operator",
  scopes: ["operator.admin"],
  caps: [],
  isOwner: true,
} as const;
const call = (name: string, params: object = {}) => methods.call(name, params, { caller: operator, signal });
const options = (): ChannelsOptions => ({
  channel: async () => telegram,
  methods,
  hooks,
  pairing,
  config: () => config,
  log: silent,
  keys: () => ({ defaultAgentId: "main", mainKey: "main" }),
  retry: { minMs: 1, maxMs: 20 },
});

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-channels-"));
  config = { channels: { telegram: { dmPolicy: "open", allowFrom: ["*"], groupPolicy: "open" } } };
  [runs, sent, sendFailures] = [[], [], []];
  agent = async ({ accept }) => accept({ status: "accepted" });
  telegram = fake();
  hooks = createHookBus({ log: silent, activate: async () => undefined });
  methods = createMethods({ activate: async () => undefined });
  addKernelMethods(methods, [
    {
      name: "agent",
      scope: "operator.write",
      handle: ({ params, caller, accept }) => {
        runs.push({ params: params as Record<string, unknown>, caller });
        return agent({ params: params as Record<string, unknown>, accept });
      },
    },
  ]);
  pairing = createPairing({ dir: path.join(dir, "credentials") });
  channels = createChannels(options());
  addKernelMethods(methods, channels.channelMethods());
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe("what comes in", () => {
  test("becomes an agent request by the channel's plugin", async () => {
    await channels.receive("telegram", message(), signal);
    expect(runs).toEqual([
      {
        params: {
          message: "hello",
          sessionKey: "agent:main:telegram:direct:42",
          channel: "telegram",
          accountId: "default",
          to: "42",
          deliver: true,
          idempotencyKey: "telegram:default:42:1",
          sender: { id: "42", name: "Alice" },
        },
        caller: {
          kind: "plugin",
          principal: "plugin:telegram",
          role: "operator",
          scopes: ["operator.write"],
          caps: [],
          isOwner: false,
        },
      },
    ]);
  });

  test("keeps thread, group and owner apart", async () => {
    config["commands"] = { ownerAllowFrom: ["telegram:7"] };
    await channels.receive(
      "telegram",
      message({ chatType: "group", peerId: "-100", threadId: "9", mentioned: true, sender: { id: "7" } }),
      signal,
    );
    expect(runs[0]).toMatchObject({
      params: { sessionKey: "agent:main:telegram:group:-100:thread:9", to: "-100", threadId: "9" },
      caller: { isOwner: true },
    });
    config["session"] = { dmScope: "main" };
    await channels.receive("telegram", message(), signal);
    expect(runs[1]!.params["sessionKey"]).toBe("agent:main:main");
    await channels.receive("telegram", message({ text: "  " }), signal);
    expect(runs).toHaveLength(2);
  });

  test("resolves at acceptance, not at the end of the run, and never sees a later failure", async () => {
    let finish = (_error: Error): void => undefined;
    agent = ({ accept }) => {
      accept({ status: "accepted" });
      return new Promise((_resolve, reject) => (finish = reject));
    };
    await channels.receive("telegram", message(), signal);
    finish(new Error("the model failed"));
  });

  test("resolves for a duplicate, which has one answer only, and rejects when nothing was accepted", async () => {
    agent = async () => ({ status: "ok" });
    await channels.receive("telegram", message(), signal);
    const details = { method: "agent", id: "telegram:default:42:1" };
    agent = async () => Promise.reject(new RclawError("CONFLICT", "other params", { details }));
    await channels.receive("telegram", message({ sender: { id: "42", name: "Renamed" } }), signal);
    agent = async () => Promise.reject(new RclawError("STORE_DEGRADED", "disk full"));
    await expect(channels.receive("telegram", message(), signal)).rejects.toMatchObject({
      code: "STORE_DEGRADED",
    });
  });

  test("passes message_received with OpenClaw's payload; a handler may take it", async () => {
    const seen: unknown[] = [];
    on("message_received", (event, context) => {
      seen.push(event, context);
      return { handled: true };
    });
    await channels.receive("telegram", message({ timestamp: 5, threadId: "9", peerName: "Team" }), signal);
    expect(seen).toEqual([
      {
        from: "42",
        content: "hello",
        timestamp: 5,
        metadata: {
          to: "42",
          provider: "telegram",
          surface: "telegram",
          senderId: "42",
          senderName: "Alice",
          threadId: "9",
          messageId: "1",
          channelName: "Team",
        },
      },
      { channelId: "telegram", accountId: "default", conversationId: "42" },
    ]);
    expect(runs).toEqual([]);
  });

  test("a guard that crashes lets nothing through", async () => {
    on("message_received", () => {
      throw new Error("bug");
    });
    await expect(channels.receive("telegram", message(), signal)).rejects.toMatchObject({
      code: "PLUGIN_FAILED",
    });
    expect(runs).toEqual([]);
  });
});

describe("SEC-064: an unknown sender", () => {
  beforeEach(() => {
    config = { channels: { telegram: {} } };
  });

  test("gets one message with id, code and command, and nothing else happens", async () => {
    let heard = 0;
    on("message_received", () => void heard++);
    for (let i = 0; i < 3; i++) await channels.receive("telegram", message({ id: `42:${i}` }), signal);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    const [{ code }] = (await pairing.list()).requests as unknown as [{ code: string }];
    expect(sent[0]).toMatchObject({ accountId: "default", to: "42" });
    for (const part of [
      "not configured",
      "42",
      `Pairing code: ${code}`,
      `rclaw pairing approve telegram ${code}`,
    ]) {
      expect(sent[0]!.text).toContain(part);
    }
    expect([runs.length, heard]).toEqual([0, 0]);
    expect(await readdir(dir)).toEqual(["credentials"]);
  });

  test("is let in by approval, on this channel only", async () => {
    await channels.receive("telegram", message(), signal);
    const [request] = (await pairing.list()).requests;
    await pairing.approve("telegram", request!.code);
    await channels.receive("telegram", message(), signal);
    expect(runs).toHaveLength(1);
    await channels.receive("discord", message(), signal);
    await channels.receive("telegram", message({ chatType: "group", mentioned: true }), signal);
    expect(runs).toHaveLength(1);
  });

  test("whose code could not be sent gets a new one with the next message", async () => {
    sendFailures = [new RclawError("UNAVAILABLE", "blocked")];
    await channels.receive("telegram", message(), signal);
    await vi.waitFor(async () => expect((await pairing.list()).requests).toEqual([]));
    await channels.receive("telegram", message(), signal);
    await vi.waitFor(() => expect(sent).toHaveLength(1));
  });

  test("the fourth at once hears nothing", async () => {
    for (const id of ["1", "2", "3", "4"])
      await channels.receive("telegram", message({ sender: { id }, peerId: id }), signal);
    await vi.waitFor(() => expect(sent).toHaveLength(3));
    expect((await pairing.list()).requests).toHaveLength(3);
  });
});

describe("what goes out", () => {
  const out: OutboundMessage = { accountId: "default", to: "42", text: "answer", threadId: "9" };

  test("passes message_sending, is sent, and is reported", async () => {
    const seen: unknown[] = [];
    on("message_sending", (event, context) => {
      seen.push(event, context);
      return { content: `${event.content}!` };
    });
    on("message_sent", (event) => void seen.push(event));
    expect(await channels.deliver("telegram", out, signal)).toEqual({ id: "1" });
    expect(sent).toEqual([{ ...out, text: "answer!" }]);
    expect(seen).toEqual([
      { to: "42", content: "answer", metadata: { channel: "telegram", accountId: "default", threadId: "9" } },
      { channelId: "telegram", accountId: "default", conversationId: "42" },
      { to: "42", content: "answer!", success: true },
    ]);
  });

  test("is stopped by a hook that cancels, and by one that crashes", async () => {
    const cancel = on("message_sending", () => ({ cancel: true }));
    expect(await channels.deliver("telegram", out, signal)).toBeUndefined();
    cancel[Symbol.dispose]();
    on("message_sending", () => Promise.reject(new Error("bug")));
    await expect(channels.deliver("telegram", out, signal)).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
    expect(sent).toEqual([]);
  });

  test("REL-22: is tried three times when a later try may work, with the same message and the asked-for pause", async () => {
    const given: OutboundMessage[] = [];
    const times: number[] = [];
    telegram = fake({
      send: async (one) => {
        given.push(one);
        times.push(performance.now());
        if (given.length < 3)
          throw new RclawError("RATE_LIMITED", "slow down", {
            retryable: true,
            details: { retryAfterMs: 30 },
          });
        return { id: "ok" };
      },
    });
    expect(await channels.deliver("telegram", out, signal)).toEqual({ id: "ok" });
    expect(new Set(given).size).toBe(1);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(29);
  });

  test("fails at once when a later try cannot help, and after three when they did not", async () => {
    const reports: unknown[] = [];
    on("message_sent", (event) => void reports.push(event));
    sendFailures = [new RclawError("UNAVAILABLE", "uncertain", { details: { uncertain: true } })];
    await expect(channels.deliver("telegram", out, signal)).rejects.toThrow("uncertain");
    const flaky = () => new RclawError("UNAVAILABLE", "down", { retryable: true });
    sendFailures = [flaky(), flaky(), flaky(), flaky()];
    await expect(channels.deliver("telegram", out, signal)).rejects.toThrow("down");
    expect(sendFailures).toHaveLength(1);
    expect(reports).toEqual([
      { to: "42", content: "answer", success: false, error: "uncertain" },
      { to: "42", content: "answer", success: false, error: "down" },
    ]);
  });

  test("stops waiting when aborted", async () => {
    const controller = new AbortController();
    sendFailures = [
      new RclawError("RATE_LIMITED", "wait", { retryable: true, details: { retryAfterMs: 3_600_000 } }),
    ];
    const pending = channels.deliver("telegram", out, controller.signal);
    setImmediate(() => controller.abort());
    await expect(pending).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("typing is never an error", async () => {
    telegram = fake({ typing: async () => Promise.reject(new Error("x")) });
    await channels.typing("telegram", out, signal);
  });
});

describe("starting and status", () => {
  test("answers as recorded while no channel is configured", async () => {
    const { ts, ...rest } = (await call("channels.status", { probe: false, timeoutMs: 2_000 })) as {
      ts: number;
    };
    expect(ts).toBeTypeOf("number");
    expect(rest).toEqual({
      channelOrder: [],
      channelLabels: {},
      channelDetailLabels: {},
      channelSystemImages: {},
      channelMeta: [],
      channels: {},
      channelAccounts: {},
      channelDefaultAccountId: {},
    });
    for (const channel of ["telegram", "bogus"]) {
      await expect(call("channels.logout", { channel })).rejects.toMatchObject({
        code: "INVALID_REQUEST",
        message: "invalid channels.logout channel",
      });
    }
    await expect(call("channels.status", { probe: "x" })).rejects.toThrow(
      "invalid channels.status params: at /probe: must be boolean",
    );
  });

  test("shows accounts, probes on request, and forgets a channel that stopped", async () => {
    const stop = new AbortController();
    telegram = fake({
      accounts: async ({ probe }) => [{ ...account, ...(probe && { probe: { ok: true, name: "bot" } }) }],
    });
    await channels.start(telegram, stop.signal);
    expect(await call("channels.status", { probe: true })).toMatchObject({
      channelOrder: ["telegram"],
      channelLabels: { telegram: "Telegram" },
      channelMeta: [{ id: "telegram", label: "Telegram", detailLabel: "Telegram" }],
      channels: {
        telegram: { configured: true, running: true, connected: true, lastError: null, probe: { ok: true } },
      },
      channelAccounts: {
        telegram: [
          {
            accountId: "default",
            dmPolicy: "open",
            allowFrom: ["*"],
            probe: { ok: true },
            lastProbeAt: expect.any(Number) as number,
          },
        ],
      },
      channelDefaultAccountId: { telegram: "default" },
    });
    stop.abort();
    expect(await call("channels.status")).toMatchObject({ channelOrder: [] });
  });

  test("logs out the account that is asked for, or the default one, there and here", async () => {
    const stop = new AbortController();
    const out: string[] = [];
    const forgotten: unknown[] = [];
    addKernelMethods(methods, [
      {
        name: "plugins.logout",
        scope: "operator.admin",
        handle: async ({ params }) => ({ cleared: forgotten.push(params) === 1 }),
      },
    ]);
    await channels.start(telegram, stop.signal);
    expect(await call("channels.logout", { channel: "telegram" })).toMatchObject({ cleared: true });
    expect(await call("channels.logout", { channel: "telegram" })).toMatchObject({ cleared: false });
    telegram = fake({ logout: async (id) => void out.push(id) });
    await channels.start(telegram, stop.signal);
    expect(await call("channels.logout", { channel: "telegram" })).toEqual({
      channel: "telegram",
      accountId: "default",
      cleared: true,
    });
    await call("channels.logout", { channel: "Telegram", accountId: "alerts" });
    expect(out).toEqual(["default", "alerts"]);
    expect(forgotten.at(-1)).toEqual({ channel: "telegram", account: "alerts" });
    stop.abort();
  });

  test("a channel that does not answer a status request shows as such", async () => {
    const stop = new AbortController();
    await channels.start(fake({ accounts: () => new Promise(() => undefined) }), stop.signal);
    await channels.start(fake({ id: "other", label: "Other" }), stop.signal);
    expect(await call("channels.status", { timeoutMs: 1 })).toMatchObject({
      channelAccounts: {
        telegram: [{ running: false, lastError: "no answer within 1000 ms" }],
        other: [{ running: true }],
      },
    });
    stop.abort();
  });

  test("REL-43: one that fails to start is tried again with pauses, shows its error, and others do not wait", async () => {
    const stop = new AbortController();
    let open = false;
    const halves: AbortSignal[] = [];
    const flaky = fake({
      start: async (_receive, own) => {
        halves.push(own);
        if (!open) throw new Error("not yet");
      },
      accounts: async () => [{ ...account, running: open }],
    });
    const crash = new RclawError("PLUGIN_FAILED", "plugin crashed");
    const broken = createChannels({ ...options(), channel: async () => Promise.reject(crash) });
    await Promise.all([
      channels.start(flaky, stop.signal),
      channels.start(fake({ id: "other", label: "Other" }), stop.signal),
      broken.start("discord", stop.signal),
    ]);
    expect(await call("channels.status")).toMatchObject({
      channelAccounts: { telegram: [{ running: false, lastError: "not yet" }], other: [{ running: true }] },
    });
    await vi.waitFor(() => expect(halves.length).toBeGreaterThan(3));
    open = true;
    await vi.waitFor(async () => {
      const { channels: shown } = (await call("channels.status")) as { channels: object };
      expect(shown).toMatchObject({ telegram: { running: true, lastError: null } });
    });
    expect(halves.filter(({ aborted }) => !aborted)).toEqual([halves.at(-1)]);
    const status = broken.channelMethods()[0]!;
    const shown = await status.handle({ params: {}, caller: operator, signal, accept: () => undefined });
    expect(shown).toMatchObject({
      channelAccounts: { discord: [{ running: false, lastError: "plugin crashed" }] },
    });
    stop.abort();
    expect(halves.at(-1)!.aborted).toBe(true);
  });
});

test("SEC-074: interleaved messages of many people keep their own conversation and place to answer", async () => {
  const order = Array.from({ length: 2_000 }, (_, i) => ({
    peer: String((i * 7_919) % 97),
    account: i % 2 ? "a" : "b",
    i,
  }));
  await Promise.all(
    order.map(({ peer, account, i }) =>
      channels.receive(
        "telegram",
        message({
          id: String(i),
          accountId: account,
          peerId: peer,
          sender: { id: peer },
          text: `${account}/${peer}`,
        }),
        signal,
      ),
    ),
  );
  expect(runs).toHaveLength(2_000);
  for (const { params } of runs) {
    expect(`${String(params["accountId"])}/${String(params["to"])}`).toBe(params["message"]);
    expect(params["sessionKey"]).toBe(`agent:main:telegram:direct:${String(params["to"])}`);
  }
});
