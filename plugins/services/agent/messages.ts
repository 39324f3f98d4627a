import type { Block, Message, TranscriptEntry, Usage } from "@rclaw/plugin-sdk";

/** A message as OpenClaw's transcripts hold it. Fields that are not named here are kept and passed through. */
export type StoredMessage = Readonly<Record<string, unknown>> & { readonly role: string };

/** A message for the model that remembers who made it: thinking goes back to its own maker only. */
export interface HistoryMessage extends Message {
  readonly maker?: string;
}

export const interrupted =
  "This call was interrupted by a restart of the gateway; it was not run again. Nothing is known about its effects.";

export function storedUser(
  text: string,
  images: readonly Extract<Block, { type: "image" }>[],
  timestamp: number,
): StoredMessage {
  return { role: "user", content: [{ type: "text", text }, ...images], timestamp };
}

export interface AssistantFacts {
  /** Nobody, when the run ended before a model was chosen. */
  readonly from: { readonly provider: string; readonly model: string } | undefined;
  readonly usage: Usage;
  readonly stopReason: string;
  readonly timestamp: number;
  readonly errorMessage?: string;
}

export function storedAssistant(content: readonly Block[], facts: AssistantFacts): StoredMessage {
  const { from, usage, stopReason, timestamp, errorMessage } = facts;
  const total = usage.input + usage.output + usage.cacheRead + usage.cacheWrite;
  return {
    role: "assistant",
    content: content.map(toStoredBlock),
    ...(from && { api: from.provider, provider: from.provider, model: from.model }),
    usage: { ...usage, totalTokens: total },
    stopReason,
    timestamp,
    ...(errorMessage !== undefined && { errorMessage }),
  };
}

function toStoredBlock(block: Block): Readonly<Record<string, unknown>> {
  if (block.type === "tool_use")
    return { type: "toolCall", id: block.id, name: block.name, arguments: block.input };
  if (block.type === "thinking") {
    return {
      type: "thinking",
      thinking: block.text,
      ...(block.signature !== undefined && { thinkingSignature: block.signature }),
    };
  }
  return block;
}

export interface ToolOutcome {
  readonly id: string;
  readonly name: string;
  readonly content: string;
  readonly isError: boolean;
  readonly details?: unknown;
}

export function storedToolResult(
  { id, name, content, isError, details }: ToolOutcome,
  timestamp: number,
): StoredMessage {
  return {
    role: "toolResult",
    toolCallId: id,
    toolName: name,
    content: [{ type: "text", text: content }],
    ...(details !== undefined && { details }),
    isError,
    timestamp,
  };
}

/** The message of a `message` entry, or undefined for every other kind of line. */
export function messageOf(entry: TranscriptEntry): StoredMessage | undefined {
  const message = entry["message"];
  if (entry.type !== "message" || typeof message !== "object" || message === null) return undefined;
  const stored = message as StoredMessage;
  return typeof stored.role === "string" ? stored : undefined;
}

/**
 * What the model is told of the past: the branch that ends in the last line, from the
 * last compaction on, with every tool call answered and nothing answered that was not asked.
 */
export function toHistory(entries: readonly TranscriptEntry[]): HistoryMessage[] {
  const result: HistoryMessage[] = [];
  for (const entry of sinceCompaction(branch(entries))) {
    const message = entry.type === "message" ? fromStored(messageOf(entry)) : fromOther(entry);
    if (message) push(result, message);
  }
  return repair(result);
}

function branch(entries: readonly TranscriptEntry[]): TranscriptEntry[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const path: TranscriptEntry[] = [];
  for (
    let entry = entries.at(-1);
    entry;
    entry = entry.parentId === null ? undefined : byId.get(entry.parentId)
  ) {
    path.push(entry);
    byId.delete(entry.id);
  }
  return path.reverse();
}

function sinceCompaction(entries: readonly TranscriptEntry[]): readonly TranscriptEntry[] {
  const at = entries.findLastIndex(({ type }) => type === "compaction");
  const compaction = entries[at];
  if (!compaction) return entries;
  const kept = entries.findIndex(({ id }) => id === compaction["firstKeptEntryId"]);
  return [compaction, ...(kept === -1 ? [] : entries.slice(kept, at)), ...entries.slice(at + 1)];
}

function fromOther(entry: TranscriptEntry): HistoryMessage | undefined {
  if (entry.type === "compaction" && typeof entry["summary"] === "string") {
    return user([{ type: "text", text: `Summary of the conversation so far:\n\n${entry["summary"]}` }]);
  }
  if (entry.type === "custom_message") return user(blocksOf(entry["content"]));
  return undefined;
}

