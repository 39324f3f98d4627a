import { createHash } from "node:crypto";
import type { CronJob, CronSchedule } from "./methods.schema.ts";
import { timeOf } from "./time.ts";

const minuteMs = 60_000;
const yearMs = 365.25 * 24 * 60 * minuteMs;
const fullHourStaggerMs = 5 * minuteMs;

/** Everybody's jobs are written for the full hour: those are spread over its first minutes unless told otherwise. */
export function staggerFor(expr: string): number | undefined {
  const fields = expr.trim().split(/\s+/);
  if (fields.length === 6 && fields.shift() !== "0") return undefined;
  const [minute, hour = ""] = fields;
  return fields.length === 5 && minute === "0" && hour.includes("*") ? fullHourStaggerMs : undefined;
}

/** Why a moment cannot be waited for, in the protocol's words; undefined when it can. */
export function refusalOf(schedule: CronSchedule, now: number): string | undefined {
  if (schedule.kind !== "at") return undefined;
  const at = timeOf(schedule.at);
  if (at === undefined) return `Invalid schedule.at: expected ISO-8601 timestamp (got ${schedule.at})`;
  const wait = at - now;
  if (wait < -minuteMs)
    return `schedule.at is in the past: ${iso(at)} (${Math.floor(-wait / minuteMs)} minutes ago). Current time: ${iso(now)}`;
  if (wait > 10 * yearMs)
    return `schedule.at is too far in the future: ${iso(at)} (${Math.floor(wait / yearMs)} years ahead). Maximum allowed: 10 years`;
  return undefined;
}

/** When a job is due next, as if it were enabled; undefined when it never is. Throws when its expression means nothing. */
export async function nextRun(job: CronJob, now: number): Promise<number | undefined> {
  const { schedule, state } = job;
  if (schedule.kind === "at") {
    const at = timeOf(schedule.at);
    const isOver = state.lastRunStatus === "ok" && (state.lastRunAtMs ?? 0) >= (at ?? 0);
    return isOver ? undefined : at;
  }
  if (schedule.kind === "every") {
    const { everyMs, anchorMs = job.createdAtMs } = schedule;
    const fromLast = (state.lastRunAtMs ?? Number.NEGATIVE_INFINITY) + everyMs;
    if (fromLast > now) return whole(fromLast);
    if (now < anchorMs) return anchorMs;
    return whole(anchorMs + (Math.floor((now - anchorMs) / everyMs) + 1) * everyMs);
  }
  return nextMatch(schedule, offsetOf(job.id, schedule.staggerMs ?? 0), now);
}

async function nextMatch(
  { expr, tz }: Extract<CronSchedule, { kind: "cron" }>,
  offset: number,
  now: number,
): Promise<number | undefined> {
  const { Cron } = await import("croner");
  // Without a zone it is this machine's; naming that one would load Intl's tables for nothing.
  const pattern = new Cron(expr.trim(), tz?.trim() ? { timezone: tz.trim() } : {});
  let from = now - offset;
  for (let attempt = 0; attempt < 4; attempt++) {
    const match = pattern.nextRun(new Date(from))?.getTime();
    if (match === undefined) return undefined;
    if (match + offset > now) return match + offset;
    from = Math.max(from, match) + 1_000;
  }
  return undefined;
}

/** The same for a job every time, so that it comes at even intervals. */
function offsetOf(jobId: string, staggerMs: number): number {
  return staggerMs <= 1 ? 0 : createHash("sha256").update(jobId).digest().readUInt32BE(0) % staggerMs;
}

/** A time that no Date can hold never comes. */
const whole = (at: number): number | undefined => (at <= 8_640_000_000_000_000 ? at : undefined);

const iso = (at: number): string => new Date(at).toISOString();
