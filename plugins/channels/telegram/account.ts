import { setTimeout as sleep } from "node:timers/promises";
import { type ChannelAccount, type OutboundMessage, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { Api } from "grammy/web";
import type { AccountSettings, TelegramConfig } from "./config.ts";
import { isRefusedToken, jsonOnly, redact, toRclawError } from "./failures.ts";
import type { Me } from "./inbound.ts";
import { type Intake, pauseAfter, readUpdate, type Receive, type Timing } from "./intake.ts";
import { chatId, createOutbox, type Outbox, threadOf } from "./outbound.ts";
import { allowedUpdates, poll } from "./polling.ts";
import type { WebhookAccount } from "./webhook.ts";

/** One bot: its connection, and what is known of it. */
export interface Account {
  readonly settings: AccountSettings;
  /** Resolves when it receives, or when it keeps trying in the background. Rejects when no later try can help. */
  start(receive: Receive, signal: AbortSignal): Promise<void>;
  send(message: OutboundMessage, signal: AbortSignal): Promise<{ id: string }>;
  typing(target: Pick<OutboundMessage, "to" | "threadId">, signal: AbortSignal): Promise<void>;
  status(probe: boolean, signal: AbortSignal): Promise<ChannelAccount>;
  /** There while it receives by webhook. */
  webhook(): WebhookAccount | undefined;
}

export interface AccountOptions {
  readonly settings: AccountSettings;
  readonly context: Pick<PluginContext<TelegramConfig>, "fetch" | "log" | "secrets" | "storage">;
  readonly timing: Timing;
  now(): number;
}

interface Client {
  readonly api: Api;
  readonly token: string;
  readonly outbox: Outbox;
}

interface State {
  running: boolean;
  connected: boolean;
  lastError?: string;
  lastStartAt?: number;
  lastInboundAt?: number;
  lastOutboundAt?: number;
}

export function createAccount({ settings, context, timing, now }: AccountOptions): Account {
  const { id } = settings;
  const { log } = context;
  const state: State = { running: false, connected: false };
  let client: Promise<Client> | undefined;
  let hook: WebhookAccount | undefined;

  const connectedNow = (): void => {
    state.connected = true;
    delete state.lastError;
  };
  const failed = (message: string): void => {
    if (state.lastError !== message)
      log.warn({ accountId: id, reason: message }, "telegram: trouble with an account");
    state.connected = false;
    state.lastError = message;
  };

  /** grammY is loaded with the first account that is used, not with the plugin. */
  function ready(): Promise<Client> {
    client ??= connectClient(settings, context);
    client.catch(() => (client = undefined));
    return client;
  }

  async function connect({ api, token }: Client, intake: Intake, signal: AbortSignal): Promise<Me> {
    try {
      const me = await api.getMe(signal as never);
      if (!settings.webhookUrl) {
        // Telegram answers polls with 409 as long as a webhook is set.
        await api.deleteWebhook({}, signal as never);
        return me;
      }
      const secret = await webhookSecret(settings, context);
      hook = {
        id,
        secret,
        take: async (update) => {
          const message = readUpdate(update, me, intake);
          if (message) await intake.receive(message);
        },
        onGivenUp: (update, error) =>
          log.error(
            { err: error, accountId: id, update: update.update_id },
            "telegram: an update was given up",
          ),
      };
      await api.setWebhook(
        settings.webhookUrl,
        { secret_token: secret, allowed_updates: [...allowedUpdates] },
        signal as never,
      );
      return me;
    } catch (error) {
      if (isRefusedToken(error)) throw refusedToken(id);
      throw error instanceof RclawError ? error : toRclawError(error, "the first call", token, signal);
    }
  }

  async function run(first: Me | undefined, bot: Client, intake: Intake, signal: AbortSignal): Promise<void> {
    let me = first;
    for (let failures = 1; !me && !signal.aborted; failures++) {
      await sleep(pauseAfter(failures, timing), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      me = await connect(bot, intake, signal).catch((error: RclawError) => {
        if (isFatal(error)) throw error;
        failed(error.message);
        return undefined;
      });
      if (me) connectedNow();
    }
    if (!me || settings.webhookUrl) return;
    await poll(
      {
        api: bot.api,
        token: bot.token,
        me,
        storage: context.storage,
        intake,
        onConnected: connectedNow,
        onFailure: failed,
        now,
      },
      signal,
    );
  }

  async function start(receive: Receive, signal: AbortSignal): Promise<void> {
    state.lastStartAt = now();
    const intake: Intake = {
      accountId: id,
      receive,
      log,
      timing,
      onMessage: () => (state.lastInboundAt = now()),
    };
    const stop = (): void => {
      Object.assign(state, { running: false, connected: false });
      hook = undefined;
    };
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (settings.webhookUrl) await webhookSecret(settings, context);
      const bot = await ready();
      state.running = true;
      let me: Me | undefined;
      try {
        me = await connect(bot, intake, signal);
        connectedNow();
      } catch (error) {
        if (isFatal(error as RclawError)) throw error;
        failed((error as Error).message);
      }
      run(me, bot, intake, signal).catch((error: unknown) => {
        if (signal.aborted) return;
        state.running = false;
        failed(
          isRefusedToken(error)
            ? refusedToken(id).message
            : redact(error instanceof Error ? error.message : String(error), bot.token),
        );
      });
    } catch (error) {
      signal.removeEventListener("abort", stop);
      stop();
      failed((error as Error).message);
      throw error;
    }
  }

  async function probed(signal: AbortSignal): Promise<NonNullable<ChannelAccount["probe"]>> {
    const bot = await ready().catch((error: Error) => error);
    if (bot instanceof Error) return { ok: false, error: bot.message };
    return bot.api.getMe(signal as never).then(
      ({ username, first_name: name }) => ({ ok: true, name: username ?? name }),
      (error: unknown) => ({
        ok: false,
        error: isRefusedToken(error)
          ? refusedToken(id).message
          : toRclawError(error, "getMe", bot.token).message,
      }),
    );
  }

  return {
    settings,
    start,
    async send(message, signal) {
      const sent = await (await ready()).outbox(message, signal);
      state.lastOutboundAt = now();
      return sent;
    },
    async typing({ to, threadId }, signal) {
      const { api, token } = await ready();
      await api
        .sendChatAction(chatId(to), "typing", threadOf(threadId), signal as never)
        .catch((error: unknown) => {
          throw toRclawError(error, "sendChatAction", token, signal);
        });
    },
    async status(probe, signal) {
      const configured = Boolean(settings.botToken);
      return {
        accountId: id,
        enabled: settings.enabled !== false,
        configured,
        ...(settings.name !== undefined && { name: settings.name }),
        ...state,
        mode: settings.webhookUrl ? "webhook" : "polling",
        ...(probe && configured && { probe: await probed(signal) }),
      };
    },
    webhook: () => hook,
  };
}

async function connectClient(
  settings: AccountSettings,
  { fetch, secrets }: AccountOptions["context"],
): Promise<Client> {
  const { id, botToken, apiRoot, linkPreview = true } = settings;
  if (!botToken)
    throw new RclawError(
      "CONFIG_INVALID",
      `telegram account "${id}" has no bot token; run: rclaw plugin add telegram`,
      { details: { accountId: id } },
    );
  const token = await secrets.resolve(botToken);
  // A colon-less token would only be noticed as a 404 much later; a slash in it would call another path.
  if (!/^\d+:[A-Za-z0-9_-]+$/.test(token)) {
    throw new RclawError(
      "CONFIG_INVALID",
      `the bot token of telegram account "${id}" does not look like one; copy it from @BotFather`,
      { details: { accountId: id } },
    );
  }
  const { Api } = await import("grammy/web");
  const api = new Api(token, { apiRoot, fetch: jsonOnly(fetch), timeoutSeconds: 60 });
  return { api, token, outbox: createOutbox({ api, token, linkPreview }) };
}

async function webhookSecret(
  { id, webhookSecret: given }: AccountSettings,
  { secrets }: AccountOptions["context"],
): Promise<string> {
  const secret = given ? await secrets.resolve(given) : "";
  if (/^[A-Za-z0-9_-]{1,256}$/.test(secret)) return secret;
  throw new RclawError(
    "CONFIG_INVALID",
    `telegram account "${id}" has a webhookUrl but no usable webhookSecret, so anybody could write in Telegram's name; set 1 to 256 letters, digits, - or _`,
    { details: { accountId: id } },
  );
}

function refusedToken(id: string): RclawError {
  return new RclawError(
    "UNAUTHORIZED",
    `telegram does not accept the bot token of account "${id}"; copy it anew from @BotFather`,
    { details: { accountId: id } },
  );
}

function isFatal(error: RclawError): boolean {
  return ["UNAUTHORIZED", "CONFIG_INVALID", "EGRESS_DENIED", "NOT_FOUND", "PERMISSION_DENIED"].includes(
    error.code,
  );
}
