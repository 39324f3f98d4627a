import type { Session, Usage } from "@rclaw/plugin-sdk";
import type { Conversation } from "./cache.ts";
import type { ModelRef } from "./models.ts";
import type { TurnOptions } from "./turn.ts";
import type { Writer } from "./writer.ts";

/** A turn under way. */
export interface Work {
  readonly workspaceDir: string;
  readonly session: Session;
  readonly writer: Writer;
  readonly conversation: Conversation;
  readonly texts: string[];
  usage: Usage;
  lastUsage: Usage;
  from: ModelRef | undefined;
  /** The model that was asked last, whether it answered or not. */
  asked: ModelRef | undefined;
  contextTokens: number | undefined;
}

export function placeOf({ session: { key, entry }, workspaceDir }: Work, { agentId, request }: TurnOptions) {
  return {
    agentId,
    sessionKey: key,
    sessionId: entry.sessionId,
    workspaceDir,
    messageProvider: request.channel ?? "webchat",
  };
}
