import type { Days } from "./days.ts";
import type { Fact } from "./facts.ts";
import { addUsage, noTotals, type Price, type Totals } from "./totals.ts";

export interface Counts {
  total: number;
  user: number;
  assistant: number;
  toolCalls: number;
  toolResults: number;
  errors: number;
}

export interface Latency {
  readonly count: number;
  readonly avgMs: number;
  readonly p95Ms: number;
  readonly minMs: number;
  readonly maxMs: number;
}

export interface DayModel {
  readonly date: string;
  readonly provider: string | undefined;
  readonly model: string | undefined;
  tokens: number;
  cost: number;
  count: number;
}

export interface ModelUse {
  readonly provider: string | undefined;
  readonly model: string | undefined;
  count: number;
  readonly totals: Totals;
}

/** One session's share of a stretch of days, as the protocol has it. */
export interface Summary extends Totals {
  readonly sessionId: string;
  readonly firstActivity: number | undefined;
  readonly lastActivity: number | undefined;
  readonly durationMs: number | undefined;
  readonly activityDates: readonly string[];
  readonly dailyBreakdown: readonly { readonly date: string; tokens: number; cost: number }[];
  readonly dailyMessageCounts: readonly (Counts & { readonly date: string })[];
  readonly dailyLatency: readonly (Latency & { readonly date: string })[] | undefined;
  readonly dailyModelUsage: readonly DayModel[] | undefined;
  readonly messageCounts: Counts;
  readonly toolUsage: ToolUse | undefined;
  readonly modelUsage: readonly ModelUse[] | undefined;
  readonly latency: Latency | undefined;
}

export interface ToolUse {
  readonly totalCalls: number;
  readonly uniqueTools: number;
  readonly tools: readonly { readonly name: string; readonly count: number }[];
}

/** An answer that comes later than this was not waited for. */
const longestWaitMs = 12 * 3_600_000;
const failures = new Set(["error", "aborted", "timeout"]);

export function noCounts(): Counts {
  return { total: 0, user: 0, assistant: 0, toolCalls: 0, toolResults: 0, errors: 0 };
}

/** Takes the facts of a session, first to last. */
export class SessionSum {
  readonly #days: Days;
  readonly #price: Price;
  readonly #totals = noTotals();
  readonly #counts = noCounts();
  readonly #spent = new Map<string, { readonly date: string; tokens: number; cost: number }>();
  readonly #said = new Map<string, Counts & { readonly date: string }>();
  readonly #waits: number[] = [];
  readonly #waitsByDay = new Map<string, number[]>();
  readonly #tools = new Map<string, number>();
  readonly #models = new Map<string, ModelUse>();
  readonly #modelDays = new Map<string, DayModel>();
  #first: number | undefined;
  #last: number | undefined;
  #askedAt: number | undefined;

  constructor(days: Days, price: Price) {
    this.#days = days;
    this.#price = price;
  }

