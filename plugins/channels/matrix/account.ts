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
import type { AccountSettings, MatrixConfig } from "./config.ts";
import { type Me, type RoomEvent, toInbound } from "./inbound.ts";
import { createOutbox, roomOf } from "./outbound.ts";
import { createRooms, type Rooms } from "./rooms.ts";
import { syncForever } from "./sync.ts";

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
const rememberedOwn = 500;
const fatal = ["UNAUTHORIZED", "CONFIG_INVALID", "EGRESS_DENIED", "PERMISSION_DENIED", "NOT_FOUND"];

/** One account: its connection, and what is known of it. */
export function createAccount(
  settings: AccountSettings,
  {
    secrets,
    storage,
    log,
    ...world
  }: Pick<PluginContext<MatrixConfig>, "fetch" | "secrets" | "storage" | "log">,
) {
  const { id } = settings;
  const state: State = {
    running: false,
    connected: false,
  };
  /** Events this account wrote, to know answers to them. */
  const own = new Set<string>();
  let opened: Promise<{ api: Api; outbox: ReturnType<typeof createOutbox> }> | undefined;
  let userId: string | undefined;

  function failed(error: Error): void {
    if (state.lastError !== error.message)
      log.warn({ accountId: id, reason: error.message }, "matrix: trouble with an account");
    Object.assign(state, { connected: false, lastError: error.message });
  }
  function connected(): void {
    state.connected = true;
    delete state.lastError;
  }

  function open() {
    opened ??= (async () => {
      const { homeserver, accessToken } = settings;
      if (!homeserver || !accessToken)
        throw new RclawError(
          "CONFIG_INVALID",
          `matrix account "${id}" lacks homeserver or accessToken; run: rclaw plugin add matrix`,
        );
      const api = createApi({
        homeserver,
        token: await secrets.resolve(accessToken),
        accountId: id,
        fetch: world.fetch,
      });
      const onSent = (eventId: string): void => {
        own.add(eventId);
        for (const oldest of own) if (own.size > rememberedOwn) own.delete(oldest);
      };
      return { api, outbox: createOutbox(api, onSent) };
    })();
    opened.catch(() => (opened = undefined));
    return opened;
  }

  const whoAmI = async (api: Api, signal: AbortSignal): Promise<string> =>
    (userId ??= (await api.ask<{ user_id: string }>("GET", "/account/whoami", { signal })).user_id);

  async function run(api: Api, receive: Receive, signal: AbortSignal): Promise<void> {
    let self = userId;
    for (let failures = 1; self === undefined && !signal.aborted; failures++) {
      await pause(pauseAfter(failures), signal);
      self = await whoAmI(api, signal).catch((error: RclawError) => {
        if (fatal.includes(error.code)) throw error;
        if (!signal.aborted) failed(error);
        return undefined;
      });
    }
    if (self === undefined || signal.aborted) return;
    const name = self;
    const profile = await api
      .ask<{ displayname?: string }>("GET", `/profile/${encodeURIComponent(name)}`, { signal })
      .catch(() => ({ displayname: undefined }));
    const me: Me = { userId: name, displayName: profile.displayname, wrote: (event) => own.has(event) };
    const rooms = createRooms({ api, accountId: id, userId: name, storage, log });
    await syncForever(
      {
        api,
        accountId: id,
        userId: name,
        rooms,
        autoJoin: settings.autoJoin !== false,
        storage,
        log,
        take: (roomId, event, life) => take({ roomId, event, me, rooms }, receive, life),
        onConnected: connected,
        onFailure: failed,
      },
      signal,
    );
  }

  /** Resolves when the message is durable, was none of ours, or was given up. */
  async function take(
    { roomId, event, me, rooms }: { roomId: string; event: RoomEvent; me: Me; rooms: Rooms },
    receive: Receive,
    signal: AbortSignal,
  ): Promise<void> {
    if (event.type === "m.room.encrypted")
      log.warn(
        { accountId: id, room: roomId },
        "matrix: a message is encrypted and cannot be read; use a room without encryption",
      );
    if (event.type !== "m.room.message") return;
    const message = toInbound(event, me, {
      accountId: id,
      roomId,
      isDirect: await rooms.isDirect(roomId, signal),
      roomName: rooms.name(roomId),
      senderName: rooms.memberName(roomId, event.sender ?? ""),
    });
    if (!message) return;
    state.lastInboundAt = Date.now();
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        return await receive(message);
      } catch (error) {
        if (signal.aborted) return;
        // A store that is down is waited for; a message that fails for another reason must not hold up its room for ever.
        const mayPass = isRclawError(error) && (error.retryable || error.code === "STORE_DEGRADED");
        if (!mayPass && tries >= maxTries) {
          log.error(
            { err: error, accountId: id, message: message.id },
            `matrix: a message was given up after ${maxTries} tries`,
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
    async typing(to: string, signal: AbortSignal): Promise<void> {
      const { api } = await open();
      const user = encodeURIComponent(await whoAmI(api, signal));
      await api.ask("PUT", `/rooms/${encodeURIComponent(roomOf(to))}/typing/${user}`, {
        signal,
        body: { typing: true, timeout: 10_000 },
      });
    },
    async status(probe: boolean, signal: AbortSignal): Promise<ChannelAccount> {
      const asked = async (): Promise<NonNullable<ChannelAccount["probe"]>> => {
        try {
          const { api } = await open();
          const { user_id: name } = await api.ask<{ user_id: string }>("GET", "/account/whoami", { signal });
          return { ok: true, name };
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
        mode: "polling",
        ...(probe && settings.isConfigured && { probe: await asked() }),
      };
    },
  };
}
