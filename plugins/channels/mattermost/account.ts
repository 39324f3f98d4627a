import {
  type ChannelAccount,
  type InboundMessage,
  isRclawError,
  type OutboundMessage,
  type PluginContext,
  RclawError,
} from "@rclaw/plugin-sdk";
import { pause, pauseAfter } from "@rclaw/plugin-sdk/pause";
import { type Api, createApi } from "./api.ts";
import type { AccountSettings, MattermostConfig } from "./config.ts";
import { type Me, toInbound } from "./inbound.ts";
import { listenForever } from "./listen.ts";
import { channelOf, createOutbox } from "./outbound.ts";

export type Receive = (message: InboundMessage) => Promise<void>;
export type Account = ReturnType<typeof createAccount>;

interface State {
  running: boolean;
  connected: boolean;
  lastError?: string;
  lastStartAt?: number;
  lastInboundAt?: number;
  lastOutboundAt?: number;
}

const maxTries = 5;
const fatal = ["UNAUTHORIZED", "CONFIG_INVALID", "EGRESS_DENIED", "PERMISSION_DENIED", "NOT_FOUND"];

/** One account: its connection, and what is known of it. */
export function createAccount(
  settings: AccountSettings,
  {
    secrets,
    storage,
    log,
    ...world
  }: Pick<PluginContext<MattermostConfig>, "fetch" | "webSocket" | "secrets" | "storage" | "log">,
) {
  const { id } = settings;
  const state: State = {
    running: false,
    connected: false,
  };
  let opened: Promise<{ api: Api; outbox: ReturnType<typeof createOutbox> }> | undefined;
  let me: Me | undefined;

  function failed(error: Error): void {
    if (state.lastError !== error.message)
      log.warn({ accountId: id, reason: error.message }, "mattermost: trouble with an account");
    Object.assign(state, { connected: false, lastError: error.message });
  }
  function connected(): void {
    state.connected = true;
    delete state.lastError;
  }

  function open() {
    opened ??= (async () => {
      const { baseUrl, botToken } = settings;
      if (!baseUrl || !botToken)
        throw new RclawError(
          "CONFIG_INVALID",
          `mattermost account "${id}" lacks baseUrl or botToken; run: rclaw plugin add mattermost`,
        );
      const token = await secrets.resolve(botToken);
      const api = createApi({ baseUrl, token, accountId: id, fetch: world.fetch });
      return { api, outbox: createOutbox(api) };
    })();
    opened.catch(() => (opened = undefined));
    return opened;
  }

  const whoAmI = async (api: Api, signal: AbortSignal): Promise<Me> =>
    (me ??= await api.ask<Me>("GET", "/users/me", signal));

  async function run(api: Api, receive: Receive, signal: AbortSignal): Promise<void> {
    let self = me;
    for (let failures = 1; self === undefined && !signal.aborted; failures++) {
      await pause(pauseAfter(failures), signal);
      self = await whoAmI(api, signal).catch((error: RclawError) => {
        if (fatal.includes(error.code)) throw error;
        if (!signal.aborted) failed(error);
        return undefined;
      });
    }
    if (self === undefined || signal.aborted) return;
    const known = self;
    await listenForever(
      {
        api,
        accountId: id,
        me: known,
        webSocket: world.webSocket,
        storage,
        log,
        take: (post, place) => take(toInbound(id, post, known, place), receive, signal),
        onConnected: connected,
        onFailure: failed,
      },
      signal,
    );
  }

  /** Resolves when the message is durable, was none of ours, or was given up. */
  async function take(
    message: InboundMessage | undefined,
    receive: Receive,
    signal: AbortSignal,
  ): Promise<void> {
    if (!message) return;
    state.lastInboundAt = Date.now();
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        return await receive(message);
      } catch (error) {
        if (signal.aborted) return;
        // A store that is down is waited for; a message that fails for another reason must not hold up the others for ever.
        const mayPass = isRclawError(error) && (error.retryable || error.code === "STORE_DEGRADED");
        if (!mayPass && tries >= maxTries) {
          log.error(
            { err: error, accountId: id, message: message.id },
            `mattermost: a message was given up after ${maxTries} tries`,
          );
          return;
        }
        await pause(pauseAfter(tries), signal);
      }
    }
  }

  return {
    settings,
    /** Resolves when it receives, or keeps trying in the background. Rejects when no later try can help. */
    async start(receive: Receive, signal: AbortSignal): Promise<void> {
      state.lastStartAt = Date.now();
      const stop = (): void => void Object.assign(state, { running: false, connected: false });
      try {
        const { api } = await open();
        state.running = true;
        signal.addEventListener("abort", stop);
        await whoAmI(api, signal).then(connected, (error: RclawError) => {
          if (fatal.includes(error.code)) throw error;
          failed(error);
        });
        run(api, receive, signal).catch((error: unknown) => {
          if (signal.aborted) return;
          state.running = false;
          failed(error instanceof Error ? error : new Error(String(error)));
        });
      } catch (error) {
        stop();
        failed(error as Error);
        throw error;
      }
    },
    async send(message: OutboundMessage, signal: AbortSignal): Promise<{ id: string }> {
      const sent = await (await open()).outbox(message, signal);
      state.lastOutboundAt = Date.now();
      return sent;
    },
    async typing(
      { to, threadId }: Pick<OutboundMessage, "to" | "threadId">,
      signal: AbortSignal,
    ): Promise<void> {
      const { api } = await open();
      await api.ask("POST", "/users/me/typing", signal, {
        channel_id: channelOf(to),
        ...(threadId !== undefined && { parent_id: threadId }),
      });
    },
    async status(probe: boolean, signal: AbortSignal): Promise<ChannelAccount> {
      const asked = async (): Promise<NonNullable<ChannelAccount["probe"]>> => {
        try {
          const { api } = await open();
          return { ok: true, name: (await api.ask<Me>("GET", "/users/me", signal)).username };
        } catch (error) {
          return { ok: false, error: error instanceof Error ? error.message : String(error) };
        }
      };
      return {
        accountId: id,
        enabled: settings.enabled !== false,
        configured: settings.isConfigured,
        ...(settings.name !== undefined && { name: settings.name }),
        ...state,
        mode: "websocket",
        ...(probe && settings.isConfigured && { probe: await asked() }),
      };
    },
  };
}
