import { setTimeout as sleep } from "node:timers/promises";
import {
  type Caller,
  type Channel,
  type InboundMessage,
  isRclawError,
  type OutboundMessage,
  RclawError,
} from "@rclaw/plugin-sdk";
import type { OpenAccount } from "./access.ts";
import { channelMethods, type StartedChannel } from "./methods.ts";
import type { ChannelPorts, LiveChannels } from "@rclaw/plugin-sdk/services/channels";
import type { KernelMethod } from "@rclaw/plugin-sdk/services/method";
import { authorizeInbound, inboundRules, personOf, type Verdict } from "./inbound.ts";
import type { Pairing } from "./pairing.ts";
import { channelSessionKey, type DmScope } from "@rclaw/plugin-sdk/session-key";

export interface ChannelsOptions extends ChannelPorts {
  readonly pairing: Pairing;
  /** First and longest pause before a failed start or delivery is tried again. */
  readonly retry?: { readonly minMs?: number; readonly maxMs?: number };
}

export interface Channels extends Omit<LiveChannels, "methods"> {
  /** Resolves when the message is durable or refused for good; rejects when the channel should bring it again. */
  receive(channelId: string, message: InboundMessage, signal?: AbortSignal): Promise<void>;
  /** channels.status, channels.start, channels.stop, channels.logout. */
  channelMethods(): KernelMethod[];
  /** Of every channel that runs; one that does not say is left out. */
  accounts(signal: AbortSignal): Promise<readonly OpenAccount[]>;
}

/** Taken before, though a name, a group's title or the configuration changed since: the platform's id says which message it is. */
function isRepeat(error: unknown, idempotencyKey: string): boolean {
  return isRclawError(error) && error.code === "CONFLICT" && error.details?.["id"] === idempotencyKey;
}

const attempts = 3;
const accountsMs = 5_000;
const maxTold = 200;

/**
 * Where messages enter and leave. A channel is a client like any other: what it
 * receives becomes an `agent` request, so that policy, idempotency and the transcript
 * are the same for Telegram as for a desktop app; and no channel can skip a hook.
 */
