import type { JsonSchema } from "./tool.ts";

/** A piece of a message. `tool_use` is the model asking, `tool_result` the answer to it. */
export type Block =
  | { readonly type: "text"; readonly text: string }
  /** `signature` is opaque and must be handed back unchanged to the provider that made it. */
  | { readonly type: "thinking"; readonly text: string; readonly signature?: string }
  | { readonly type: "image"; readonly mimeType: string; readonly data: string }
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; readonly input: unknown }
  | {
      readonly type: "tool_result";
      readonly id: string;
      readonly content: string;
      readonly isError?: boolean;
    };

export interface Message {
  readonly role: "user" | "assistant";
  readonly content: readonly Block[];
}

/** Tokens; `input` excludes what came from the cache. */
export interface Usage {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
}

/** One step of a stream. It ends with exactly one `end`; a stream that stops without it was cut and is an error. */
export type Chunk =
  | { readonly type: "text"; readonly delta: string }
  /** Without words and signature it only says that the model is still at work, so that nobody takes it for dead. */
  | { readonly type: "thinking"; readonly delta: string; readonly signature?: string }
  /** Complete: a provider gathers the fragments of the arguments itself. */
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; readonly input: unknown }
  | {
      readonly type: "end";
      readonly stopReason: "stop" | "length" | "toolUse" | "refusal";
      readonly usage: Usage;
    };

export interface CompletionRequest {
  /** The provider's own model id, without the provider prefix. */
  readonly model: string;
  readonly system: string;
  readonly messages: readonly Message[];
  readonly tools: readonly {
    readonly name: string;
    readonly description: string;
    readonly params: JsonSchema;
  }[];
  readonly maxTokens?: number;
  /** Providers without such a level take the nearest one. */
  readonly thinking?: "off" | "minimal" | "low" | "medium" | "high" | "xhigh";
  /** Stable per session: for the provider's prompt cache and abuse signals. Holds no personal data. */
  readonly cacheKey?: string;
}

export interface ModelInfo {
  readonly id: string;
  readonly name: string;
  readonly contextWindow?: number;
  readonly reasoning?: boolean;
  readonly input?: readonly ("text" | "image")[];
}

/** A source of completions. SDKs are imported inside `stream`, never at the top of the file. */
export interface Provider {
  /** Declared under `contributes.providers`; the part before the slash in `anthropic/claude-x`. */
  readonly id: string;
  /**
   * Can it answer now, without asking the network for more than a local endpoint?
   * The lowest `rank` that is ready answers when the config names no model.
   */
  ready(signal: AbortSignal): Promise<{
    readonly ok: boolean;
    /** For people: why not, and what to do about it; or what was found. */
    readonly reason: string;
    readonly defaultModel: string;
    readonly rank: number;
  }>;
  models(signal: AbortSignal): Promise<readonly ModelInfo[]>;
  /** Throws UNAVAILABLE, RATE_LIMITED (details.retryAfterMs), UNAUTHORIZED, or INVALID_REQUEST. */
  stream(request: CompletionRequest, signal: AbortSignal): AsyncIterable<Chunk>;
}