function fromStored(message: StoredMessage | undefined): HistoryMessage | undefined {
  if (!message) return undefined;
  if (message.role === "user") return user(blocksOf(message["content"]));
  if (message.role === "toolResult") {
    const content = blocksOf(message["content"])
      .map((block) => (block.type === "text" ? block.text : ""))
      .join("\n");
    return {
      role: "user",
      content: [
        {
          type: "tool_result",
          id: String(message["toolCallId"]),
          content,
          isError: message["isError"] === true,
        },
      ],
    };
  }
  if (message.role !== "assistant") return undefined;
  const content = blocksOf(message["content"]);
  if (content.length === 0) return undefined;
  return {
    role: "assistant",
    content,
    ...(typeof message["provider"] === "string" && { maker: message["provider"] }),
  };
}

const user = (content: readonly Block[]): HistoryMessage | undefined =>
  content.length === 0 ? undefined : { role: "user", content };

function blocksOf(content: unknown): Block[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  if (!Array.isArray(content)) return [];
  return content.flatMap((block: Readonly<Record<string, unknown>>): Block[] => {
    switch (block["type"]) {
      case "text":
        return typeof block["text"] === "string" && block["text"] !== ""
          ? [{ type: "text", text: block["text"] }]
          : [];
      case "thinking": {
        const signature = block["thinkingSignature"];
        return [
          {
            type: "thinking",
            text: typeof block["thinking"] === "string" ? block["thinking"] : "",
            ...(typeof signature === "string" && { signature }),
          },
        ];
      }
      case "image":
        return typeof block["data"] === "string" && typeof block["mimeType"] === "string"
          ? [{ type: "image", data: block["data"], mimeType: block["mimeType"] }]
          : [];
      case "toolCall":
        return [
          {
            type: "tool_use",
            id: String(block["id"]),
            name: String(block["name"]),
            input: block["arguments"] ?? {},
          },
        ];
      default:
        return [];
    }
  });
}

/** Results of one turn's calls belong into one message. */
function push(result: HistoryMessage[], message: HistoryMessage): void {
  const last = result.at(-1);
  if (last?.role === "user" && isResults(last) && isResults(message)) {
    result[result.length - 1] = { role: "user", content: [...last.content, ...message.content] };
    return;
  }
  result.push(message);
}

const isResults = ({ content }: Message): boolean =>
  content.length > 0 && content.every(({ type }) => type === "tool_result");

/** Providers refuse a call without its result and a result without its call; a crash between the two leaves either. */
export function repair(messages: readonly HistoryMessage[]): HistoryMessage[] {
  const result: HistoryMessage[] = [];
  let open: readonly Extract<Block, { type: "tool_use" }>[] = [];
  for (const message of messages) {
    const given = message.content.filter((block) => block.type === "tool_result");
    if (open.length > 0 || given.length > 0) {
      const answers = open.map((call) => given.find(({ id }) => id === call.id) ?? missing(call.id));
      if (answers.length > 0) result.push({ role: "user", content: answers });
      open = [];
    }
    const rest =
      given.length > 0 ? message.content.filter((block) => block.type !== "tool_result") : message.content;
    if (rest.length === 0) continue;
    result.push(rest === message.content ? message : { ...message, content: rest });
    if (message.role === "assistant") open = rest.filter((block) => block.type === "tool_use");
  }
  if (open.length > 0) result.push({ role: "user", content: open.map(({ id }) => missing(id)) });
  return result;
}

/** Of a run that a person stopped as well as of one that a crash ended: the transcript does not say which. */
const unanswered =
  "This call has no result: it was interrupted by a stop or by a restart of the gateway, and not run again. Nothing is known about its effects.";

const missing = (id: string): Extract<Block, { type: "tool_result" }> => ({
  type: "tool_result",
  id,
  content: unanswered,
  isError: true,
});

/** Thinking carries its maker's signature, which another provider refuses. */
export function forProvider(
  messages: readonly HistoryMessage[],
  provider: string,
): readonly HistoryMessage[] {
  const foreign = ({ maker, content }: HistoryMessage): boolean =>
    maker !== undefined && maker !== provider && content.some(({ type }) => type === "thinking");
  if (!messages.some(foreign)) return messages;
  return messages.flatMap((message) => {
    if (!foreign(message)) return [message];
    const content = message.content.filter(({ type }) => type !== "thinking");
    return content.length === 0 ? [] : [{ ...message, content }];
  });
}

export function textOf(content: readonly Block[]): string {
  if (content.length === 1 && content[0]?.type === "text") return content[0].text;
  return content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

/** A rough size in characters, for budgets. Pictures count as what providers charge for them, not as their bytes. */
export function sizeOf({ content }: Message): number {
  let size = 8;
  for (const block of content) {
    if (block.type === "text" || block.type === "thinking") size += block.text.length;
    else if (block.type === "tool_result") size += block.content.length;
    else if (block.type === "image") size += 6_000;
    else size += 64 + JSON.stringify(block.input ?? null).length;
  }
  return size;
}
