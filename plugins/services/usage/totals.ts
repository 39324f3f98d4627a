import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { type Cost, type Fact, type Tokens } from "./facts.ts";

export interface Totals {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
  totalTokens: number;
  totalCost: number;
  inputCost: number;
  outputCost: number;
  cacheReadCost: number;
  cacheWriteCost: number;
  /** Answers whose price nobody knows. */
  missingCostEntries: number;
}

export function noTotals(): Totals {
  return {
    input: 0,
    output: 0,
    cacheRead: 0,
    cacheWrite: 0,
    totalTokens: 0,
    totalCost: 0,
    inputCost: 0,
    outputCost: 0,
    cacheReadCost: 0,
    cacheWriteCost: 0,
    missingCostEntries: 0,
  };
}

export function addTotals(to: Totals, from: Totals): void {
  for (const name of Object.keys(to) as (keyof Totals)[]) to[name] += from[name];
}

export function addUsage(to: Totals, tokens: Tokens, cost: Cost | undefined): void {
  to.input += tokens.input;
  to.output += tokens.output;
  to.cacheRead += tokens.cacheRead;
  to.cacheWrite += tokens.cacheWrite;
  to.totalTokens += tokens.total;
  if (!cost) {
    to.missingCostEntries++;
    return;
  }
  to.totalCost += cost.total;
  to.inputCost += cost.input;
  to.outputCost += cost.output;
  to.cacheReadCost += cost.cacheRead;
  to.cacheWriteCost += cost.cacheWrite;
}

/** What an answer cost, or undefined when its price is not known. */
export type Price = (of: Pick<Fact, "cost" | "tokens" | "provider" | "model">) => Cost | undefined;

/** Prices as `models.providers.<id>.models[].cost` has them: dollars for a million tokens. */
export function pricesIn(config: unknown): Price {
  const rates = new Map<string, Readonly<Record<string, unknown>>>();
  const providers = valueAt(config, "models.providers");
  for (const [provider, section] of Object.entries(isRecord(providers) ? providers : {})) {
    const models = valueAt(section, "models");
    for (const model of Array.isArray(models) ? (models as unknown[]) : []) {
      const cost = valueAt(model, "cost");
      if (isRecord(cost)) rates.set(`${provider}\n${String(valueAt(model, "id"))}`, cost);
    }
  }
  return ({ cost, tokens, provider, model }) => {
    if (cost || !tokens) return cost;
    const rate = rates.get(`${provider?.trim() ?? ""}\n${model?.trim() ?? ""}`);
    if (!rate) return undefined;
    const price = (name: keyof Cost & keyof Tokens): number => {
      const perMillion = rate[name];
      return typeof perMillion === "number" ? (tokens[name] * perMillion) / 1_000_000 : 0;
    };
    const parts = {
      input: price("input"),
      output: price("output"),
      cacheRead: price("cacheRead"),
      cacheWrite: price("cacheWrite"),
    };
    const total = parts.input + parts.output + parts.cacheRead + parts.cacheWrite;
    return Number.isFinite(total) ? { ...parts, total } : undefined;
  };
}
