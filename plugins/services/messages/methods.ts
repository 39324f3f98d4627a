import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { Mirror } from "./mirror.ts";
import { messageActionParams, pollParams, sendParams } from "./methods.schema.ts";
import type { Once, Outcome } from "./once.ts";

export interface MethodsOptions {
  readonly context: PluginContext;
  readonly once: Once;
  readonly mirror: Mirror;
}

interface SendCall {
  readonly to: string;
  readonly message?: string;
  readonly mediaUrl?: string;
  readonly mediaUrls?: readonly string[];
  readonly buffer?: string;
  readonly parseMode?: string;
  readonly channel?: string;
  readonly accountId?: string;
  readonly threadId?: string;
  readonly replyToId?: string;
  readonly sessionKey?: string;
  readonly idempotencyKey: string;
}

interface ActionCall {
  readonly channel: string;
  readonly action: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly accountId?: unknown;
  readonly sessionKey?: unknown;
  readonly idempotencyKey: string;
}

interface Account {
  readonly accountId: string;
  readonly enabled?: boolean;
  readonly configured?: boolean;
}

interface Status {
  readonly channelOrder: readonly string[];
  readonly channelLabels: Readonly<Record<string, string>>;
  readonly channelAccounts: Readonly<Record<string, readonly Account[]>>;
  readonly channelDefaultAccountId: Readonly<Record<string, string>>;
}

const invalid = (message: string): RclawError => new RclawError("INVALID_REQUEST", message);
const trimmed = (text: string | undefined): string | undefined => text?.trim() || undefined;

/** send, poll and message.action: what a client does on a chat platform by itself. */
export function messageMethods({ context, once, mirror }: MethodsOptions): readonly Method[] {
  /** What the channels say of themselves; there is no second account of it. */
  const ask = async (): Promise<Status> =>
    (await context.methods.call("channels.status", {}, { signal: context.signal })) as Status;

  /** The channel that is meant: the one that is named, or the only one there is. */
  function choose(status: Status, named: string | undefined, unsupported: string): string {
    const channel = named?.trim().toLowerCase();
    if (channel) {
      if (status.channelOrder.includes(channel)) return channel;
      throw invalid(`${unsupported}: ${named}`);
    }
    const ready = status.channelOrder.filter((id) => status.channelAccounts[id]?.some(isReady));
    const [only, ...others] = ready;
    if (only === undefined) throw invalid("Error: Channel is required (no configured channels detected).");
    if (others.length === 0) return only;
    throw invalid(`Error: Channel is required when multiple channels are configured: ${ready.join(", ")}`);
  }

  function accountOf(status: Status, channel: string, named: string | undefined): string {
    const wanted = trimmed(named);
    if (wanted === undefined) return status.channelDefaultAccountId[channel] ?? "default";
    const found = status.channelAccounts[channel]?.find(
      ({ accountId }) => accountId.toLowerCase() === wanted.toLowerCase(),
    );
    if (!found) throw invalid(`Error: Unknown account "${wanted}" for channel ${channel}.`);
    if (found.enabled === false)
      throw invalid(`Error: Account "${found.accountId}" for channel ${channel} is disabled.`);
    return found.accountId;
  }

  async function send(params: SendCall, caller: Caller): Promise<unknown> {
    const text = textOf(params);
    const { idempotencyKey, ...rest } = params;
    const request = { method: "send", principal: caller.principal, key: idempotencyKey, params: rest };
    return answer(
      idempotencyKey,
      await once(request, async (leaving) => {
        if (params.channel?.trim().toLowerCase() === "webchat") throw invalid(internalOnly);
        const status = await ask();
        const channel = choose(status, params.channel, "unsupported channel");
        const accountId = accountOf(status, channel, params.accountId);
        const to = targetOf(params.to, channel);
        if (to === "")
          throw invalid(`Error: Delivering to ${status.channelLabels[channel] ?? channel} requires target`);
        const threadId = trimmed(params.threadId);
        const replyTo = trimmed(params.replyToId);
        const message = {
          accountId,
          to,
          text,
          ...(threadId !== undefined && { threadId }),
          ...(replyTo !== undefined && { replyTo }),
        };
        await leaving();
        // Whoever asked may be gone before it has left, and asks again for what it came to.
        const sent = await context.channels.deliver(channel, message, context.signal);
        if (!sent) throw new Error("No delivery result");
        const sessionKey = trimmed(params.sessionKey);
        if (sessionKey !== undefined) await mirror(sessionKey, text);
        return { messageId: sent.id, channel, chatId: to };
      }),
    );
  }

  async function poll(params: {
    readonly channel?: string;
    readonly durationSeconds?: number;
    readonly isAnonymous?: boolean;
  }): Promise<never> {
    const channel = choose(await ask(), params.channel, "unsupported poll channel");
    if (channel !== "telegram") {
      for (const name of ["durationSeconds", "isAnonymous"] as const)
        if (params[name] !== undefined) throw invalid(`${name} is only supported for Telegram polls`);
    }
    throw invalid(`unsupported poll channel: ${channel}`);
  }

  /** OpenClaw's command line sends with it since 2026.9. */
  async function act(params: ActionCall, caller: Caller): Promise<unknown> {
    if (params.channel.trim().toLowerCase() === "webchat") throw invalid(internalOnly);
    if (params.action === "send") return send(sendCallOf(params), caller);
    const channel = choose(await ask(), params.channel, "unsupported channel");
    throw invalid(`Channel ${channel} does not support action ${params.action}.`);
  }

  return [
    defineMethod({
      name: "send",
      since: "2026.2.17",
      params: sendParams,
      handle: ({ params, caller }) => send(params as SendCall, caller),
    }),
    defineMethod({
      name: "poll",
      since: "2026.2.17",
      params: pollParams,
      handle: ({ params }) => poll(params as Parameters<typeof poll>[0]),
    }),
    defineMethod({
      name: "message.action",
      since: "2026.5.7",
      params: messageActionParams,
      handle: ({ params, caller }) => act(params, caller),
    }),
  ];
}

