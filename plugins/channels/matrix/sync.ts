import { isRclawError, type PluginContext } from "@rclaw/plugin-sdk";
import { pause, pauseAfter } from "@rclaw/plugin-sdk/pause";
import type { Api } from "./api.ts";
import type { RoomEvent } from "./inbound.ts";
import type { Rooms } from "./rooms.ts";

interface Joined {
  readonly state?: { readonly events?: readonly RoomEvent[] };
  readonly timeline?: {
    readonly events?: readonly RoomEvent[];
    readonly limited?: boolean;
    readonly prev_batch?: string;
  };
}

interface Sync {
  readonly next_batch: string;
  readonly account_data?: { readonly events?: readonly RoomEvent[] };
  readonly rooms?: {
    readonly join?: Readonly<Record<string, Joined>>;
    readonly invite?: Readonly<
      Record<string, { readonly invite_state?: { readonly events?: readonly RoomEvent[] } }>
    >;
  };
}

export interface SyncOptions {
  readonly api: Api;
  readonly accountId: string;
  readonly userId: string;
  readonly rooms: Rooms;
  readonly autoJoin: boolean;
  readonly storage: PluginContext["storage"];
  readonly log: PluginContext["log"];
  /** Resolves when the event may be acknowledged. */
  take(roomId: string, event: RoomEvent, signal: AbortSignal): Promise<void>;
  onConnected(): void;
  onFailure(error: Error): void;
}

const pollMs = 30_000;
/** What a poll may take beyond that before its connection counts as dead. */
const stallMs = 15_000;
const pageLimit = 100;
const filter = encodeURIComponent(
  JSON.stringify({
    presence: { types: [] },
    room: { timeline: { limit: 100 }, state: { lazy_load_members: true }, ephemeral: { types: [] } },
  }),
);

/**
 * Asks for what is new until `signal` aborts; rejects only when the token is refused. The place in the
 * stream is stored after everything before it was taken, so that a crash leads to redelivery, never to loss.
 */
export async function syncForever(options: SyncOptions, signal: AbortSignal): Promise<void> {
  const { api, accountId, userId, storage } = options;
  const key = `since:${accountId}`;
  const stored = (await storage.get(key)) as { userId?: string; since?: string } | undefined;
  // Another account's place in the stream means nothing.
  let since = stored?.userId === userId ? stored.since : undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      // The first answer after a failure is wanted at once: it tells whether all is well again.
      const wait = since === undefined || failures > 0 ? 0 : pollMs;
      const place = since === undefined ? "" : `&since=${encodeURIComponent(since)}`;
      const answer = await api.ask<Sync>("GET", `/sync?timeout=${wait}&filter=${filter}${place}`, {
        signal,
        timeoutMs: wait + stallMs,
      });
      options.onConnected();
      await takeAll(answer, since, options, signal);
      // Stopped meanwhile: another start may have begun, whose place must not be set back.
      if (signal.aborted) return;
      failures = 0;
      if (answer.next_batch === since) continue;
      since = answer.next_batch;
      await storage.set(key, { userId, since });
    } catch (error) {
      if (signal.aborted) return;
      if (isRclawError(error) && error.code === "UNAUTHORIZED") throw error;
      if (isRclawError(error) && error.details?.["errcode"] === "M_UNKNOWN_POS") since = undefined;
      failures++;
      options.onFailure(error as Error);
      const asked = isRclawError(error) ? Number(error.details?.["retryAfterMs"] ?? 0) : 0;
      await pause(Math.max(asked, pauseAfter(failures)), signal);
    }
  }
}

/** Rooms side by side, each in order. Of the very first answer only the state counts: what was said before is over. */
async function takeAll(
  { account_data: data, rooms: changed = {} }: Sync,
  since: string | undefined,
  options: SyncOptions,
  signal: AbortSignal,
): Promise<void> {
  const { rooms, take, autoJoin, userId, log, accountId } = options;
  const direct = data?.events?.findLast(({ type }) => type === "m.direct")?.content ?? {};
  await rooms.learnDirect(
    Object.values(direct).flatMap((ids) => (Array.isArray(ids) ? (ids as string[]) : [])),
  );
  await Promise.all(
    Object.entries(changed.join ?? {}).map(async ([roomId, { state, timeline }]) => {
      const events = timeline?.events ?? [];
      for (const event of state?.events ?? []) rooms.learn(roomId, event);
      for (const event of events) if (event.state_key !== undefined) rooms.learn(roomId, event);
      if (since === undefined) return;
      const missed =
        timeline?.limited && timeline.prev_batch
          ? await between(roomId, { from: timeline.prev_batch, to: since }, options, signal)
          : [];
      for (const event of [...missed, ...events]) await take(roomId, event, signal);
    }),
  );
  for (const [roomId, { invite_state: state }] of Object.entries(changed.invite ?? {})) {
    if (!autoJoin) continue;
    const own = state?.events?.find(
      ({ type, state_key: subject }) => type === "m.room.member" && subject === userId,
    );
    try {
      await rooms.join(roomId, signal);
      if (own?.content?.["is_direct"] === true) await rooms.learnDirect([roomId]);
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn({ err: error, accountId, room: roomId }, "matrix: an invitation could not be accepted");
    }
  }
}

/** What the server left out because there was more than it puts into one answer; oldest first. */
async function between(
  roomId: string,
  { from, to }: { readonly from: string; readonly to: string },
  { api, log, accountId }: SyncOptions,
  signal: AbortSignal,
): Promise<readonly RoomEvent[]> {
  const found: RoomEvent[] = [];
  let place: string | undefined = from;
  for (let page = 0; place !== undefined && page < pageLimit; page++) {
    const query: string = `dir=b&limit=100&from=${encodeURIComponent(place)}&to=${encodeURIComponent(to)}`;
    const answer: { chunk?: readonly RoomEvent[]; end?: string } = await api.ask(
      "GET",
      `/rooms/${encodeURIComponent(roomId)}/messages?${query}`,
      { signal },
    );
    found.push(...(answer.chunk ?? []));
    place = answer.chunk?.length ? answer.end : undefined;
  }
  if (place !== undefined)
    log.warn({ accountId, room: roomId }, "matrix: a gap was too long to be read as a whole");
  return found.reverse();
}
