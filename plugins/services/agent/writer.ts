import type { PluginContext, Run, Session, TranscriptEntry } from "@rclaw/plugin-sdk";
import type { Conversation, Conversations } from "./cache.ts";
import type { HistoryMessage, StoredMessage } from "./messages.ts";
import { markOf } from "./own-lines.ts";

export interface WriterOptions {
  readonly hooks: PluginContext["hooks"];
  readonly conversations: Conversations;
  readonly session: Session;
  readonly conversation: Conversation;
  readonly agentId: string;
  readonly run: Run;
}

/**
 * One run's lines in the transcript. `add` returns as soon as a line is on its way,
 * in order, so the model need not wait for the disk; `flush` is where durability is asked for.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #mark: string;
  #pending: Promise<unknown>[] = [];

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#mark = markOf(options.run);
  }

  async add(stored: StoredMessage, message: HistoryMessage | undefined, synthetic = false): Promise<void> {
    const { conversations, conversation, run } = this.#options;
    const final = await this.#passHooks(stored, synthetic);
    // The model's own view keeps what it said and read; hooks decide about the transcript.
    if (message) conversations.add(conversation, message);
    if (!final) return;
    const write = this.#options.session
      .append({ type: "message", message: final, runId: run.id, runMark: this.#mark })
      .then(([line]) => this.#follow(conversation, line));
    // It is awaited in `flush`; until then a failure must not count as unhandled.
    write.catch(() => undefined);
    this.#pending.push(write);
  }

  /** Resolves when every line so far is durable; rejects when one is not. */
  async flush(): Promise<void> {
    const pending = this.#pending;
    if (pending.length === 0) return;
    this.#pending = [];
    try {
      await (pending.length === 1 ? pending[0] : Promise.all(pending));
    } catch (error) {
      this.#options.conversation.stale = true;
      throw error;
    }
  }

  #follow(conversation: Conversation, line: TranscriptEntry | undefined): void {
    if (!line) return;
    if (conversation.leaf !== undefined && line.parentId !== conversation.leaf) conversation.stale = true;
    conversation.leaf = line.id;
  }

  async #passHooks(stored: StoredMessage, isSynthetic: boolean): Promise<StoredMessage | undefined> {
    const { hooks, session, agentId } = this.#options;
    const place = { agentId, sessionKey: session.key };
    let message: Readonly<Record<string, unknown>> = stored;
    if (stored.role === "toolResult") {
      const tool = { toolName: String(stored["toolName"]), toolCallId: String(stored["toolCallId"]) };
      const result = await hooks.run(
        "tool_result_persist",
        { ...tool, message, ...(isSynthetic && { isSynthetic }) },
        { ...place, ...tool },
      );
      message = result.message ?? message;
    }
    const result = await hooks.run("before_message_write", { message, ...place }, place);
    if (result.block) return undefined;
    message = result.message ?? message;
    return typeof message["role"] === "string" ? (message as StoredMessage) : stored;
  }
}
