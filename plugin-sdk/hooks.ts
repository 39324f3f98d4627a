import type { Message, Usage } from "./provider.ts";

/** Where a hook about an agent run happens. */
interface AgentPlace {
  readonly agentId?: string;
  readonly sessionKey?: string;
  readonly sessionId?: string;
  readonly workspaceDir?: string;
  readonly messageProvider?: string;
}
interface MessagePlace {
  readonly channelId: string;
  readonly accountId?: string;
  readonly conversationId?: string;
}
interface ToolPlace {
  readonly agentId?: string;
  readonly sessionKey?: string;
  readonly toolName: string;
}
interface PersistPlace {
  readonly agentId?: string;
  readonly sessionKey?: string;
  readonly toolName?: string;
  readonly toolCallId?: string;
}

/** A transcript message as OpenClaw's hooks see it. */
type TranscriptMessage = Readonly<Record<string, unknown>>;

/**
 * The twenty hooks with their event, context and result; names and payloads are
 * OpenClaw's (February 2026), so a handler ported from there needs no change.
 * What each kind does with results, and what a failing handler means, is one
 * table in the kernel: see docs/hooks.md.
 */
export interface Hooks {
  before_model_resolve: {
    event: { prompt: string };
    context: AgentPlace;
    result: { modelOverride?: string; providerOverride?: string };
  };
  before_prompt_build: {
    event: { prompt: string; messages: readonly Message[] };
    context: AgentPlace;
    result: { systemPrompt?: string; prependContext?: string };
  };
  before_agent_start: {
    event: { prompt: string; messages?: readonly Message[] };
    context: AgentPlace;
    result: {
      modelOverride?: string;
      providerOverride?: string;
      systemPrompt?: string;
      prependContext?: string;
    };
  };
  llm_input: {
    event: {
      runId: string;
      sessionId: string;
      provider: string;
      model: string;
      systemPrompt?: string;
      prompt: string;
      historyMessages: readonly Message[];
      imagesCount: number;
    };
    context: AgentPlace;
    result: void;
  };
  llm_output: {
    event: {
      runId: string;
      sessionId: string;
      provider: string;
      model: string;
      assistantTexts: readonly string[];
      lastAssistant?: TranscriptMessage;
      usage?: Usage & { total: number };
    };
    context: AgentPlace;
    result: void;
  };
  agent_end: {
    event: { messages: readonly Message[]; success: boolean; error?: string; durationMs?: number };
    context: AgentPlace;
    result: void;
  };
  before_compaction: {
    event: {
      messageCount: number;
      compactingCount?: number;
      tokenCount?: number;
      messages?: readonly Message[];
      sessionFile?: string;
    };
    context: AgentPlace;
    result: void;
  };
  after_compaction: {
    event: { messageCount: number; tokenCount?: number; compactedCount: number; sessionFile?: string };
    context: AgentPlace;
    result: void;
  };
  before_reset: {
    event: { sessionFile?: string; messages?: readonly Message[]; reason?: string };
    context: AgentPlace;
    result: void;
  };
  /** First to answer `handled: true` takes the message; nobody else, and no agent, sees it. */
  message_received: {
    event: {
      from: string;
      content: string;
      timestamp?: number;
      metadata?: Readonly<Record<string, unknown>>;
    };
    context: MessagePlace;
    result: { handled?: boolean };
  };
  message_sending: {
    event: { to: string; content: string; metadata?: Readonly<Record<string, unknown>> };
    context: MessagePlace;
    result: { content?: string; cancel?: boolean };
  };
  message_sent: {
    event: { to: string; content: string; success: boolean; error?: string };
    context: MessagePlace;
    result: void;
  };
  before_tool_call: {
    event: { toolName: string; params: Readonly<Record<string, unknown>> };
    context: ToolPlace;
    result: { params?: Readonly<Record<string, unknown>>; block?: boolean; blockReason?: string };
  };
  after_tool_call: {
    event: {
      toolName: string;
      params: Readonly<Record<string, unknown>>;
      result?: unknown;
      error?: string;
      durationMs?: number;
    };
    context: ToolPlace;
    result: void;
  };
  tool_result_persist: {
    event: { toolName?: string; toolCallId?: string; message: TranscriptMessage; isSynthetic?: boolean };
    context: PersistPlace;
    result: { message?: TranscriptMessage };
  };
  before_message_write: {
    event: { message: TranscriptMessage; sessionKey?: string; agentId?: string };
    context: { agentId?: string; sessionKey?: string };
    result: { block?: boolean; message?: TranscriptMessage };
  };
  session_start: {
    event: { sessionId: string; resumedFrom?: string };
    context: { agentId?: string; sessionId: string };
    result: void;
  };
  session_end: {
    event: { sessionId: string; messageCount: number; durationMs?: number };
    context: { agentId?: string; sessionId: string };
    result: void;
  };
  gateway_start: { event: { port: number }; context: { port?: number }; result: void };
  gateway_stop: { event: { reason?: string }; context: { port?: number }; result: void };
}

export type HookName = keyof Hooks;

/** Returns nothing to leave things as they are. A handler that throws is named in the log with its plugin and hook. */
export type HookHandler<Name extends HookName> = (
  event: Readonly<Hooks[Name]["event"]>,
  context: Readonly<Hooks[Name]["context"]>,
) => Hooks[Name]["result"] | void | Promise<Hooks[Name]["result"] | void>;
