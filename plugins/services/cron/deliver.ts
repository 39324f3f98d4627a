import type { PluginContext } from "@rclaw/plugin-sdk";
import type { CronJob, RunEntry } from "./methods.schema.ts";

export interface Delivered extends Pick<RunEntry, "delivered" | "deliveryError"> {
  readonly status?: RunEntry["status"];
  readonly error?: string;
}

type Context = Pick<PluginContext, "methods" | "sessions" | "channels" | "signal" | "log">;

interface Address {
  readonly channel: string;
  readonly to: string;
  readonly accountId: string;
  readonly threadId?: string;
}

/** What a model says when there is nothing to say. */
const silence = /^\s*(?:NO_REPLY|HEARTBEAT_OK)\W*$/;

/** Brings an answer to where the job wants it; a job whose answer does not get there has failed, unless it said that this may be. */
export async function announce(
  context: Context,
  job: CronJob,
  text: string,
  leaving: () => Promise<boolean>,
): Promise<Delivered> {
  const { delivery } = job;
  if (delivery?.mode !== "announce") return {};
  if (text === "" || silence.test(text)) return { delivered: false };
  const address = await addressOf(context, job);
  if (typeof address === "string") return notDelivered(job, address);
  if (!address) return keepForMain(context, job, text);
  // Whether it had left when the process ended, nobody can say; twice is worse than asked.
  if (!(await leaving())) return {};
  const { channel, ...place } = address;
  try {
    const sent = await context.channels.deliver(channel, { ...place, text }, context.signal);
    return sent ? { delivered: true } : notDelivered(job, "a message_sending hook cancelled the delivery");
  } catch (error) {
    context.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    context.log.warn(
      { err: error, jobId: job.id, channel },
      `the answer of cron job ${job.id} was not delivered`,
    );
    return notDelivered(job, reason);
  }
}

function notDelivered({ delivery }: CronJob, reason: string): Delivered {
  const failed = { delivered: false, deliveryError: reason } as const;
  return delivery?.bestEffort ? failed : { ...failed, status: "error", error: reason };
}

/** Where to, why that is nowhere, or undefined when there has been no chat that could be meant. */
async function addressOf(
  { sessions }: Context,
  { delivery, sessionKey, agentId, sessionTarget }: CronJob,
): Promise<Address | string | undefined> {
  const home = sessionTarget.startsWith("session:") ? sessionTarget.slice("session:".length) : sessionKey;
  const entry = await sessions.find(
    sessions.canonical(home ?? (agentId === undefined ? "main" : `agent:${agentId}:main`)),
  );
  const { lastChannel, lastTo, lastAccountId, lastThreadId }: Readonly<Record<string, unknown>> = entry ?? {};
  const wanted = delivery?.channel?.trim().toLowerCase() ?? "last";
  const isLast = wanted === "last" || wanted === lastChannel;
  const channel = wanted === "last" ? text(lastChannel) : wanted;
  const to = delivery?.to?.trim() || (isLast ? text(lastTo) : undefined);
  if (channel === undefined || channel === "webchat")
    return to === undefined ? undefined : `there is no channel to reach ${to} through; set delivery.channel`;
  if (to === undefined) return `delivering to ${channel} needs a target; set delivery.to`;
  const thread = delivery?.threadId ?? (isLast && to === lastTo ? text(lastThreadId) : undefined);
  return {
    channel,
    to,
    accountId: delivery?.accountId ?? (isLast ? text(lastAccountId) : undefined) ?? "default",
    ...(thread !== undefined && { threadId: String(thread) }),
  };
}

/** Nobody has written over a channel yet: the assistant is told, and can say it when somebody does. */
async function keepForMain(
  { methods }: Context,
  { agentId, sessionKey }: CronJob,
  answer: string,
): Promise<Delivered> {
  await methods.call("wake", {
    mode: "next-heartbeat",
    text: `Cron: ${answer}`,
    ...(sessionKey !== undefined && { sessionKey }),
    ...(agentId !== undefined && { agentId }),
  });
  return { delivered: false };
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
