import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { PluginContext, TranscriptEntry } from "@rclaw/plugin-sdk";
import type { SessionChange } from "@rclaw/plugin-sdk/services/sessions";
import { parseKey } from "@rclaw/plugin-sdk/session-key";
import { settled } from "@rclaw/plugin-sdk/settled";
import { messageIn, shown, toolsIn } from "./messages.ts";
import type { Subscriptions } from "./subscriptions.ts";

export interface FeedOptions {
  readonly context: PluginContext;
  readonly subscriptions: Subscriptions;
  now(): number;
}

/** What happened to one session since its followers were told last. */
interface News {
  readonly key: string;
  readonly entries: TranscriptEntry[];
  /** Fields of the next `sessions.changed`; what happens later counts. */
  change: Record<string, unknown> | undefined;
  /** The place of the last message that was told, where it is known. */
  seq: number | undefined;
  toolSeq: number;
  timer: NodeJS.Timeout | undefined;
  telling: Promise<void>;
}

/** Long enough for a run's accounting to follow its message in the same event. */
const gatherMs = 40;
const maxKnown = 1_024;
const maxGathered = 500;
const maxCounted = 100_000;

/** Tells those who follow a session what is new in it, once it is durable. */
export function createFeed({ context, subscriptions, now }: FeedOptions) {
  const { sessions, gateway, methods, log } = context;
  const known = new Map<string, News>();
  const running = new Map<string, Map<string, number>>();

  function newsOf(key: string): News {
    let news = known.get(key);
    if (!news) {
      news = {
        key,
        entries: [],
        change: undefined,
        seq: undefined,
        toolSeq: 0,
        timer: undefined,
        telling: Promise.resolve(),
      };
      known.set(key, news);
      forgetSome();
    }
    return news;
  }

  function forgetSome(): void {
    for (const [key, { timer }] of known) {
      if (known.size <= maxKnown) return;
      if (timer === undefined) known.delete(key);
    }
  }

  function soon(news: News): void {
    news.timer ??= setTimeout(() => {
      news.timer = undefined;
      news.telling = news.telling
        .then(() => tell(news))
        .catch((error: unknown) => {
          log.warn({ err: error, sessionKey: news.key }, "followers of a session were not told of a change");
        });
    }, gatherMs).unref();
  }

  function stored({ key, reason, entries }: SessionChange): void {
    if (!subscriptions.has(key)) {
      // What is counted from here on would be wrong.
      if (known.get(key)?.timer === undefined) known.delete(key);
      return;
    }
    const news = newsOf(key);
    if (reason === "message") {
      news.entries.push(...entries);
      if (news.entries.length > maxGathered) {
        news.entries.splice(0, news.entries.length - maxGathered);
        news.seq = undefined;
      }
      news.change ??= { phase: "message" };
    } else {
      if (reason !== "patch") news.seq = undefined;
      // A run's accounting is no news by itself.
      if (reason !== "patch" || news.change === undefined) news.change = { reason };
    }
    soon(news);
  }

  function lifecycle(payload: unknown): void {
    if (!isRecord(payload) || payload["stream"] !== "lifecycle" || !isRecord(payload["data"])) return;
    const { sessionKey: key, runId, data } = payload;
    if (typeof key !== "string" || typeof runId !== "string") return;
    const { phase } = data as { phase?: unknown };
    let runs = running.get(key);
    if (!runs) running.set(key, (runs = new Map()));
    if (phase === "start") runs.set(runId, now());
    else if (phase === "end" || phase === "error") runs.delete(runId);
    else return;
    if (runs.size === 0) running.delete(key);
    if (!subscriptions.has(key)) return;
    const news = newsOf(key);
    const isAborted = (data as { aborted?: unknown }).aborted === true;
    const ended = phase === "error" ? "failed" : isAborted ? "killed" : "done";
    news.change = { ...news.change, phase, runId, status: phase === "start" ? "running" : ended };
    soon(news);
  }

  async function tell(news: News): Promise<void> {
    const { key, change } = news;
    const entries = news.entries.splice(0);
    news.change = undefined;
    const connIds = subscriptions.of(key);
    if (connIds.length === 0) return;
    const { agentId } = parseKey(key);
    const place = { sessionKey: key, ...(agentId !== undefined && { agentId }) };
    const snapshot = await snapshotOf(key);
    const seqs = await seqsOf(news, entries);
    let last: object = {};
    for (const [index, entry] of entries.entries()) {
      const message = messageIn(entry);
      if (!message) continue;
      const messageSeq = seqs[index];
      last = { messageId: entry.id, ...(messageSeq !== undefined && { messageSeq }) };
      const { runId } = entry;
      const run = typeof runId === "string" ? { runId } : {};
      const meta = { id: entry.id, ...(messageSeq !== undefined && { seq: messageSeq }), ...run };
      send(connIds, "session.message", {
        ...place,
        message: shown(message, meta),
        ...last,
        ...snapshot,
        ...run,
      });
      for (const data of toolsIn(message))
        send(connIds, "session.tool", {
          ...run,
          ...place,
          stream: "tool",
          seq: ++news.toolSeq,
          ts: now(),
          data,
        });
    }
    if (change)
      send(subscriptions.everybody(), "sessions.changed", {
        ...place,
        ...last,
        ts: now(),
        ...snapshot,
        ...change,
      });
  }

  function send(connIds: readonly string[], event: string, payload: object): void {
    const told = settled(payload);
    for (const connId of connIds) if (!gateway.send(connId, event, told)) subscriptions.end(connId);
  }

  /** The session's row of the list, as a whole and field by field, as clients merge it. */
  async function snapshotOf(key: string): Promise<object> {
    const answer = await methods.call("sessions.describe", { key });
    const row = isRecord(answer) ? answer["session"] : undefined;
    const runs = [...(running.get(key)?.keys() ?? [])];
    const active = { hasActiveRun: runs.length > 0, activeRunIds: runs };
    if (!isRecord(row)) return {};
    const { key: _key, ...fields } = row;
    return { session: { ...row, ...active }, ...fields, ...active };
  }

  /** Messages are numbered from the first one of the transcript on. */
  async function seqsOf(
    news: News,
    entries: readonly TranscriptEntry[],
  ): Promise<readonly (number | undefined)[]> {
    if (!entries.some(messageIn)) return [];
    if (news.seq === undefined) {
      const all = (await sessions.tail(news.key, maxCounted)).filter(messageIn);
      const first = entries.find(messageIn);
      const at = all.findIndex(({ id }) => id === first?.id);
      if (at < 0 || all.length >= maxCounted) return [];
      news.seq = at;
    }
    return entries.map((entry) => {
      if (!messageIn(entry) || news.seq === undefined) return undefined;
      return ++news.seq;
    });
  }

  return {
    /** Every event inside the process. */
    hear(event: string, payload: unknown): void {
      if (event === "session.stored") stored(payload as SessionChange);
      else if (event === "agent") lifecycle(payload);
      else if (event === "client.disconnected" && isRecord(payload))
        subscriptions.end(String(payload["connId"]));
    },
    /** It concerns no session in particular. */
    regrouped: (): void =>
      send(subscriptions.everybody(), "sessions.changed", { reason: "groups", ts: now() }),
    close(): void {
      for (const { timer } of known.values()) clearTimeout(timer);
      known.clear();
    },
  };
}
