import { setTimeout as sleep } from "node:timers/promises";
import { type InboundMessage, isRclawError, type Logger } from "@rclaw/plugin-sdk";
import type { Update } from "grammy/types";
import { asOne, toInbound, type Me } from "./inbound.ts";

export type Receive = (message: InboundMessage) => Promise<void>;

/** Pauses and limits; tests shorten them. */
export interface Timing {
  /** How long Telegram holds an empty poll open. */
  readonly pollSeconds: number;
  /** What a poll may take beyond that before its connection counts as dead. */
  readonly stallMs: number;
  /** First and longest pause after a failure. */
  readonly minPauseMs: number;
  readonly maxPauseMs: number;
  /** How long after its last picture an album counts as whole. */
  readonly albumMs: number;
}

export const defaultTiming: Timing = {
  pollSeconds: 30,
  stallMs: 15_000,
  minPauseMs: 250,
  maxPauseMs: 30_000,
  albumMs: 500,
};

export const maxTries = 5;

export interface Intake {
  readonly accountId: string;
  readonly receive: Receive;
  readonly log: Logger;
  readonly timing: Timing;
  onMessage(): void;
}

/**
 * Hands in one update, or the updates of one album, and resolves when they may be
 * acknowledged: they are durable, none of ours, or were given up. A store that is down is waited for; a message that fails for
 * another reason gets five tries, so that one bad message cannot hold up its chat for ever.
 */
export async function takeUpdates(
  updates: readonly Update[],
  me: Me,
  intake: Intake,
  signal: AbortSignal,
): Promise<void> {
  const message = asOne(
    updates.map((update) => readUpdate(update, me, intake)).filter((read) => read !== undefined),
  );
  if (!message) return;
  const { accountId, receive, log, timing } = intake;
  let strikes = 0;
  for (let tries = 1; ; tries++) {
    try {
      return await receive(message);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!mayPass(error) && ++strikes === maxTries) {
        log.error(
          { err: error, accountId, message: message.id },
          `telegram: a message was given up after ${maxTries} tries`,
        );
        return;
      }
      await sleep(pauseAfter(tries, timing), undefined, { signal });
    }
  }
}

/** The message in an update, or undefined when there is none to take. */
export function readUpdate(
  update: Update,
  me: Me,
  { accountId, log, onMessage }: Intake,
): InboundMessage | undefined {
  try {
    const message = toInbound(accountId, update, me);
    if (message) onMessage();
    return message;
  } catch (error) {
    // The same bytes would fail the same way next time.
    log.error(
      { err: error, accountId, update: update.update_id },
      "telegram: an update could not be read and was skipped",
    );
    return undefined;
  }
}

/** Nothing is wrong with the message itself. */
export function mayPass(error: unknown): boolean {
  return isRclawError(error) && (error.retryable || error.code === "STORE_DEGRADED");
}

export function pauseAfter(failures: number, { minPauseMs, maxPauseMs }: Timing): number {
  return Math.min(maxPauseMs, minPauseMs * 2 ** Math.min(failures - 1, 16)) * (0.8 + Math.random() * 0.4);
}
