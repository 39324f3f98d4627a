import { randomUUID } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import type { CronMethod } from "./index.ts";
import { createJob, patchJob, refuse } from "./jobs.ts";
import {
  type CronAdd,
  cronAddParams,
  cronIdParams,
  type CronJob,
  cronListParams,
  type CronListQuery,
  type CronPatch,
  cronRunParams,
  cronRunsParams,
  type CronRunsQuery,
  cronUpdateParams,
  noParams,
} from "./methods.schema.ts";
import { tidyJob, tidyPatch } from "./normalize.ts";
import { without } from "./outcome.ts";
import { configRevision, jobsPage, runsPage, withRevision } from "./pages.ts";
import { nextRun, refusalOf } from "./schedule.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Store } from "./store.ts";

export interface MethodsOptions {
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly isEnabled: boolean;
  /** Whose jobs are those that name no agent. */
  readonly defaultAgentId: string;
  storePath(): Promise<string>;
  now(): number;
}

interface CronAnswer {
  /** Input is tidied up before it is judged. */
  tidy?(params: unknown): unknown;
  readonly schema: object;
  answer(params: unknown): Promise<unknown>;
}

interface RunParams {
  readonly mode?: "due" | "force" | "if-enabled";
}

type Named = { readonly id: string } | { readonly jobId: string };

type Update = Named & { readonly patch: CronPatch; readonly expectedConfigRevision?: string };

const idOf = (params: Named): string => ("id" in params ? params.id : params.jobId);

/** What the protocol's methods around jobs take and answer. */
export function cronMethods({
  store,
  scheduler,
  isEnabled,
  defaultAgentId,
  storePath,
  now,
}: MethodsOptions): Readonly<Record<CronMethod, CronAnswer>> {
  /** With its next time, if it has one: a schedule that means nothing is refused, also for a job that is off. */
  async function scheduled(method: string, job: CronJob): Promise<CronJob> {
    let nextRunAtMs: number | undefined;
    try {
      nextRunAtMs = await nextRun(job, now());
    } catch (error) {
      throw refuse(method, (error as Error).message);
    }
    const state = without(
      job.state,
      scheduler.isRunning(job.id) ? ["nextRunAtMs"] : ["nextRunAtMs", "runningAtMs"],
    );
    return { ...job, state: job.enabled && nextRunAtMs !== undefined ? { ...state, nextRunAtMs } : state };
  }

  function refuseTimes(schedule: CronPatch["schedule"]): void {
    const refusal = schedule && refusalOf(schedule, now());
    if (refusal !== undefined) throw new RclawError("INVALID_REQUEST", refusal);
  }

  async function add(input: CronAdd): Promise<unknown> {
    refuseTimes(input.schedule);
    const job = await scheduled("cron.add", createJob(input, { id: randomUUID(), now: now() }));
    await store.grow((draft) => void draft.set(job.id, job));
    changed(job, "added");
    return job;
  }

  async function update(params: Update): Promise<unknown> {
    const { patch, expectedConfigRevision } = params;
    refuseTimes(patch.schedule);
    const id = idOf(params);
    const job = await store.grow(async (draft) => {
      const before = draft.get(id);
      if (!before) throw unknownJob(id);
      refuseOutdated(before, expectedConfigRevision);
      const patched = patchJob(before, patch, now());
      const isMoved = patch.schedule !== undefined || patch.enabled !== undefined;
      const lacksTime = patched.enabled && patched.state.nextRunAtMs === undefined;
      const next = isMoved || lacksTime ? await scheduled("cron.update", patched) : patched;
      draft.set(id, next);
      return next;
    });
    changed(job, "updated");
    return expectedConfigRevision === undefined ? job : withRevision(job);
  }

  function changed({ id: jobId, state: { nextRunAtMs } }: CronJob, action: "added" | "updated"): void {
    scheduler.arm();
    scheduler.tell({ jobId, action, ...(nextRunAtMs !== undefined && { nextRunAtMs }) });
  }

  async function remove(id: string): Promise<unknown> {
    const removed = await store.change((draft) => draft.delete(id));
    scheduler.arm();
    if (removed) scheduler.tell({ jobId: id, action: "removed" });
    return { ok: true, removed };
  }

  async function run(id: string, mode: "due" | "force" | "if-enabled"): Promise<unknown> {
    const job = store.find(id);
    if (!job) throw unknownJob(id);
    if (scheduler.isRunning(id)) return { ok: true, ran: false, reason: "already-running" };
    const isDue = job.enabled && (job.state.nextRunAtMs ?? Number.POSITIVE_INFINITY) <= now();
    if (mode === "if-enabled" && !job.enabled) return { ok: true, ran: false, reason: "disabled" };
    if (mode === "due" && !isDue) return { ok: true, ran: false, reason: "not-due" };
    await scheduler.run(id);
    return { ok: true, ran: true };
  }

  function get(id: string): CronJob {
    const job = store.find(id);
    if (job) return job;
    const message = `cron job not found: ${id}. List automations and retry with a current job id.`;
    throw new RclawError("INVALID_REQUEST", message, { details: { jobId: id } });
  }

  function runs(params: CronRunsQuery): unknown {
    const jobId = params.scope === "all" ? undefined : (params.id ?? params.jobId);
    if (params.scope === "job" && jobId === undefined) throw refuse("cron.runs", "missing id");
    return runsPage(store.runs(), params, { jobId, nameOf: (id) => store.find(id)?.name });
  }

  return {
    "cron.list": {
      schema: cronListParams,
      answer: async (params) => jobsPage(store.jobs(), params as CronListQuery, defaultAgentId),
    },
    "cron.status": {
      schema: noParams,
      answer: async () => ({
        enabled: isEnabled,
        storePath: await storePath(),
        jobs: store.jobs().length,
        nextWakeAtMs: (isEnabled ? scheduler.nextWake() : undefined) ?? null,
      }),
    },
    "cron.get": { schema: cronIdParams, answer: async (params) => withRevision(get(idOf(params as Named))) },
    "cron.runs": { schema: cronRunsParams, answer: async (params) => runs(params as CronRunsQuery) },
    "cron.add": { tidy: tidyJob, schema: cronAddParams, answer: (params) => add(params as CronAdd) },
    "cron.update": {
      tidy: tidyUpdate,
      schema: cronUpdateParams,
      answer: (params) => update(params as Update),
    },
    "cron.remove": { schema: cronIdParams, answer: (params) => remove(idOf(params as Named)) },
    "cron.run": {
      schema: cronRunParams,
      answer: (params) => run(idOf(params as Named), (params as RunParams).mode ?? "force"),
    },
  };
}

function tidyUpdate(params: unknown): unknown {
  const hasPatch = typeof params === "object" && params !== null && "patch" in params;
  return hasPatch ? { ...params, patch: tidyPatch(params.patch) } : params;
}

/** Whoever changes what they saw must not undo what somebody else changed meanwhile. */
function refuseOutdated(job: CronJob, expectedConfigRevision: string | undefined): void {
  const actualConfigRevision = configRevision(job);
  if (expectedConfigRevision === undefined || expectedConfigRevision === actualConfigRevision) return;
  throw new RclawError(
    "INVALID_REQUEST",
    "cron job definition no longer matches the loaded version; review the latest version before retrying",
    { details: { code: "CRON_JOB_CHANGED", expectedConfigRevision, actualConfigRevision } },
  );
}

/** OpenClaw throws here rather than refusing, and its clients know the words that come of it. */
function unknownJob(id: string): RclawError {
  return new RclawError("UNAVAILABLE", `Error: unknown cron job id: ${id}`, { details: { jobId: id } });
}
