import { type CompletionRequest, RclawError } from "@rclaw/plugin-sdk";

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

/** The model's arguments as it wrote them, gathered. */
export function parseArguments(name: string, json: string, provider: string): unknown {
  if (json.trim() === "") return {};
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new RclawError(
      "UNAVAILABLE",
      `${provider} sent a call of tool ${name} whose arguments are not JSON; ask again`,
      { cause: error, retryable: true },
    );
  }
}
