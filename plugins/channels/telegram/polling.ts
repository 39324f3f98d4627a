import { setTimeout as sleep } from "node:timers/promises";
import type { PluginContext } from "@rclaw/plugin-sdk";
import type { Update } from "grammy/types";
import type { Api } from "grammy/web";
import { apiFailure, isRefusedToken, toRclawError } from "./failures.ts";
import { albumOf, chatOf, type Me } from "./inbound.ts";
import { type Intake, pauseAfter, takeUpdates } from "./intake.ts";

export const allowedUpdates = ["message", "channel_post"] as const;

export interface PollingOptions {
  readonly api: Api;
  readonly token: string;
  readonly me: Me;
  readonly storage: PluginContext["storage"];
  readonly intake: Intake;
  onConnected(): void;
  onFailure(message: string): void;
  now(): number;
}

/** Telegram keeps updates for a day, and after a quiet week their numbers start anew: an older offset could skip messages. */
const offsetLifeMs = 86_400_000;

interface Offset {
  readonly botId: number;
  readonly offset: number;
  readonly at: number;
}

/**
 * Asks for updates until `signal` aborts; rejects only when the token is refused. An
 * offset is confirmed to Telegram after every update before it was taken, so a crash
 * at any moment leads to redelivery, never to loss.
 */
export async function poll(options: PollingOptions, signal: AbortSignal): Promise<void> {
  const { me, storage, intake, now } = options;
  const { log, timing, accountId } = intake;
  const key = `offset:${accountId}`;
  let last = await readOffset(storage, key);
  let failures = 0;
  let seen: string | undefined;
  /** The first poll after a failure asks for an answer at once: it tells whether all is well again. */
  let isBack = false;

  while (!signal.aborted) {
    const isCurrent = last?.botId === me.id && now() - last.at < offsetLifeMs;
    try {
      const updates = await getUpdates(
        options,
        { offset: isCurrent ? last?.offset : undefined, seconds: isBack ? 0 : timing.pollSeconds },
        signal,
      );
      isBack = false;
      options.onConnected();
      const newest = updates.at(-1);
      const album = openAlbum(updates);
      if (album !== undefined && album !== seen) {
        // Asked for once more from the same place, so that its pictures come together.
        seen = album;
        await sleep(timing.albumMs, undefined, { signal });
        continue;
      }
      if (newest) await takeAll(updates, options, signal);
      // Not before they were taken: what fails here again and again must wait longer and longer.
      failures = 0;
      if (!newest) continue;
      // Stopped meanwhile: another start may have begun, whose offset must not be set back.
      if (signal.aborted) return;
      last = { botId: me.id, offset: newest.update_id + 1, at: now() };
      // The next poll confirms the offset as well; this copy only spares a restart the redelivery.
      await storage
        .set(key, last)
        .catch((error: unknown) =>
          log.warn({ err: error, accountId }, "telegram: the offset could not be stored"),
        );
    } catch (error) {
      if (signal.aborted) return;
      if (isRefusedToken(error)) throw error;
      failures++;
      // Not against another program: each would end the other's poll and take that for success.
      isBack = !isConflict(error);
      options.onFailure(explain(error, options.token));
      const asked = apiFailure(error)?.retryAfterMs ?? 0;
      await sleep(Math.max(asked, pauseAfter(failures, timing)), undefined, { signal }).catch(
        () => undefined,
      );
    }
  }
}

/** Chats side by side, each chat in order. */
async function takeAll(
  updates: readonly Update[],
  { me, intake }: PollingOptions,
  signal: AbortSignal,
): Promise<void> {
  const chats = new Map<number | undefined, Update[][]>();
  for (const update of updates) {
    const chat = chatOf(update);
    const list = chats.get(chat) ?? [];
    chats.set(chat, list);
    const album = albumOf(update);
    const before = list.at(-1);
    if (album !== undefined && before?.[0] && albumOf(before[0]) === album) before.push(update);
    else list.push([update]);
  }
  await Promise.all(
    [...chats.values()].map(async (list) => {
      for (const together of list) await takeUpdates(together, me, intake, signal);
    }),
  );
}

/** The album that the newest update belongs to, and how much of it is there: more may be on its way. */
function openAlbum(updates: readonly Update[]): string | undefined {
  const newest = updates.at(-1);
  const album = newest && albumOf(newest);
  if (album === undefined) return undefined;
  return `${album}:${updates.filter((update) => albumOf(update) === album).length}`;
}

/** A connection that died without a word (sleep, a lost NAT entry) would wait for ever; the watchdog ends it. */
async function getUpdates(
  { api, intake }: PollingOptions,
  { offset, seconds }: { readonly offset: number | undefined; readonly seconds: number },
  signal: AbortSignal,
): Promise<readonly Update[]> {
  const watchdog = new AbortController();
  const onAbort = (): void => watchdog.abort(signal.reason);
  const limit = seconds * 1_000 + intake.timing.stallMs;
  let stalled = false;
  const timer = setTimeout(() => {
    stalled = true;
    watchdog.abort();
  }, limit);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const answer: unknown = await api.getUpdates(
      {
        ...(offset !== undefined && { offset }),
        limit: 100,
        timeout: seconds,
        allowed_updates: [...allowedUpdates],
      },
      watchdog.signal as never,
    );
    if (!Array.isArray(answer) || !answer.every(isUpdate))
      throw new Error("the answer holds something that is no update");
    return answer;
  } catch (error) {
    if (stalled) throw new Error(`no answer for ${limit} ms; connecting anew`, { cause: error });
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

function isUpdate(item: unknown): item is Update {
  return Number.isSafeInteger((item as Update | null)?.update_id);
}

function isConflict(error: unknown): boolean {
  return apiFailure(error)?.status === 409;
}

function explain(error: unknown, token: string): string {
  if (isConflict(error)) {
    return "another program polls with this bot token (409 conflict); stop it, or give this account a token of its own";
  }
  return toRclawError(error, "getUpdates", token).message.replace(/; it may have arrived.*$/, "");
}

async function readOffset(storage: PluginContext["storage"], key: string): Promise<Offset | undefined> {
  const stored = (await storage.get(key)) as Partial<Offset> | undefined;
  const isWhole = [stored?.botId, stored?.offset, stored?.at].every((field) => Number.isSafeInteger(field));
  return isWhole ? (stored as Offset) : undefined;
}
