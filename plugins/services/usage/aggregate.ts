import {
  type Counts,
  type DayModel,
  dearestFirst,
  type Latency,
  type ModelUse,
  noCounts,
  of,
  type Summary,
  toolUse,
} from "./summary.ts";
import { addTotals, noTotals, type Totals } from "./totals.ts";

interface Waits {
  count: number;
  sum: number;
  min: number;
  max: number;
  p95: number;
}

const noWaits = (): Waits => ({ count: 0, sum: 0, min: Number.POSITIVE_INFINITY, max: 0, p95: 0 });

/** Many sessions' summaries as one. */
export class Aggregate {
  readonly totals = noTotals();
  readonly #messages = noCounts();
  readonly #tools = new Map<string, number>();
  readonly #models = new Map<string, ModelUse>();
  readonly #providers = new Map<string, ModelUse>();
  readonly #agents = new Map<string, Totals>();
  readonly #channels = new Map<string, Totals>();
  readonly #days = new Map<
    string,
    {
      readonly date: string;
      tokens: number;
      cost: number;
      messages: number;
      toolCalls: number;
      errors: number;
    }
  >();
  readonly #waits = noWaits();
  readonly #waitsByDay = new Map<string, Waits>();
  readonly #modelDays = new Map<string, DayModel>();

  add(
    usage: Summary,
    { agentId, channel }: { agentId: string | undefined; channel: string | undefined },
  ): void {
    addTotals(this.totals, usage);
    for (const name of Object.keys(this.#messages) as (keyof Counts)[])
      this.#messages[name] += usage.messageCounts[name];
    for (const { name, count } of usage.toolUsage?.tools ?? [])
      this.#tools.set(name, (this.#tools.get(name) ?? 0) + count);
    for (const use of usage.modelUsage ?? []) this.#use(use);
    if (usage.latency) wait(this.#waits, usage.latency);
    for (const day of usage.dailyLatency ?? []) wait(of(this.#waitsByDay, day.date, noWaits), day);
    for (const day of usage.dailyModelUsage ?? []) this.#modelDay(day);
    if (agentId !== undefined) addTotals(of(this.#agents, agentId, noTotals), usage);
    if (channel !== undefined) addTotals(of(this.#channels, channel, noTotals), usage);
    for (const { date, tokens, cost } of usage.dailyBreakdown) {
      const day = this.#day(date);
      day.tokens += tokens;
      day.cost += cost;
    }
    for (const { date, total, toolCalls, errors } of usage.dailyMessageCounts) {
      const day = this.#day(date);
      day.messages += total;
      day.toolCalls += toolCalls;
      day.errors += errors;
    }
  }

  result(): object {
    const byCost = (a: { readonly totals: Totals }, b: { readonly totals: Totals }): number =>
      b.totals.totalCost - a.totals.totalCost;
    const byDate = (a: { readonly date: string }, b: { readonly date: string }): number =>
      a.date < b.date ? -1 : a.date > b.date ? 1 : 0;
    return {
      messages: this.#messages,
      tools: toolUse(this.#tools),
      byModel: [...this.#models.values()].toSorted(dearestFirst),
      byProvider: [...this.#providers.values()].toSorted(dearestFirst),
      byAgent: [...this.#agents].map(([agentId, totals]) => ({ agentId, totals })).toSorted(byCost),
      byChannel: [...this.#channels].map(([channel, totals]) => ({ channel, totals })).toSorted(byCost),
      ...(this.#waits.count > 0 && { latency: latencyOf(this.#waits) }),
      dailyLatency: [...this.#waitsByDay]
        .map(([date, waits]) => ({ date, ...latencyOf(waits) }))
        .toSorted(byDate),
      modelDaily: [...this.#modelDays.values()].toSorted((a, b) => byDate(a, b) || b.cost - a.cost),
      daily: [...this.#days.values()].toSorted(byDate),
    };
  }

  #use({ provider, model, count, totals }: ModelUse): void {
    const named = of(this.#models, `${provider ?? "unknown"}::${model ?? "unknown"}`, () => ({
      provider,
      model,
      count: 0,
      totals: noTotals(),
    }));
    const whole = of(this.#providers, provider ?? "unknown", () => ({
      provider,
      model: undefined,
      count: 0,
      totals: noTotals(),
    }));
    for (const use of [named, whole]) {
      use.count += count;
      addTotals(use.totals, totals);
    }
  }

  #modelDay({ date, provider, model, tokens, cost, count }: DayModel): void {
    const day = of(this.#modelDays, `${date}::${provider ?? "unknown"}::${model ?? "unknown"}`, () => ({
      date,
      provider,
      model,
      tokens: 0,
      cost: 0,
      count: 0,
    }));
    day.tokens += tokens;
    day.cost += cost;
    day.count += count;
  }

  #day(date: string) {
    return of(this.#days, date, () => ({ date, tokens: 0, cost: 0, messages: 0, toolCalls: 0, errors: 0 }));
  }
}

function wait(waits: Waits, { count, avgMs, minMs, maxMs, p95Ms }: Latency): void {
  waits.count += count;
  waits.sum += avgMs * count;
  waits.min = Math.min(waits.min, minMs);
  waits.max = Math.max(waits.max, maxMs);
  waits.p95 = Math.max(waits.p95, p95Ms);
}

const latencyOf = ({ count, sum, min, max, p95 }: Waits): Latency => ({
  count,
  avgMs: count > 0 ? sum / count : 0,
  minMs: count > 0 ? min : 0,
  maxMs: max,
  p95Ms: p95,
});
