import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { TranscriptEntry } from "@rclaw/plugin-sdk";

export interface Tokens {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly total: number;
}

export interface Cost {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly total: number;
}

/** What one message of a transcript says about usage, without its words. */
export interface Fact {
  readonly role: "user" | "assistant" | "toolResult";
  readonly at: number | undefined;
  readonly tokens: Tokens | undefined;
  /** As the transcript says it; most do not, because prices are the configuration's. */
  readonly cost: Cost | undefined;
  readonly provider: string | undefined;
  readonly model: string | undefined;
  readonly stopReason: string | undefined;
  readonly durationMs: number | undefined;
  readonly tools: readonly string[];
  readonly results: number;
  readonly errors: number;
}

type Fields = Readonly<Record<string, unknown>>;

const none: readonly string[] = [];

/** Undefined for lines that are no messages. */
export function factOf(entry: TranscriptEntry): Fact | undefined {
  const message = entry["message"];
  if (!isRecord(message)) return undefined;
  const { role } = message;
  if (role !== "user" && role !== "assistant" && role !== "toolResult") return undefined;
  const usage = message["usage"] ?? entry["usage"];
  const { results, errors } = resultsIn(message);
  return {
    role,
    at: timeOf(entry, message),
    tokens: tokensOf(usage),
    cost: isRecord(usage) ? costOf(usage["cost"]) : undefined,
    provider: text(message["provider"]) ?? text(entry["provider"]),
    model: text(message["model"]) ?? text(entry["model"]),
    stopReason: text(message["stopReason"]),
    durationMs: number(message["durationMs"] ?? entry["durationMs"]),
    tools: role === "toolResult" ? none : toolsIn(message),
    results,
    errors,
  };
}

export function timeOf(entry: TranscriptEntry, message: Fields): number | undefined {
  const time = typeof entry.timestamp === "string" ? Date.parse(entry.timestamp) : Number.NaN;
  return Number.isNaN(time) ? number(message["timestamp"]) : time;
}

/** Transcripts that come from elsewhere name these as their provider did. */
function tokensOf(usage: unknown): Tokens | undefined {
  if (!isRecord(usage)) return undefined;
  const first = (...names: readonly string[]): number | undefined =>
    number(usage[names.find((name) => usage[name] !== undefined && usage[name] !== null) ?? ""]);
  const details = usage["prompt_tokens_details"];
  const input = first("input", "inputTokens", "input_tokens", "promptTokens", "prompt_tokens");
  const output = first("output", "outputTokens", "output_tokens", "completionTokens", "completion_tokens");
  const cacheRead =
    first("cacheRead", "cache_read", "cache_read_input_tokens", "cached_tokens") ??
    (isRecord(details) ? number(details["cached_tokens"]) : undefined);
  const cacheWrite = first("cacheWrite", "cache_write", "cache_creation_input_tokens");
  const total = first("total", "totalTokens", "total_tokens");
  const parts = [input, output, cacheRead, cacheWrite];
  if (total === undefined && parts.every((part) => part === undefined)) return undefined;
  return {
    input: input ?? 0,
    output: output ?? 0,
    cacheRead: cacheRead ?? 0,
    cacheWrite: cacheWrite ?? 0,
    total: total ?? parts.reduce<number>((sum, part) => sum + (part ?? 0), 0),
  };
}

function costOf(cost: unknown): Cost | undefined {
  if (!isRecord(cost)) return undefined;
  const total = number(cost["total"]);
  if (total === undefined || total < 0) return undefined;
  const part = (name: string): number => number(cost[name]) ?? 0;
  return {
    input: part("input"),
    output: part("output"),
    cacheRead: part("cacheRead"),
    cacheWrite: part("cacheWrite"),
    total,
  };
}

const callTypes = new Set(["tool_use", "toolcall", "tool_call"]);
const resultTypes = new Set(["tool_result", "tool_result_error"]);

function blocksOf(content: unknown, types: ReadonlySet<string>): readonly Fields[] {
  if (!Array.isArray(content)) return [];
  return content.filter(
    (block: unknown): block is Fields =>
      isRecord(block) && typeof block["type"] === "string" && types.has(block["type"].trim().toLowerCase()),
  );
}

/** Each name once a message, as the protocol's counts have it. */
function toolsIn(message: Fields): readonly string[] {
  const blocks = blocksOf(message["content"], callTypes);
  const own = message["toolName"] ?? message["tool_name"];
  if (blocks.length === 0 && own === undefined) return none;
  const names = [own, ...blocks.map(({ name }) => name)];
  return [
    ...new Set(names.flatMap((name) => (typeof name === "string" && name.trim() ? [name.trim()] : []))),
  ];
}

function resultsIn(message: Fields): { readonly results: number; readonly errors: number } {
  if (message["role"] === "toolResult") return { results: 1, errors: message["isError"] === true ? 1 : 0 };
  const blocks = blocksOf(message["content"], resultTypes);
  return { results: blocks.length, errors: blocks.filter((block) => block["is_error"] === true).length };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