  add(fact: Fact): void {
    const { at } = fact;
    if (at !== undefined) {
      if (at < this.#days.startMs || at > this.#days.endMs) return;
      this.#first = Math.min(this.#first ?? at, at);
      this.#last = Math.max(this.#last ?? at, at);
    }
    const date = at === undefined ? undefined : this.#days.dayOf(at);
    count(this.#counts, fact);
    for (const name of fact.tools) this.#tools.set(name, (this.#tools.get(name) ?? 0) + 1);
    if (date !== undefined)
      count(
        of(this.#said, date, () => ({ date, ...noCounts() })),
        fact,
      );
    this.#wait(fact, date);
    this.#spend(fact, date);
  }

  summary(sessionId: string): Summary {
    const [first, last] = [this.#first, this.#last];
    const byDate = (a: { readonly date: string }, b: { readonly date: string }): number =>
      a.date < b.date ? -1 : a.date > b.date ? 1 : 0;
    const dailyLatency = [...this.#waitsByDay].flatMap(([date, waits]) => {
      const latency = latencyOf(waits);
      return latency ? [{ date, ...latency }] : [];
    });
    const modelDays = [...this.#modelDays.values()].toSorted((a, b) => byDate(a, b) || b.cost - a.cost);
    return {
      sessionId,
      firstActivity: first,
      lastActivity: last,
      durationMs: first !== undefined && last !== undefined ? last - first : undefined,
      activityDates: [...this.#said.keys()].toSorted(),
      dailyBreakdown: [...this.#spent.values()].toSorted(byDate),
      dailyMessageCounts: [...this.#said.values()].toSorted(byDate),
      dailyLatency: dailyLatency.length > 0 ? dailyLatency.toSorted(byDate) : undefined,
      dailyModelUsage: modelDays.length > 0 ? modelDays : undefined,
      messageCounts: this.#counts,
      toolUsage: this.#tools.size > 0 ? toolUse(this.#tools) : undefined,
      modelUsage: this.#models.size > 0 ? [...this.#models.values()].toSorted(dearestFirst) : undefined,
      latency: latencyOf(this.#waits),
      ...this.#totals,
    };
  }

  #wait({ role, at, durationMs }: Fact, date: string | undefined): void {
    if (at === undefined || date === undefined) return;
    if (role === "user") this.#askedAt = at;
    if (role !== "assistant") return;
    const wait = durationMs ?? (this.#askedAt === undefined ? undefined : Math.max(0, at - this.#askedAt));
    if (wait === undefined || wait > longestWaitMs) return;
    this.#waits.push(wait);
    of(this.#waitsByDay, date, () => []).push(wait);
  }

  #spend(fact: Fact, date: string | undefined): void {
    const { tokens, provider, model } = fact;
    if (!tokens) return;
    const cost = this.#price(fact);
    addUsage(this.#totals, tokens, cost);
    const spent = tokens.input + tokens.output + tokens.cacheRead + tokens.cacheWrite;
    const isNamed = provider !== undefined || model !== undefined;
    const name = `${provider ?? "unknown"}::${model ?? "unknown"}`;
    if (date !== undefined) {
      const day = of(this.#spent, date, () => ({ date, tokens: 0, cost: 0 }));
      day.tokens += spent;
      day.cost += cost?.total ?? 0;
      if (isNamed) {
        const start = { date, provider, model, tokens: 0, cost: 0, count: 0 };
        const modelDay = of(this.#modelDays, `${date}::${name}`, () => start);
        modelDay.tokens += spent;
        modelDay.cost += cost?.total ?? 0;
        modelDay.count++;
      }
    }
    if (!isNamed) return;
    const use = of(this.#models, name, () => ({ provider, model, count: 0, totals: noTotals() }));
    use.count++;
    addUsage(use.totals, tokens, cost);
  }
}

/** What a map holds under a key, put there when it is missing. */
export function of<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

export function toolUse(counts: ReadonlyMap<string, number>): ToolUse {
  const tools = [...counts].map(([name, times]) => ({ name, count: times }));
  return {
    totalCalls: tools.reduce((sum, tool) => sum + tool.count, 0),
    uniqueTools: tools.length,
    tools: tools.toSorted((a, b) => b.count - a.count),
  };
}

export function dearestFirst(a: { readonly totals: Totals }, b: { readonly totals: Totals }): number {
  return b.totals.totalCost - a.totals.totalCost || b.totals.totalTokens - a.totals.totalTokens;
}

function count(counts: Counts, { role, tools, results, errors, stopReason }: Fact): void {
  if (role !== "toolResult") {
    counts.total++;
    counts[role]++;
  }
  counts.toolCalls += tools.length;
  counts.toolResults += results;
  counts.errors += errors + (stopReason !== undefined && failures.has(stopReason) ? 1 : 0);
}

function latencyOf(waits: readonly number[]): Latency | undefined {
  const sorted = waits.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (min === undefined || max === undefined) return undefined;
  return {
    count: sorted.length,
    avgMs: sorted.reduce((sum, wait) => sum + wait, 0) / sorted.length,
    p95Ms: sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? max,
    minMs: min,
    maxMs: max,
  };
}
