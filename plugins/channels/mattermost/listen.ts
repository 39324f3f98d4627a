import { isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { pause, pauseAfter } from "@rclaw/plugin-sdk/pause";
import type { Api } from "./api.ts";
import type { Me, Place, Post } from "./inbound.ts";

export interface ListenOptions {
  readonly api: Api;
  readonly accountId: string;
  readonly me: Me;
  readonly webSocket: PluginContext["webSocket"];
  readonly storage: PluginContext["storage"];
  readonly log: PluginContext["log"];
  /** Resolves when the post may be acknowledged. */
  take(post: Post, place: Place): Promise<void>;
  onConnected(): void;
  onFailure(error: Error): void;
}

interface ServerEvent {
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly status?: string;
  readonly seq_reply?: number;
  readonly error?: { readonly message?: string };
}

interface Seen {
  /** When the newest post was written that was taken, by the server's clock. */
  readonly at: number;
  /** Those of that moment and shortly before: clocks of several servers differ a little. */
  readonly ids: readonly string[];
}

const heartbeatMs = 30_000;
const rememberedIds = 200;
/** How far back from the newest post one may still have been missed. */
const overlapMs = 5_000;

/**
 * Listens until `signal` aborts; rejects only when the token is refused. A socket forgets what was said while it
 * was down, so after each connection what is newer than the last post that was taken is asked for.
 */
export async function listenForever(options: ListenOptions, signal: AbortSignal): Promise<void> {
  const seen = await openSeen(options);
  for (let failures = 0; !signal.aborted;) {
    try {
      await listen(options, seen, signal, () => (failures = 0));
    } catch (error) {
      if (signal.aborted) return;
      if (isRclawError(error) && error.code === "UNAUTHORIZED") throw error;
      failures++;
      options.onFailure(error as Error);
      await pause(pauseAfter(failures), signal);
    }
  }
}

type SeenPosts = Awaited<ReturnType<typeof openSeen>>;

async function openSeen({ storage, accountId, me }: ListenOptions) {
  const key = `seen:${accountId}:${me.id}`;
  const stored = (await storage.get(key)) as Seen | undefined;
  let at = stored?.at ?? 0;
  const ids = new Set(stored?.ids ?? []);
  const keep = (): Promise<void> => storage.set(key, { at, ids: [...ids] } satisfies Seen);
  return {
    async begin(): Promise<void> {
      at = Date.now();
      await keep();
    },
    since: (): number => (at === 0 ? 0 : at - overlapMs),
    has: (id: string): boolean => ids.has(id),
    async add({ id = "", create_at: written = 0 }: Post): Promise<void> {
      ids.add(id);
      for (const oldest of ids) if (ids.size > rememberedIds) ids.delete(oldest);
      at = Math.max(at, written);
      await keep();
    },
  };
}

async function listen(
  options: ListenOptions,
  seen: SeenPosts,
  signal: AbortSignal,
  onReady: () => void,
): Promise<void> {
  const { api, webSocket } = options;
  const socket = await webSocket(api.socketUrl, { signal });
  let seq = 1;
  let isAnswered = true;
  socket.send(JSON.stringify({ seq, action: "authentication_challenge", data: { token: api.token } }));
  // A connection that died without a word (sleep, a lost NAT entry) would wait for ever.
  const heartbeat = setInterval(() => {
    if (!isAnswered) return socket.close(3_000, "no answer to a ping");
    isAnswered = false;
    try {
      socket.send(JSON.stringify({ seq: ++seq, action: "ping" }));
    } catch {
      // It is closed, which whoever reads it is told.
    }
  }, heartbeatMs);
  try {
    for await (const text of socket) {
      const event = JSON.parse(String(text)) as ServerEvent;
      if (event.seq_reply !== undefined) isAnswered = true;
      if (event.status === "FAIL" && event.seq_reply === 1)
        throw new RclawError(
          "UNAUTHORIZED",
          `mattermost does not accept the token of account "${options.accountId}": ${event.error?.message ?? ""}`,
        );
      if (event.event === "hello") {
        onReady();
        options.onConnected();
        await catchUp(options, seen, signal);
      }
      if (event.event === "posted") await takeEvent(event.data ?? {}, options, seen, signal);
      if (signal.aborted) return;
    }
  } finally {
    clearInterval(heartbeat);
    socket.close();
  }
  if (signal.aborted) return;
  const { code, reason } = await socket.closed;
  throw new RclawError(
    "UNAVAILABLE",
    `mattermost closed the connection (${code}${reason ? `, ${reason}` : ""})`,
    { retryable: true },
  );
}

async function takeEvent(
  data: Readonly<Record<string, unknown>>,
  options: ListenOptions,
  seen: SeenPosts,
  signal: AbortSignal,
): Promise<void> {
  const text = (key: string): string | undefined => (typeof data[key] === "string" ? data[key] : undefined);
  let post: Post;
  let mentions: unknown;
  try {
    post = JSON.parse(text("post") ?? "") as Post;
    mentions = JSON.parse(text("mentions") ?? "[]");
  } catch (error) {
    // The same bytes would fail the same way next time.
    options.log.error(
      { err: error, accountId: options.accountId },
      "mattermost: a post could not be read and was skipped",
    );
    return;
  }
  await takeOnce(
    post,
    {
      channelType: text("channel_type"),
      channelName: text("channel_display_name"),
      senderName: text("sender_name"),
      mentions: Array.isArray(mentions) ? (mentions as string[]) : [],
    },
    { options, seen, signal },
  );
}

async function takeOnce(
  post: Post,
  place: Place,
  { options, seen, signal }: { options: ListenOptions; seen: SeenPosts; signal: AbortSignal },
): Promise<void> {
  if (!post.id || seen.has(post.id)) return;
  await options.take(post, place);
  // Stopped meanwhile: it was not taken, and comes again.
  if (!signal.aborted) await seen.add(post);
}

interface ChannelRow {
  readonly id: string;
  readonly type?: string;
  readonly display_name?: string;
  readonly last_post_at?: number;
}

/** What was said while nobody listened. Of the very first time nothing: what was said before is over. */
async function catchUp(options: ListenOptions, seen: SeenPosts, signal: AbortSignal): Promise<void> {
  const { api, accountId, log } = options;
  const since = seen.since();
  if (since === 0) return seen.begin();
  try {
    const channels = await api.ask<readonly ChannelRow[]>("GET", "/users/me/channels", signal);
    const missed: { post: Post; place: Place }[] = [];
    for (const { id, type, display_name: name, last_post_at: last = 0 } of channels) {
      if (last <= since) continue;
      const { posts = {} } = await api.ask<{ posts?: Readonly<Record<string, Post>> }>(
        "GET",
        `/channels/${id}/posts?since=${since}`,
        signal,
      );
      const place = { channelType: type, channelName: name, senderName: undefined, mentions: [] };
      // `since` also finds old posts that were edited lately.
      for (const post of Object.values(posts))
        if ((post.create_at ?? 0) > since) missed.push({ post, place });
    }
    missed.sort((a, b) => (a.post.create_at ?? 0) - (b.post.create_at ?? 0));
    for (const { post, place } of missed) await takeOnce(post, place, { options, seen, signal });
  } catch (error) {
    if (signal.aborted) return;
    // A server that cannot say is listened to nevertheless.
    if (!isRclawError(error) || error.retryable) throw error;
    log.warn({ err: error, accountId }, "mattermost: what was said meanwhile could not be asked for");
  }
}
