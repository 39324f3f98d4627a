import type { CronJob, RunEntry } from "./methods.schema.ts";
import type { Outcome } from "./perform.ts";
import { nextRun } from "./schedule.ts";

/** Between two runs of one job, whatever its schedule says: nothing is worth asking a model every second. */
const leastGapMs = 2_000;
const backoffMs: readonly number[] = [30_000, 60_000, 300_000, 900_000, 3_600_000];
const alertAfter = 2;
const alertCooldownMs = 3_600_000;

export interface Settled {
  readonly job: CronJob;
  /** The job has done what it was for. */
  readonly isOver: boolean;
  readonly entry: RunEntry;
  /** It failed so often that somebody should know. */
  readonly isAlarming: boolean;
}

/** The job after a run: what came of it, and when it is due again. */
export async function settled(
  before: CronJob,
  outcome: Outcome,
  { runAtMs, endedAt }: { runAtMs: number; endedAt: number },
): Promise<Settled> {
  const { status, error, summary, deliveryError, ...told } = outcome;
  const deliveryStatus = deliveryStatusOf(before, outcome);
  const durationMs = Math.max(0, endedAt - runAtMs);
  const consecutiveErrors = status === "error" ? (before.state.consecutiveErrors ?? 0) + 1 : 0;
  const isAlarming = isAlarmed(before, consecutiveErrors, endedAt);
  const state: CronJob["state"] = {
    ...without(before.state, [
      "nextRunAtMs",
      "runningAtMs",
      "lastError",
      "lastDelivered",
      "lastDeliveryError",
    ]),
    lastRunAtMs: runAtMs,
    lastRunStatus: status,
    lastStatus: status,
    lastDurationMs: durationMs,
    lastDeliveryStatus: deliveryStatus,
    consecutiveErrors,
    ...(error !== undefined && { lastError: brief(error) }),
    ...(outcome.delivered !== undefined && { lastDelivered: outcome.delivered }),
    ...(deliveryError !== undefined && { lastDeliveryError: brief(deliveryError) }),
    ...(isAlarming && { lastFailureAlertAtMs: endedAt }),
  };
  const isOnce = before.schedule.kind === "at";
  const job = { ...before, updatedAtMs: endedAt, enabled: before.enabled && !isOnce, state };
  const next = job.enabled ? await dueAgain(job, endedAt) : { job };
  const { nextRunAtMs } = next.job.state;
  return {
    job: next.job,
    isOver: isOnce && before.deleteAfterRun === true && status === "ok",
    isAlarming,
    entry: {
      ts: endedAt,
      jobId: before.id,
      action: "finished",
      status,
      ...(error !== undefined && { error }),
      ...(summary !== undefined && { summary }),
      runAtMs,
      durationMs,
      ...(nextRunAtMs !== undefined && { nextRunAtMs }),
      deliveryStatus,
      ...(deliveryError !== undefined && { deliveryError }),
      ...told,
    },
  };
}

/** The log has all of it; five hundred failing jobs must still fit into the storage. */
function brief(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 199).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** A job that fails waits longer each time; one whose schedule means nothing any more is switched off and says so. */
async function dueAgain(job: CronJob, endedAt: number): Promise<{ job: CronJob }> {
  const { consecutiveErrors = 0 } = job.state;
  const backoff = backoffMs[Math.min(consecutiveErrors, backoffMs.length) - 1] ?? 0;
  try {
    const natural = await nextRun(job, endedAt);
    if (natural === undefined) return { job };
    const nextRunAtMs = Math.max(natural, endedAt + leastGapMs, endedAt + backoff);
    return { job: { ...job, state: { ...job.state, nextRunAtMs } } };
  } catch (error) {
    const lastError = brief(`schedule error: ${String(error)}`);
    return { job: { ...job, enabled: false, state: { ...job.state, lastError } } };
  }
}

function deliveryStatusOf(
  { delivery }: CronJob,
  { delivered }: Outcome,
): NonNullable<RunEntry["deliveryStatus"]> {
  if (delivered !== undefined) return delivered ? "delivered" : "not-delivered";
  return delivery?.mode === "announce" ? "unknown" : "not-requested";
}

function isAlarmed({ failureAlert, state }: CronJob, errors: number, now: number): boolean {
  if (!failureAlert || errors < (failureAlert.after ?? alertAfter)) return false;
  const { lastFailureAlertAtMs = Number.NEGATIVE_INFINITY } = state;
  return now - lastFailureAlertAtMs >= (failureAlert.cooldownMs ?? alertCooldownMs);
}

/** The object without some of its members. */
export function without<Value extends object>(value: Value, keys: readonly (keyof Value)[]): Value {
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => !(keys as readonly string[]).includes(key)),
  ) as Value;
}
