import type { HookName } from "@rclaw/plugin-sdk";

/**
 * How a hook is run and what its results mean.
 * - observe: all handlers at once, results ignored.
 * - modify: one after the other, higher priority first; each sees what the one before it made of the event.
 * - claim: one after the other until one says `handled: true`.
 */
type HookKind = "observe" | "modify" | "claim";

export interface HookRow {
  readonly kind: HookKind;
  /** A guard that crashes or hangs must not open the gate: "refuse" turns its failure into a refusal. */
  readonly onFailure: "ignore" | "refuse";
  /**
   * How results merge: `last` wins, `first` wins, or joined with a blank line. A field
   * named in `into` replaces that field of the event for the handlers that follow.
   */
  readonly merge?: Readonly<Record<string, "first" | "last" | "join">>;
  readonly into?: Readonly<Record<string, string>>;
  /** A handler that sets this field ends the round. */
  readonly stopOn?: string;
}

const observe = { kind: "observe", onFailure: "ignore" } as const;

/** `Record<HookName, ...>`: the compiler holds the list complete. Semantics are OpenClaw's of February 2026. */
export const hookTable: Readonly<Record<HookName, HookRow>> = {
  before_model_resolve: {
    kind: "modify",
    onFailure: "ignore",
    merge: { modelOverride: "first", providerOverride: "first" },
  },
  before_prompt_build: {
    kind: "modify",
    onFailure: "ignore",
    merge: { systemPrompt: "last", prependContext: "join" },
  },
  before_agent_start: {
    kind: "modify",
    onFailure: "ignore",
    merge: {
      modelOverride: "first",
      providerOverride: "first",
      systemPrompt: "last",
      prependContext: "join",
    },
  },
  llm_input: observe,
  llm_output: observe,
  agent_end: observe,
  before_compaction: observe,
  after_compaction: observe,
  before_reset: observe,
  message_received: { kind: "claim", onFailure: "refuse", merge: { handled: "last" }, stopOn: "handled" },
  message_sending: {
    kind: "modify",
    onFailure: "refuse",
    merge: { content: "last", cancel: "last" },
    into: { content: "content" },
    stopOn: "cancel",
  },
  message_sent: observe,
  before_tool_call: {
    kind: "modify",
    onFailure: "refuse",
    merge: { params: "last", block: "last", blockReason: "last" },
    into: { params: "params" },
    stopOn: "block",
  },
  after_tool_call: observe,
  tool_result_persist: {
    kind: "modify",
    onFailure: "ignore",
    merge: { message: "last" },
    into: { message: "message" },
  },
  before_message_write: {
    kind: "modify",
    onFailure: "ignore",
    merge: { block: "last", message: "last" },
    into: { message: "message" },
    stopOn: "block",
  },
  session_start: observe,
  session_end: observe,
  gateway_start: observe,
  gateway_stop: observe,
};
