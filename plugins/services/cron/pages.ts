import { createHash } from "node:crypto";
import type { CronJob, CronListQuery, CronRunsQuery, RunEntry } from "./methods.schema.ts";

interface Page {
  readonly total: number;
  readonly offset: number;
  readonly limit: number;
  readonly hasMore: boolean;
  readonly nextOffset: number | null;
}

/** Jobs as a client asked for them; without a limit all of them, up to 200. */
export function jobsPage(
  jobs: readonly CronJob[],
  query: CronListQuery,
  defaultAgentId: string,
): Page & { jobs: readonly object[]; snapshotRevision?: string } {
  const agentOf = ({ agentId = defaultAgentId }: CronJob): string => agentId;
  const found = jobs.filter((job) => isWanted(job, agentOf(job), query)).toSorted(orderOf(query));
  const { slice, page } = cut(found, query, found.length || 50);
  if (!isLater(query)) return { jobs: slice, ...page };
  const shown = slice.map((job) => ({
    ...(query.compact ? compact(job) : job),
    configRevision: configRevision(job),
    effectiveAgentId: agentOf(job),
  }));
  return { jobs: shown, snapshotRevision: revisionOf(found), ...page };
}

/**
 * Clients of protocol 4 read page after page and want to know that they belong together, which those of
 * protocol 3 are not told. They give themselves away by the largest page, or by what they ask besides.
 */
function isLater({ limit, agentId, compact: isCompact, includeDeliveryPreviews }: CronListQuery): boolean {
  return limit === 200 || (agentId ?? isCompact ?? includeDeliveryPreviews) !== undefined;
}

function revisionOf(what: unknown): string {
  return `sha256:${createHash("sha256").update(JSON.stringify(what)).digest("base64url")}`;
}

/** What a client of protocol 4 names when it changes a job; how the job ran since does not change it. */
export function configRevision({ updatedAtMs: _updatedAtMs, state: _state, ...definition }: CronJob): string {
  return revisionOf(definition);
}

export const withRevision = (job: CronJob): object => ({ ...job, configRevision: configRevision(job) });

/** Runs, the latest first unless asked otherwise; those of all jobs carry the jobs' names. */
export function runsPage(
  runs: readonly RunEntry[],
  query: CronRunsQuery,
  { jobId, nameOf }: { jobId: string | undefined; nameOf(id: string): string | undefined },
): Page & { entries: readonly object[] } {
  const statuses = query.statuses ?? (query.status && query.status !== "all" ? [query.status] : undefined);
  const deliveries = query.deliveryStatuses ?? (query.deliveryStatus ? [query.deliveryStatus] : undefined);
  const wanted = query.query?.trim().toLowerCase() ?? "";
  const found = runs.filter((entry) => {
    if (jobId !== undefined && entry.jobId !== jobId) return false;
    if (query.runId !== undefined && entry.runId !== query.runId) return false;
    if (statuses && !statuses.includes(entry.status)) return false;
    if (deliveries && !deliveries.includes(entry.deliveryStatus ?? "not-requested")) return false;
    const name = jobId === undefined ? nameOf(entry.jobId) : "";
    return [entry.summary, entry.error, entry.jobId, name].join(" ").toLowerCase().includes(wanted);
  });
  // Kept in the order in which they ended.
  const { slice, page } = cut(query.sortDir === "asc" ? found : found.toReversed(), query, 50);
  const entries = slice.map((entry) => {
    const jobName = jobId === undefined ? nameOf(entry.jobId) : undefined;
    return jobName === undefined ? entry : { ...entry, jobName };
  });
  return { entries, ...page };
}

function cut<Item>(
  found: readonly Item[],
  query: { limit?: number; offset?: number },
  usual: number,
): { slice: readonly Item[]; page: Page } {
  const total = found.length;
  const offset = Math.min(total, query.offset ?? 0);
  const limit = Math.min(200, query.limit ?? usual);
  const slice = found.slice(offset, offset + limit);
  const next = offset + slice.length;
  const hasMore = next < total;
  return { slice, page: { total, offset, limit, hasMore, nextOffset: hasMore ? next : null } };
}

function isWanted(job: CronJob, agent: string, query: CronListQuery): boolean {
  const enabled = query.enabled ?? (query.includeDisabled ? "all" : "enabled");
  if (enabled !== "all" && job.enabled !== (enabled === "enabled")) return false;
  const { agentId, sessionKey, scheduleKind = "all", lastRunStatus = "all" } = query;
  if (agentId !== undefined && agent !== agentId.trim().toLowerCase()) return false;
  if (sessionKey !== undefined && !sessionsOf(job).includes(sessionKey)) return false;
  if (scheduleKind !== "all" && job.schedule.kind !== scheduleKind) return false;
  if (lastRunStatus !== "all" && (job.state.lastRunStatus ?? "unknown") !== lastRunStatus) return false;
  // No job has a condition here.
  if (query.trigger === "conditional") return false;
  const words = [job.name, job.description, job.agentId].join(" ").toLowerCase();
  return words.includes(query.query?.trim().toLowerCase() ?? "");
}

function sessionsOf({ sessionKey, sessionTarget }: CronJob): readonly (string | undefined)[] {
  return [sessionKey, sessionTarget.startsWith("session:") ? sessionTarget.slice(8) : undefined];
}

function orderOf({ sortBy = "nextRunAtMs", sortDir }: CronListQuery): (a: CronJob, b: CronJob) => number {
  const direction = sortDir === "desc" ? -1 : 1;
  const compare = (a: CronJob, b: CronJob): number => {
    if (sortBy === "updatedAtMs") return a.updatedAtMs - b.updatedAtMs;
    // Not localeCompare: its tables cost an idle gateway megabytes.
    if (sortBy === "name") return byText(a.name.toLowerCase(), b.name.toLowerCase());
    return byNumber(a.state.nextRunAtMs, b.state.nextRunAtMs);
  };
  return (a, b) => compare(a, b) * direction || byText(a.id, b.id);
}

/** A job that is not due at all comes after those that are. */
function byNumber(a = Number.POSITIVE_INFINITY, b = Number.POSITIVE_INFINITY): number {
  return a === b ? 0 : a - b;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What a table of jobs needs, for clients of protocol 4. */
function compact({ id, name, agentId, updatedAtMs, enabled, schedule, state }: CronJob): object {
  const { nextRunAtMs, lastRunAtMs, lastRunStatus, lastError, runningAtMs } = state;
  const isoOf = (at: number | undefined): string | null =>
    at === undefined ? null : new Date(at).toISOString();
  return {
    id,
    name,
    ...(agentId !== undefined && { agentId }),
    updatedAtMs,
    enabled,
    nextRunAt: isoOf(nextRunAtMs),
    nextRunAtMs: nextRunAtMs ?? null,
    scheduleKind: schedule.kind,
    schedule,
    lastRunAt: isoOf(lastRunAtMs),
    lastRunAtMs: lastRunAtMs ?? null,
    lastRunStatus: lastRunStatus ?? null,
    lastRunError: lastError ?? null,
    ...(runningAtMs !== undefined && { runningAtMs }),
  };
}