const internalOnly =
  "unsupported channel: webchat (internal-only). Use `chat.send` for WebChat UI messages or choose a deliverable channel.";

const isReady = ({ configured, enabled }: Account): boolean => configured === true && enabled !== false;

/** Channels carry text. What lies on the web goes along as its address; a file of this machine does not leave it. */
function textOf({ message, mediaUrl, mediaUrls = [], buffer, parseMode }: SendCall): string {
  const media = [...new Set([mediaUrl ?? "", ...mediaUrls].map((url) => url.trim()).filter(Boolean))];
  const text = message?.trim() ?? "";
  if (buffer !== undefined)
    throw invalid("channels carry text only: send the file's address on the web as mediaUrl, without buffer");
  if (parseMode !== undefined)
    throw invalid("channels take Markdown and turn it into their own markup: leave out parseMode");
  if (text === "" && media.length === 0) throw invalid("invalid send params: text or media is required");
  const other = media.find((url) => !/^https?:\/\/\S+$/i.test(url));
  if (other !== undefined)
    throw invalid(
      `channels carry text only: "${other.slice(0, 80)}" is no http or https address to send along`,
    );
  return [text, ...media].filter(Boolean).join("\n");
}

/** What stands in an action's params nobody has looked at yet. */
function sendCallOf({ channel, params, accountId, sessionKey, idempotencyKey }: ActionCall): SendCall {
  const text = (...values: readonly unknown[]): string | undefined =>
    values.find((value) => typeof value === "string" && value.trim() !== "") as string | undefined;
  const { mediaUrls } = params;
  const call = {
    message: text(params["message"]),
    mediaUrl: text(params["mediaUrl"], params["media"]),
    mediaUrls: Array.isArray(mediaUrls) ? mediaUrls.filter((url) => typeof url === "string") : undefined,
    buffer: text(params["buffer"]),
    accountId: text(params["accountId"], accountId),
    threadId: text(params["threadId"]),
    replyToId: text(params["replyTo"], params["replyToId"]),
    sessionKey: text(sessionKey),
  };
  // The bounds of `send`, whose params are looked at before they come here.
  if ((call.message?.length ?? 0) > 200_000 || (call.mediaUrls?.length ?? 0) > 32)
    throw invalid(
      "invalid message.action params: at most 200000 characters and 32 mediaUrls are sent at once",
    );
  const given = Object.fromEntries(Object.entries(call).filter(([, value]) => value !== undefined));
  return { ...given, to: text(params["to"], params["target"]) ?? "", channel, idempotencyKey };
}

/** Some clients write "telegram:42" for 42. */
function targetOf(to: string, channel: string): string {
  const target = to.trim();
  const prefix = `${channel}:`;
  return target.toLowerCase().startsWith(prefix) ? target.slice(prefix.length).trim() : target;
}

function answer(runId: string, outcome: Outcome): unknown {
  if ("error" in outcome) throw new RclawError("UNAVAILABLE", outcome.error);
  return { runId, ...outcome.payload };
}
