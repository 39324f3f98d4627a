import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { parseKey } from "@rclaw/plugin-sdk/session-key";
import type { Static } from "typebox";
import { Aggregate } from "./aggregate.ts";
import { type Days, daysFor, utcDay } from "./days.ts";
import type { Ledger, Listed } from "./ledger.ts";
import { looseParams, sessionsUsageParams } from "./methods.schema.ts";
import { logsOf, seriesOf } from "./reading.ts";
import { of, SessionSum } from "./summary.ts";
import { addUsage, noTotals, type Price, pricesIn, type Totals } from "./totals.ts";

export interface UsageMethodsOptions {
  readonly context: PluginContext;
  readonly ledger: Ledger;
  now(): number;
}

type Params = Readonly<Record<string, unknown>>;
type UsageParams = Static<typeof sessionsUsageParams>;

const dayMs = 86_400_000;
const defaultSessions = 50;
/** However many are asked for: each is a transcript to be read. */
const maxSessions = 2_000;

/** `usage.*` and `sessions.usage*`, from what the transcripts say. */
export function usageMethods({ context, ledger, now }: UsageMethodsOptions): readonly Method[] {
  const { sessions, methods } = context;

  async function prices(signal: AbortSignal): Promise<Price> {
    const answer = await methods.call("config.get", {}, { signal });
    return pricesIn(isRecord(answer) ? answer["config"] : undefined);
  }

  /** Sessions that somebody wrote to since a moment, the latest first. */
  async function recent(since: number, agentId?: string): Promise<readonly Listed[]> {
    const agent = agentId?.trim().toLowerCase();
    return (await sessions.list())
      .filter(({ key, updatedAt }) => updatedAt >= since && (!agent || parseKey(key).agentId === agent))
      .toSorted((a, b) => b.updatedAt - a.updatedAt);
  }

  async function cost(params: Params, signal: AbortSignal): Promise<unknown> {
    const days = daysFor(params, now());
    const price = await prices(signal);
    const totals = noTotals();
    const byDay = new Map<string, { readonly date: string } & Totals>();
    const agentId = typeof params["agentId"] === "string" ? params["agentId"] : undefined;
    const list = (await recent(days.startMs, agentId)).slice(0, maxSessions);
    for await (const [, facts] of ledger.each(list, signal)) {
      for (const fact of facts) {
        const { at, tokens } = fact;
        if (!tokens || !at || at < days.startMs || at > days.endMs) continue;
        const date = days.dayOf(at);
        const spent = price(fact);
        addUsage(totals, tokens, spent);
        addUsage(
          of(byDay, date, () => ({ date, ...noTotals() })),
          tokens,
          spent,
        );
      }
    }
    return {
      updatedAt: now(),
      days: Math.ceil((days.endMs - days.startMs) / dayMs) + 1,
      daily: [...byDay.values()].toSorted((a, b) => (a.date < b.date ? -1 : 1)),
      totals,
    };
  }

  async function find(given: string): Promise<Listed | undefined> {
    const key = sessions.canonical(given);
    const entry = await sessions.find(key);
    if (entry) return { ...entry, key };
    // A transcript's own name is taken as well: lists of usage show it.
    return (await sessions.list()).find(({ sessionId }) => sessionId === parseKey(key).rest);
  }

  async function asked({ key, agentId }: UsageParams, days: Days): Promise<readonly Listed[]> {
    const given = key?.trim();
    if (!given) return recent(days.startMs, agentId);
    const found = await find(given).catch((error: unknown) => {
      throw new RclawError("INVALID_REQUEST", `Invalid session reference: ${given}`, { cause: error });
    });
    return found ? [found] : [];
  }

  async function usage(params: UsageParams, signal: AbortSignal): Promise<unknown> {
    const days = daysFor(params, now());
    const price = await prices(signal);
    const limit = Math.min(params.limit ?? defaultSessions, maxSessions);
    const whole = new Aggregate();
    const rows: object[] = [];
    for await (const [session, facts] of ledger.each(await asked(params, days), signal)) {
      // Only set up so far: there is no transcript to speak of.
      if (facts.length === 0) continue;
      const sum = new SessionSum(days, price);
      for (const fact of facts) sum.add(fact);
      const summary = sum.summary(session.sessionId);
      const place = placeOf(session);
      whole.add(summary, place);
      rows.push(rowOf(session, { ...place, usage: summary, ...weightOf(session, params) }));
      if (rows.length >= limit) break;
    }
    return {
      updatedAt: now(),
      startDate: utcDay(days.startMs),
      endDate: utcDay(days.endMs),
      sessions: rows,
      totals: whole.totals,
      aggregates: whole.result(),
    };
  }

  /** The session that a key names. The protocol leaves judging the params to these methods. */
  async function named(params: Params, what: "timeseries" | "logs"): Promise<[string, Listed | undefined]> {
    const key = typeof params["key"] === "string" ? params["key"].trim() : "";
    if (key === "") throw new RclawError("INVALID_REQUEST", `key is required for ${what}`);
    const found = await find(key).catch((error: unknown) => {
      throw new RclawError("INVALID_REQUEST", `Invalid session key: ${key}`, { cause: error });
    });
    return [key, found];
  }

  async function timeseries(params: Params, signal: AbortSignal): Promise<unknown> {
    const [key, session] = await named(params, "timeseries");
    const facts = session ? await ledger.factsOf(session) : [];
    if (!session || facts.length === 0)
      throw new RclawError("INVALID_REQUEST", `No transcript found for session: ${key}`);
    return { sessionId: session.sessionId, points: seriesOf(facts, await prices(signal)) };
  }

  async function logs(params: Params, signal: AbortSignal): Promise<unknown> {
    const [, session] = await named(params, "logs");
    const given = params["limit"];
    const limit =
      typeof given === "number" && Number.isFinite(given)
        ? Math.min(Math.max(1, Math.floor(given)), 1_000)
        : 200;
    if (!session) return { logs: [] };
    const price = await prices(signal);
    // Not every line is a message with words.
    const lines = logsOf(await sessions.tail(session.key, limit * 3), price);
    return { logs: lines.slice(-limit) };
  }

  const loose = (name: string, handle: (params: Params, signal: AbortSignal) => Promise<unknown>): Method =>
    defineMethod({
      name,
      since: "2026.2.17",
      params: looseParams,
      handle: ({ params, signal }: MethodCall<Params>) => handle(params, signal),
    });

  return [
    // Quotas are asked of providers with an account's own login, which there is none of.
    loose("usage.status", async () => ({ updatedAt: now(), providers: [] })),
    loose("usage.cost", cost),
    defineMethod({
      name: "sessions.usage",
      since: "2026.2.17",
      params: sessionsUsageParams,
      handle: ({ params, signal }) => usage(params, signal),
    }),
    loose("sessions.usage.timeseries", timeseries),
    loose("sessions.usage.logs", logs),
  ];
}

function placeOf(session: Listed): {
  readonly agentId: string | undefined;
  readonly channel: string | undefined;
  readonly chatType: unknown;
} {
  const origin = isRecord(session["origin"]) ? session["origin"] : undefined;
  const provider = origin?.["provider"] ?? session["lastChannel"];
  return {
    agentId: parseKey(session.key).agentId,
    channel: session.channel ?? (typeof provider === "string" ? provider : undefined),
    chatType: session.chatType ?? origin?.["chatType"],
  };
}

function rowOf(session: Listed, rest: object): object {
  const { key, label, sessionId, updatedAt, modelOverride, providerOverride } = session;
  return {
    key,
    label,
    sessionId,
    updatedAt,
    origin: session["origin"],
    modelOverride,
    providerOverride,
    modelProvider: session["modelProvider"],
    model: session["model"],
    ...rest,
  };
}

function weightOf(session: Listed, { includeContextWeight }: UsageParams): { contextWeight?: unknown } {
  return includeContextWeight ? { contextWeight: session["systemPromptReport"] ?? null } : {};
}
