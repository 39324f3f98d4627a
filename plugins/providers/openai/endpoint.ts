import type { Chunk, CompletionRequest } from "@rclaw/plugin-sdk";

/** One server that speaks OpenAI's API. */
export interface Endpoint {
  /** For error messages. */
  readonly provider: string;
  readonly api: "openai-completions" | "openai-responses";
  readonly baseUrl: string;
  readonly apiKey: string;
  /** OpenAI itself, which has fields that compatible servers refuse. */
  readonly isOfficial: boolean;
  /** The model reasons, so it takes an effort. */
  readonly reasons: boolean;
  readonly maxTokens: number | undefined;
  readonly fetch: typeof fetch;
  readonly keyHint: string;
}

const efforts = { minimal: "minimal", low: "low", medium: "medium", high: "high", xhigh: "xhigh" } as const;

export function effortOf(
  level: CompletionRequest["thinking"],
  { reasons }: Endpoint,
): (typeof efforts)[keyof typeof efforts] | undefined {
  return reasons && level && level !== "off" ? efforts[level] : undefined;
}

/**
 * The model's arguments as it wrote them, gathered. What is no JSON stays text: the agent
 * tells the model so, which can then put it right.
 */
export function parseArguments(json: string): unknown {
  if (json.trim() === "") return {};
  try {
    return (JSON.parse(json) as unknown) ?? {};
  } catch {
    return json;
  }
}

/** A call's arguments on the way back: an object whatever the model had written, since servers parse it again. */
export function writeArguments(input: unknown): string {
  const isObject = typeof input === "object" && input !== null && !Array.isArray(input);
  return JSON.stringify(isObject ? input : { unreadable: input });
}

/** A name that a model made up may hold what servers refuse, in this request and in every later one. */
export const safeName = (name: string): string =>
  name.replaceAll(/[^a-zA-Z0-9_-]/g, "_").slice(0, 64) || "unnamed";

const signEveryMs = 1_000;

/** A long file takes minutes to write, and nothing else is heard of it before it is whole: a sign of life now and then. */
export function createSigns(): () => readonly Chunk[] {
  let at = Date.now();
  return () => {
    if (Date.now() - at < signEveryMs) return [];
    at = Date.now();
    return [{ type: "thinking", delta: "" }];
  };
}
