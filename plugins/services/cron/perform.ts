import { isRclawError, type PluginContext } from "@rclaw/plugin-sdk";
import { pause } from "@rclaw/plugin-sdk/pause";
import { announce, type Delivered } from "./deliver.ts";
import type { CronJob, RunEntry } from "./methods.schema.ts";

export interface Outcome
  extends Delivered, Pick<RunEntry, "sessionId" | "sessionKey" | "runId" | "model" | "provider" | "usage"> {
  readonly status: RunEntry["status"];
  readonly error?: string;
  readonly summary?: string;
}

type Context = Pick<PluginContext, "methods" | "sessions" | "channels" | "signal" | "log">;

export interface Slot {
  /** The moment the run began; with the job's id it names the run, so that a crash repeats nothing. */
  readonly runAtMs: number;
  /** Begun by a process that is gone. */
  readonly resumed: boolean;
  /** Called before an answer leaves; false when that has happened already. */
  leaving(): Promise<boolean>;
}

const summaryLength = 2_000;
/** Longer than it takes this plugin to be told that it is the whole gateway that ends. */
const restartMs = 1_000;

/** Does what a job says, to its end. Rejects only when this plugin ends before it does. */
export async function perform(context: Context, job: CronJob, slot: Slot): Promise<Outcome> {
  try {
    return job.payload.kind === "systemEvent"
      ? await tell(context, job, job.payload.text, slot)
      : await ask(context, job, job.payload, slot);
  } catch (error) {
    // A run that the shutdown stopped goes on after the restart, and so does the job.
    context.signal.throwIfAborted();
    return { status: "error", error: shorten(wordsOf(error)) };
  }
}

/** A line for the conversation: nobody could say after a crash whether it was told, and twice is worse than named. */
async function tell({ methods }: Context, job: CronJob, text: string, { resumed }: Slot): Promise<Outcome> {
  if (resumed) return { status: "error", error: "cron: the gateway was restarted while this job ran" };
  if (text.trim() === "") return { status: "skipped", error: "main job requires non-empty systemEvent text" };
  const { wakeMode: mode, sessionKey, agentId } = job;
  await methods.call("wake", {
    mode,
    text,
    ...(sessionKey !== undefined && { sessionKey }),
    ...(agentId !== undefined && { agentId }),
  });
  return { status: "ok", summary: shorten(text) };
}

type Turn = Extract<CronJob["payload"], { kind: "agentTurn" }>;

interface Answer {
  readonly status: "ok" | "aborted";
  readonly result: {
    readonly payloads: readonly { readonly text?: string }[];
    readonly meta: {
      readonly agentMeta?: {
        readonly sessionId: string;
        readonly provider: string;
        readonly model: string;
        readonly usage: { readonly input: number; readonly output: number; readonly total: number };
      };
    };
  };
}

async function ask(context: Context, job: CronJob, turn: Turn, slot: Slot): Promise<Outcome> {
  const { methods, sessions, signal } = context;
  const sessionKey = sessionOf(context, job);
  const runId = `cron:${job.id}:${slot.runAtMs}`;
  const isAlone = job.sessionTarget === "isolated";
  if (isAlone && !slot.resumed && (await sessions.find(sessionKey)))
    await sessions.reset(sessionKey, "new", signal);
  const base = { sessionKey, runId };
  const params = {
    message: messageOf(job, turn),
    sessionKey,
    idempotencyKey: runId,
    lane: "cron",
    bootstrapContextRunKind: "cron",
    ...(turn.lightContext && { bootstrapContextMode: "lightweight" }),
    ...(turn.thinking !== undefined && { thinking: turn.thinking }),
    ...(turn.model !== undefined && { model: turn.model }),
    ...(turn.timeoutSeconds !== undefined && { timeout: Math.floor(turn.timeoutSeconds) }),
  };
  let answer: Answer;
  try {
    answer = await toTheEnd(() => methods.call("agent", params), signal);
  } catch (error) {
    signal.throwIfAborted();
    return { ...base, status: "error", error: shorten(wordsOf(error)) };
  }
  const { payloads, meta } = answer.result;
  const told = {
    ...base,
    ...(meta.agentMeta && {
      sessionId: meta.agentMeta.sessionId,
      model: meta.agentMeta.model,
      provider: meta.agentMeta.provider,
      usage: usageOf(meta.agentMeta.usage),
    }),
  };
  const text = payloads.findLast((payload) => payload.text?.trim())?.text?.trim() ?? "";
  const summary = text === "" ? {} : { summary: shorten(text) };
  if (answer.status !== "ok")
    return { ...told, ...summary, status: "error", error: "cron: the run was stopped before it was done" };
  return { ...told, ...summary, status: "ok", ...(await announce(context, job, text, slot.leaving)) };
}

/** An assistant that is restarted goes on with its runs: whoever asks again with the same id gets the same answer. */
async function toTheEnd(request: () => Promise<unknown>, signal: AbortSignal): Promise<Answer> {
  for (;;) {
    try {
      return (await request()) as Answer;
    } catch (error) {
      if (!isRclawError(error) || error.details?.["status"] !== "interrupted") throw error;
      await pause(restartMs, signal);
      signal.throwIfAborted();
    }
  }
}

function sessionOf({ sessions }: Context, { id, agentId, sessionTarget, sessionKey }: CronJob): string {
  if (sessionTarget.startsWith("session:")) return sessions.canonical(sessionTarget.slice("session:".length));
  if (sessionTarget === "current" && sessionKey !== undefined) return sessions.canonical(sessionKey);
  return sessions.canonical(agentId === undefined ? `cron:${id}` : `agent:${agentId}:cron:${id}`);
}

/** The model is told why it is asked, and that nobody is there to answer it. */
function messageOf({ id, name, delivery }: CronJob, { message }: Turn): string {
  const task = `[cron:${id} ${name}] ${message}`;
  if (delivery?.mode !== "announce") return task;
  return `${task}\n\nAnswer with plain text: it is delivered for you. If somebody else should get a message, say who and where instead of sending it.`;
}

function usageOf({ input, output, total }: { input: number; output: number; total: number }) {
  return { input_tokens: input, output_tokens: output, total_tokens: total };
}

/** What people wait for may be long; the log of runs holds the beginning. */
function shorten(text: string): string {
  const clean = text.trim();
  if (clean.length <= summaryLength) return clean;
  return `${clean.slice(0, summaryLength).replace(/[\ud800-\udbff]$/, "")}…`;
}

function wordsOf(error: unknown): string {
  return isRclawError(error) || error instanceof Error ? error.message : String(error);
}
