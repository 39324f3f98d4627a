import {
  type Caller,
  type Channel,
  type ChannelAccount,
  defineMethod,
  type Logger,
  RclawError,
} from "@rclaw/plugin-sdk";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { inboundRules } from "./inbound.ts";
import { channelParams, channelsStatusParams } from "./methods.schema.ts";

/** A channel that should run, whether or not it does at the moment. */
export interface StartedChannel {
  readonly id: string;
  channel: Channel | undefined;
  running: boolean;
  /** Somebody stopped it; until it is started again, or the gateway is. */
  isStopped: boolean;
  failures: number;
  lastStartAt?: number;
  lastError?: string;
  /** Resolves after the first try; nothing when it is not stopped. */
  start(): Promise<void>;
  stop(): void;
}

interface MethodOptions {
  /** Removes what is stored of a login; resolves with whether there was any. */
  forgetLogin(channel: string, accountId: string, caller: Caller, signal: AbortSignal): Promise<boolean>;
  readonly started: ReadonlyMap<string, StartedChannel>;
  config(): Readonly<Record<string, unknown>>;
  readonly log: Logger;
  now(): number;
}

/** channels.status, .start, .stop and .logout, in the shapes OpenClaw's clients know. */
export function channelMethods({ started, forgetLogin, config, log, now }: MethodOptions): KernelMethod[] {
  /** A channel that does not answer in time shows as such; it must not hold up the others' rows. */
  async function accountsOf(
    entry: StartedChannel,
    probe: boolean,
    timeoutMs: number,
  ): Promise<readonly ChannelAccount[]> {
    const failed = (error: string): ChannelAccount[] => [
      { accountId: "default", enabled: true, configured: true, running: false, lastError: error },
    ];
    if (!entry.channel) return failed(entry.lastError ?? (entry.isStopped ? "stopped" : "not started yet"));
    const controller = new AbortController();
    const timer = setTimeout(
      () => controller.abort(new RclawError("TIMEOUT", `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      const late = new Promise<never>((_resolve, reject) => {
        controller.signal.addEventListener("abort", () => reject(controller.signal.reason as Error), {
          once: true,
        });
      });
      return await Promise.race([entry.channel.accounts({ probe, signal: controller.signal }), late]);
    } catch (error) {
      log.warn({ err: error, channel: entry.id }, "channel status failed");
      return failed(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  const status = defineMethod({
    name: "channels.status",
    since: "2026.2.17",
    params: channelsStatusParams,
    async handle({ params: { probe = false, timeoutMs = 10_000, channel } }) {
      const wanted = channel?.trim().toLowerCase();
      const all = [...started.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
      const entries = wanted === undefined ? all : all.filter(({ id }) => id === wanted);
      if (wanted !== undefined && entries.length === 0)
        throw new RclawError("INVALID_REQUEST", `unknown channel: ${channel}`);
      const limit = Math.min(Math.max(timeoutMs, 1_000), 120_000);
      const lists = await Promise.all(entries.map((entry) => accountsOf(entry, probe, limit)));
      const rows = entries.map((entry, i) => {
        const label = entry.channel?.label ?? entry.id;
        const accounts = (lists[i] ?? []).map((account) =>
          accountRow(account, entry, config(), probe ? now() : undefined),
        );
        return { id: entry.id, label, accounts, summary: channelSummary(entry, accounts) };
      });
      const map = <T>(value: (row: (typeof rows)[number]) => T): Record<string, T> =>
        Object.fromEntries(rows.map((row) => [row.id, value(row)]));
      return {
        ts: now(),
        channelOrder: rows.map(({ id }) => id),
        channelLabels: map(({ label }) => label),
        channelDetailLabels: map(({ label }) => label),
        channelSystemImages: {},
        channelMeta: rows.map(({ id, label }) => ({ id, label, detailLabel: label })),
        channels: map(({ summary }) => summary),
        channelAccounts: map(({ accounts }) => accounts),
        channelDefaultAccountId: map(({ accounts }) => defaultAccount(accounts)),
      };
    },
  });

  function find(method: string, channel: string): StartedChannel {
    const entry = started.get(channel.trim().toLowerCase());
    if (!entry) throw new RclawError("INVALID_REQUEST", `invalid ${method} channel`);
    return entry;
  }

  /** A channel runs all of its accounts or none. */
  async function wholeChannel(entry: StartedChannel, named: string | undefined): Promise<string> {
    const accounts = await accountsOf(entry, false, 10_000);
    const wanted = named?.trim();
    if (!wanted) return defaultAccount(accounts);
    if (accounts.length === 1 && accounts[0]?.accountId === wanted) return wanted;
    const ids = accounts.map(({ accountId }) => accountId).join(", ");
    throw new RclawError(
      "INVALID_REQUEST",
      accounts.some(({ accountId }) => accountId === wanted)
        ? `channel ${entry.id} starts and stops with all of its accounts (${ids}); leave out accountId`
        : `channel ${entry.id} has no account "${wanted}"; it has ${ids}`,
    );
  }

  const start = defineMethod({
    name: "channels.start",
    since: "2026.5.7",
    params: channelParams,
    async handle({ params }) {
      const entry = find("channels.start", params.channel);
      const accountId = await wholeChannel(entry, params.accountId);
      await entry.start();
      const status = entry.running ? "handed-off" : "retry";
      return {
        channel: entry.id,
        accountId,
        started: entry.running,
        outcome: { status, ...(entry.lastError !== undefined && { reason: entry.lastError }) },
      };
    },
  });

  const stop = defineMethod({
    name: "channels.stop",
    since: "2026.5.7",
    params: channelParams,
    async handle({ params }) {
      const entry = find("channels.stop", params.channel);
      const accountId = await wholeChannel(entry, params.accountId);
      entry.stop();
      log.info({ channel: entry.id }, `channel ${entry.id} was stopped by a client`);
      return { channel: entry.id, accountId, stopped: true };
    },
  });

  const logout = defineMethod({
    name: "channels.logout",
    since: "2026.2.17",
    params: channelParams,
    async handle({ params, caller, signal }) {
      const entry = find("channels.logout", params.channel);
      const { id, channel } = entry;
      const accountId = params.accountId?.trim() || defaultAccount(await accountsOf(entry, false, 10_000));
      await channel?.logout?.(accountId, signal);
      const wasStored = await forgetLogin(id, accountId, caller, signal);
      return { channel: id, accountId, cleared: wasStored || channel?.logout !== undefined };
    },
  });
  return [
    { ...status, scope: "operator.read" },
    { ...start, scope: "operator.admin" },
    { ...stop, scope: "operator.admin" },
    { ...logout, scope: "operator.admin" },
  ];
}

function defaultAccount(accounts: readonly { readonly accountId: string }[]): string {
  return (
    accounts.find(({ accountId }) => accountId === "default")?.accountId ??
    accounts[0]?.accountId ??
    "default"
  );
}

function accountRow(
  account: ChannelAccount,
  entry: StartedChannel,
  config: Readonly<Record<string, unknown>>,
  probedAt: number | undefined,
) {
  const rules = inboundRules(config, entry.id, account.accountId);
  const lastError = account.lastError ?? (entry.running ? undefined : entry.lastError);
  const lastStartAt = account.lastStartAt ?? entry.lastStartAt;
  return {
    ...account,
    ...(entry.isStopped && { running: false, ...(account.connected !== undefined && { connected: false }) }),
    ...(lastError !== undefined && { lastError }),
    ...(lastStartAt !== undefined && { lastStartAt }),
    ...(entry.failures > 0 && { reconnectAttempts: entry.failures }),
    ...(probedAt !== undefined && account.probe && { lastProbeAt: probedAt }),
    dmPolicy: rules.dmPolicy,
    allowFrom: rules.allowFrom.map(String),
  };
}

function channelSummary(entry: StartedChannel, accounts: readonly ReturnType<typeof accountRow>[]) {
  const first = accounts.find(({ accountId }) => accountId === defaultAccount(accounts));
  return {
    configured: accounts.some(({ configured }) => configured),
    running: accounts.some(({ running }) => running),
    ...(first?.connected !== undefined && {
      connected: accounts.some(({ connected }) => connected === true),
    }),
    ...(first?.mode !== undefined && { mode: first.mode }),
    lastStartAt: first?.lastStartAt ?? entry.lastStartAt ?? null,
    lastError: accounts.find(({ lastError }) => lastError !== undefined)?.lastError ?? null,
    ...(first?.probe && { probe: first.probe }),
  };
}
