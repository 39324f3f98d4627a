import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { Caller, PluginContext, TranscriptEntry } from "@rclaw/plugin-sdk";
import type { Settings } from "./config.ts";
import { historyLimits, readHistory } from "./history.ts";
import { messageOf, type StoredMessage } from "./messages.ts";

export interface PageParams {
  readonly sessionKey: string;
  readonly limit?: number;
  readonly maxChars?: number;
  readonly inputRunIds?: readonly string[];
}

interface Receipt {
  readonly runId: string;
  readonly state: "pending" | "consumed";
  readonly consumedByEventId?: string;
}

/** What `chat.history` answers; clients of protocol 4 recognise messages, and see whether theirs arrived. */
export function createChatPages({
  context,
  settings,
}: {
  readonly context: Pick<PluginContext, "sessions" | "runs" | "methods">;
  readonly settings: Pick<Settings, "verbose" | "thinking">;
}) {
  const { sessions, runs, methods } = context;

  const runsIn = (key: string): readonly string[] =>
    runs.unsettled().flatMap(({ id, sessionKey }) => (sessionKey === key ? [id] : []));

  /** A client holds back everything that follows a message until it knows that this one is taken. */
  function receiptOf(runId: string, { key, caller, read }: Place): readonly Receipt[] {
    const asked = read.find((entry) => entry["runId"] === runId && messageOf(entry)?.role === "user");
    if (asked) return [{ runId, state: "consumed", consumedByEventId: asked.id }];
    if (runsIn(key).includes(runId)) return [{ runId, state: "pending" }];
    // A command leaves no message behind, and one of long ago is no longer on the page.
    const ended = runs.find("chat.send", caller.principal, runId);
    return ended?.sessionKey === key ? [{ runId, state: "consumed", consumedByEventId: runId }] : [];
  }

  async function infoOf({ key, read }: Place): Promise<object> {
    const answer = await methods.call("sessions.describe", { key });
    const row = isRecord(answer) ? answer["session"] : undefined;
    if (!isRecord(row)) return {};
    const activeRunIds = runsIn(key);
    const isActive = activeRunIds.length > 0;
    const last = read.findLast((entry) => typeof entry["runId"] === "string")?.["runId"];
    const sessionInfo = {
      ...row,
      hasActiveRun: isActive,
      activeRunIds,
      ...(isActive && { status: "running" }),
      ...(last !== undefined && { lastRunId: last }),
    };
    return { sessionInfo };
  }

  async function moreFor(place: Place, runIds: readonly string[] | undefined): Promise<object> {
    const inputReceipts = runIds?.flatMap((runId) => receiptOf(runId, place));
    const inputConsumptions = inputReceipts?.flatMap(({ state, runId, consumedByEventId }) =>
      state === "consumed" ? [{ runId, consumedByEventId }] : [],
    );
    return {
      pendingInputs: { items: [], total: 0 },
      ...(inputReceipts && { inputReceipts, inputConsumptions }),
      ...(await infoOf(place)),
    };
  }

  return async (key: string, params: PageParams, caller: Caller): Promise<object> => {
    const entry = await sessions.find(key);
    const isNew = (caller.protocol ?? 3) >= 4;
    const limits = {
      ...historyLimits,
      ...(params.limit !== undefined && { messages: params.limit }),
      ...(params.maxChars !== undefined && { blockChars: params.maxChars }),
    };
    let read: readonly TranscriptEntry[] = [];
    const tail = async (limit: number): Promise<readonly TranscriptEntry[]> =>
      (read = await sessions.tail(key, limit));
    const messages = entry ? await readHistory(tail, limits, isNew ? marked : undefined) : [];
    const verboseLevel = entry?.verboseLevel ?? settings.verbose;
    return {
      sessionKey: params.sessionKey,
      ...(entry && { sessionId: entry.sessionId }),
      messages,
      thinkingLevel: entry?.thinkingLevel ?? settings.thinking ?? "off",
      ...(verboseLevel && { verboseLevel }),
      ...(isNew && (await moreFor({ key, caller, read }, params.inputRunIds))),
    };
  };
}

interface Place {
  readonly key: string;
  readonly caller: Caller;
  /** Of the transcript, from the end. */
  readonly read: readonly TranscriptEntry[];
}

/** With what tells it from every other message: without that a client shows the one it sent a second time. */
function marked(message: StoredMessage, { id, runId }: TranscriptEntry): StoredMessage {
  const run = typeof runId === "string" ? { runId } : {};
  const key = message.role === "user" && run.runId !== undefined ? { idempotencyKey: run.runId } : {};
  return { ...message, ...key, __openclaw: { id, ...run } };
}
