import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { TranscriptEntry } from "@rclaw/plugin-sdk";
import { withoutHead } from "@rclaw/plugin-sdk/services/message-head";
import { type Fact, factOf, timeOf } from "./facts.ts";
import type { Price } from "./totals.ts";

interface Point {
  readonly timestamp: number;
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly totalTokens: number;
  readonly cost: number;
  cumulativeTokens: number;
  cumulativeCost: number;
}

const maxPoints = 200;
const maxContent = 2_000;

/** What a session used over time; of many points those that lie together become one. */
export function seriesOf(facts: readonly Fact[], price: Price): readonly Point[] {
  const points = facts.flatMap((fact): Point[] => {
    const { tokens, at } = fact;
    if (!tokens || !at) return [];
    const { total: totalTokens, ...rest } = tokens;
    const cost = price(fact)?.total ?? 0;
    return [{ timestamp: at, ...rest, totalTokens, cost, cumulativeTokens: 0, cumulativeCost: 0 }];
  });
  const sorted = points.toSorted((a, b) => a.timestamp - b.timestamp);
  const step = Math.max(1, Math.ceil(sorted.length / maxPoints));
  const series: Point[] = [];
  for (let from = 0; from < sorted.length; from += step)
    series.push(together(sorted.slice(from, from + step)));
  let [tokens, cost] = [0, 0];
  for (const point of series) {
    point.cumulativeTokens = tokens += point.totalTokens;
    point.cumulativeCost = cost += point.cost;
  }
  return series;
}

function together(points: readonly Point[]): Point {
  const sum = (name: keyof Point): number => points.reduce((total, point) => total + point[name], 0);
  return {
    timestamp: points.at(-1)?.timestamp ?? 0,
    input: sum("input"),
    output: sum("output"),
    cacheRead: sum("cacheRead"),
    cacheWrite: sum("cacheWrite"),
    totalTokens: sum("totalTokens"),
    cost: sum("cost"),
    cumulativeTokens: 0,
    cumulativeCost: 0,
  };
}

interface LogLine {
  readonly timestamp: number;
  readonly role: string;
  readonly content: string;
  readonly tokens: number | undefined;
  readonly cost: number | undefined;
}

/** What was said, in short, with what each answer used. */
export function logsOf(entries: readonly TranscriptEntry[], price: Price): readonly LogLine[] {
  return entries.flatMap((entry) => logOf(entry, price) ?? []).toSorted((a, b) => a.timestamp - b.timestamp);
}

function logOf(entry: TranscriptEntry, price: Price): LogLine | undefined {
  const message = entry["message"];
  if (!isRecord(message)) return undefined;
  const { role } = message;
  if (role !== "user" && role !== "assistant" && role !== "tool" && role !== "toolResult") return undefined;
  const content = contentOf(message, role);
  if (content === "") return undefined;
  const fact = role === "assistant" ? factOf(entry) : undefined;
  return {
    timestamp: timeOf(entry, message) ?? 0,
    role,
    content: content.length > maxContent ? `${cut(content, maxContent)}…` : content,
    tokens: fact?.tokens?.total,
    cost: fact && price(fact)?.total,
  };
}

function contentOf(message: Readonly<Record<string, unknown>>, role: string): string {
  const parts: string[] = [];
  if (role === "tool" || role === "toolResult") {
    const name = [message["toolName"], message["tool_name"], message["name"]].find(
      (given) => typeof given === "string" && given.trim() !== "",
    );
    parts.push(`[Tool: ${typeof name === "string" ? name.trim() : "tool"}]`, "[Tool Result]");
  }
  const { content } = message;
  if (typeof content === "string") parts.push(content);
  else if (Array.isArray(content)) parts.push(...content.map(blockText).filter((text) => text !== ""));
  const text = parts.join("\n").trim();
  return role === "user" ? withoutHead(text).trim() : text;
}

function blockText(block: unknown): string {
  if (typeof block === "string") return block;
  if (!isRecord(block)) return "";
  const { type, text, name } = block;
  if (type === "text" && typeof text === "string") return text;
  if (type === "tool_use" || type === "toolCall")
    return `[Tool: ${typeof name === "string" ? name : "unknown"}]`;
  return type === "tool_result" ? "[Tool Result]" : "";
}

/** Never half of a character: strict JSON readers refuse the whole answer for it. */
function cut(text: string, length: number): string {
  return text.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}