export function createChannels(options: ChannelsOptions): Channels {
  const { methods, hooks, pairing, config, keys, log, now = Date.now } = options;
  const { minMs = 400, maxMs = 30_000 } = options.retry ?? {};
  const started = new Map<string, StartedChannel>();
  const leaving = new Map<string, Promise<unknown>>();
  const told = new Set<string>();
  const pause = (failures: number): number =>
    Math.min(maxMs, minMs * 2 ** (failures - 1)) * (0.9 + Math.random() * 0.2);

  async function authorize(channel: string, message: InboundMessage): Promise<Verdict> {
    const verdict = authorizeInbound(message, inboundRules(config(), channel, message.accountId));
    if (verdict.kind !== "pair") return verdict;
    const paired = await pairing.allowed(channel, message.accountId);
    return authorizeInbound(message, inboundRules(config(), channel, message.accountId, paired));
  }

  /** Who set up a group and gets no answer finds here why, and the ids to list; once each, so that strangers cannot fill the log. */
  function ignored(
    channel: string,
    { accountId, chatType, peerId, sender, mentioned }: InboundMessage,
    reason: string,
  ): void {
    const place = { channel, accountId, group: peerId, sender: sender.id, reason };
    const key = JSON.stringify(place);
    if (chatType === "direct" || mentioned !== true || told.size >= maxTold || told.has(key))
      return log.debug({ channel, accountId, reason }, "message ignored");
    told.add(key);
    log.info(place, "the assistant was named where it may not answer");
  }

  /** The whole answer to a stranger: one message per request, and nothing else happens. */
  async function pair(
    channel: string,
    { accountId, sender, peerId }: InboundMessage,
    signal: AbortSignal,
  ): Promise<void> {
    const request = await pairing.request(channel, accountId, { ...sender, peerId });
    if (!request?.isNew) return;
    log.info({ channel, accountId, sender: sender.id }, "an unknown sender asked to be paired");
    const text = [
      "This assistant is not configured to talk to you.",
      `Your ${channel} id: ${sender.id}`,
      `Pairing code: ${request.code}`,
      `Its owner can let you in with: rclaw pairing approve ${channel} ${request.code}`,
    ].join("\n\n");
    // Not awaited: a slow send must not hold up the people who are let in.
    send(channel, { accountId, to: peerId, text }, signal).catch(async (error: unknown) => {
      if (!signal.aborted) log.warn({ err: error, channel, accountId }, "a pairing code could not be sent");
      await pairing.withdraw(channel, request.code).catch(() => undefined);
    });
  }

  /** True when a handler took the message. */
  async function claimed(channel: string, message: InboundMessage): Promise<boolean> {
    const { accountId, peerId, sender, text, timestamp, threadId, messageId, peerName } = message;
    const { handled } = await hooks.run(
      "message_received",
      {
        from: sender.id,
        content: text,
        ...(timestamp !== undefined && { timestamp }),
        metadata: {
          to: peerId,
          provider: channel,
          surface: channel,
          senderId: sender.id,
          ...(sender.name !== undefined && { senderName: sender.name }),
          ...(threadId !== undefined && { threadId }),
          ...(messageId !== undefined && { messageId }),
          ...(peerName !== undefined && { channelName: peerName }),
        },
      },
      { channelId: channel, accountId, conversationId: peerId },
    );
    return handled === true;
  }

  function sessionKey(channel: string, message: InboundMessage): string {
    const { defaultAgentId, mainKey, scope } = keys();
    if (scope === "global") return "global";
    const { accountId, chatType, peerId, threadId } = message;
    const { dmScope } = (config()["session"] ?? {}) as { dmScope?: DmScope };
    const isDirect = chatType === "direct";
    return channelSessionKey({
      agentId: defaultAgentId,
      mainKey,
      dmScope: dmScope ?? "per-channel-peer",
      channel,
      accountId,
      peerId,
      threadId,
      person: isDirect ? personOf(message, channel, config()) : undefined,
      chatType: isDirect || chatType === "channel" ? chatType : "group",
    });
  }

  async function receive(
    channel: string,
    message: InboundMessage,
    signal = new AbortController().signal,
  ): Promise<void> {
    const verdict = await authorize(channel, message);
    if (verdict.kind === "ignore") return ignored(channel, message, verdict.reason);
    if (verdict.kind === "pair") return pair(channel, message, signal);
    if (!message.text.trim()) return;
    if (await claimed(channel, message)) return;

    const { id, accountId, chatType, peerId, peerName, sender, text, threadId } = message;
    const params = {
      message: text,
      sessionKey: sessionKey(channel, message),
      channel,
      accountId,
      to: peerId,
      deliver: true,
      // The platform's own id, so that a redelivered message is no second run.
      idempotencyKey: `${channel}:${accountId}:${id}`,
      ...(threadId !== undefined && { threadId }),
      sender: { id: sender.id, ...(sender.name && { name: sender.name }) },
      ...(chatType !== "direct" && { groupId: peerId, ...(peerName && { groupChannel: peerName }) }),
    };
    const caller: Caller = {
      kind: "plugin",
      principal: `plugin:${channel}`,
      role: "operator",
      scopes: ["operator.write"],
      caps: [],
      isOwner: verdict.isOwner,
    };
    // Waiting for the answer here would let one slow run hold up every other chat of the channel.
    await new Promise<void>((taken, refused) => {
      let accepted = false;
      const accept = (): void => {
        accepted = true;
        taken();
      };
      methods.call("agent", params, { caller, signal, accept }).then(accept, (error: unknown) => {
        if (!accepted) return isRepeat(error, params.idempotencyKey) ? taken() : refused(error);
        log.error({ err: error, channel, idempotencyKey: params.idempotencyKey }, "run failed");
      });
    });
  }

  /** What goes to one conversation leaves in the order it came, however slow the platform is with the first. */
  function inTurn<T>(channelId: string, message: OutboundMessage, work: () => Promise<T>): Promise<T> {
    const { accountId, to, threadId = "" } = message;
    const place = JSON.stringify([channelId, accountId, to, threadId]);
    const own = (leaving.get(place) ?? Promise.resolve()).then(work, work);
    const forget = (): void => void (leaving.get(place) === own && leaving.delete(place));
    leaving.set(place, own);
    own.then(forget, forget);
    return own;
  }

  /** The same object every time: a channel that got half of it out goes on where it stopped. */
  async function send(
    channelId: string,
    message: OutboundMessage,
    signal: AbortSignal,
  ): Promise<{ readonly id: string }> {
    const channel = await options.channel(channelId);
    for (let attempt = 1; ; attempt++) {
      try {
        return await channel.send(message, signal);
      } catch (error) {
        if (attempt === attempts || signal.aborted || !isRclawError(error) || !error.retryable) throw error;
        const asked = error.details?.["retryAfterMs"];
        const delay = typeof asked === "number" && asked >= 0 ? asked : pause(attempt);
        log.debug({ err: error, channel: channelId, attempt, delay }, "delivery is tried again");
        await sleep(delay, undefined, { signal }).catch(() => {
          throw new RclawError("ABORTED", `delivery through ${channelId} was aborted`, {
            cause: signal.reason,
          });
        });
      }
    }
  }

  async function deliver(
    channelId: string,
    message: OutboundMessage,
    signal: AbortSignal,
  ): Promise<{ readonly id: string } | undefined> {
    const { accountId, to, text, threadId, replyTo } = message;
    const place = { channelId, accountId, conversationId: to };
    const metadata = {
      channel: channelId,
      accountId,
      ...(threadId !== undefined && { threadId }),
      ...(replyTo !== undefined && { replyTo }),
    };
    const { content = text, cancel } = await hooks.run(
      "message_sending",
      { to, content: text, metadata },
      place,
    );
    if (cancel || !content) return undefined;
    try {
      const sending = { ...message, text: content };
      const sent = await inTurn(channelId, sending, () => send(channelId, sending, signal));
      await hooks.run("message_sent", { to, content, success: true }, place);
      return sent;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await hooks.run("message_sent", { to, content, success: false, error: reason }, place);
      throw error;
    }
  }

  /** One try has a signal of its own, so that a half-started channel is stopped before the next. */
  async function tryStart(
    entry: StartedChannel,
    given: Channel | string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const attempt = new AbortController();
    const onAbort = (): void => attempt.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    entry.lastStartAt = now();
    try {
      const channel = typeof given === "string" ? await options.channel(given) : given;
      entry.channel = channel;
      if (signal.aborted) return true;
      await channel.start((message) => receive(channel.id, message, attempt.signal), attempt.signal);
      // Stopped meanwhile, and perhaps started again: how that one fares is not this one's to say.
      if (signal.aborted) return true;
      Object.assign(entry, { running: true, failures: 0 });
      delete entry.lastError;
      return true;
    } catch (error) {
      signal.removeEventListener("abort", onAbort);
      attempt.abort();
      if (signal.aborted) return true;
      entry.failures++;
      entry.lastError = error instanceof Error ? error.message : String(error);
      log.error(
        { err: error, channel: entry.id, failures: entry.failures },
        `channel ${entry.id} did not start; it is tried again`,
      );
      return false;
    }
  }

  async function keepTrying(
    entry: StartedChannel,
    channel: Channel | string,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      await sleep(pause(entry.failures), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted || (await tryStart(entry, channel, signal))) return;
    }
  }

  /** From one start to the next stop. */
  async function live(entry: StartedChannel, channel: Channel | string, signal: AbortSignal): Promise<void> {
    entry.isStopped = false;
    entry.failures = 0;
    if (!(await tryStart(entry, channel, signal))) void keepTrying(entry, channel, signal);
  }

  async function start(channel: Channel | string, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const id = typeof channel === "string" ? channel : channel.id;
    let life = new AbortController();
    const entry: StartedChannel = {
      id,
      channel: typeof channel === "string" ? undefined : channel,
      running: false,
      isStopped: false,
      failures: 0,
      async start() {
        if (!life.signal.aborted || signal.aborted) return;
        life = new AbortController();
        await live(entry, channel, life.signal);
      },
      stop() {
        life.abort();
        Object.assign(entry, { running: false, isStopped: true, failures: 0 });
        delete entry.lastError;
      },
    };
    started.set(id, entry);
    const onAbort = (): void => {
      life.abort(signal.reason);
      if (started.get(id) === entry) started.delete(id);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    await live(entry, channel, life.signal);
  }

  /** Configuration and secrets are not a channel's to write; who asks for it must be allowed to. */
  async function forgetLogin(
    channel: string,
    account: string,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<boolean> {
    const answer = await methods.call("plugins.logout", { channel, account }, { caller, signal });
    return (answer as { readonly cleared?: boolean }).cleared === true;
  }

  return {
    start,
    receive,
    deliver,
    async typing(channelId, target, signal) {
      const channel = await options.channel(channelId);
      await channel
        .typing?.(target, signal)
        .catch((error: unknown) => log.debug({ err: error, channel: channelId }, "typing failed"));
    },
    async accounts(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(accountsMs)]);
      const lists = [...started.values()].map(async ({ id, channel }): Promise<readonly OpenAccount[]> => {
        const found = await channel?.accounts({ probe: false, signal: limit });
        return (found ?? []).map((account) => ({
          channel: id,
          channelLabel: channel?.label ?? id,
          account,
        }));
      });
      return (await Promise.allSettled(lists)).flatMap((list) =>
        list.status === "fulfilled" ? list.value : [],
      );
    },
    channelMethods: () => channelMethods({ started, forgetLogin, config, log, now }),
  };
}
