import { randomUUID } from "node:crypto";
import { defineMethod, type Method, RclawError } from "@rclaw/plugin-sdk";
import { compiler, describeIssues } from "@rclaw/plugin-sdk/schema/check";
import { createJob, patchJob, refuse } from "./jobs.ts";
import {
  type CronAdd,
  cronAddParams,
  cronIdParams,
  type CronJob,
  cronListParams,
  type CronPatch,
  cronRunParams,
  cronRunsParams,
  cronUpdateParams,
  noParams,
} from "./methods.schema.ts";
import { tidyJob, tidyPatch } from "./normalize.ts";
import { without } from "./outcome.ts";
import { jobsPage, runsPage } from "./pages.ts";
import { nextRun, refusalOf } from "./schedule.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Store } from "./store.ts";

export interface MethodsOptions {
  readonly store: Store;
  readonly scheduler: Scheduler;
  readonly isEnabled: boolean;
  storePath(): Promise<string>;
  now(): number;
}

type Named = { readonly id: string } | { readonly jobId: string };

const idOf = (params: Named): string => ("id" in params ? params.id : params.jobId);

/** The protocol's methods around jobs that run by themselves. */
export function cronMethods({
  store,
  scheduler,
  isEnabled,
  storePath,
  now,
}: MethodsOptions): readonly Method[] {
  const check = compiler();

  /** Only after it was tidied up can input be judged. */
  function judged(method: string, schema: object, params: unknown): void {
    const rule = check(schema);
    if (!rule.valid(params)) throw refuse(method, describeIssues(rule.issues(params)));
  }

  /** With its next time, if it has one: a schedule that means nothing is refused, also for a job that is off. */
  async function scheduled(method: string, job: CronJob): Promise<CronJob> {
    let nextRunAtMs: number | undefined;
    try {
      nextRunAtMs = await nextRun(job, now());
    } catch (error) {
      throw refuse(method, (error as Error).message);
    }
    const state = without(job.state, ["nextRunAtMs", "runningAtMs"]);
    return { ...job, state: job.enabled && nextRunAtMs !== undefined ? { ...state, nextRunAtMs } : state };
  }

  function refuseTimes(schedule: CronPatch["schedule"]): void {
    const refusal = schedule && refusalOf(schedule, now());
    if (refusal !== undefined) throw new RclawError("INVALID_REQUEST", refusal);
  }

  async function add(raw: unknown): Promise<unknown> {
    const input = tidyJob(raw);
    judged("cron.add", cronAddParams, input);
    refuseTimes((input as CronAdd).schedule);
    const job = await scheduled("cron.add", createJob(input as CronAdd, { id: randomUUID(), now: now() }));
    await store.change((draft) => void draft.set(job.id, job));
    changed(job, "added");
    return job;
  }

  async function update(raw: unknown): Promise<unknown> {
    const fields = raw as { readonly patch?: unknown };
    const params = "patch" in fields ? { ...fields, patch: tidyPatch(fields.patch) } : fields;
    judged("cron.update", cronUpdateParams, params);
    const { patch } = params as { patch: CronPatch };
    refuseTimes(patch.schedule);
    const id = idOf(params as Named);
    const job = await store.change(async (draft) => {
      const before = draft.get(id);
      if (!before) throw unknownJob(id);
      const patched = patchJob(before, patch, now());
      const isMoved = patch.schedule !== undefined || patch.enabled !== undefined;
      const lacksTime = patched.enabled && patched.state.nextRunAtMs === undefined;
      const next = isMoved || lacksTime ? await scheduled("cron.update", patched) : patched;
      draft.set(id, next);
      return next;
    });
    changed(job, "updated");
    return job;
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

  async function run(id: string, mode: "due" | "force"): Promise<unknown> {
    const job = store.find(id);
    if (!job) throw unknownJob(id);
    if (scheduler.isRunning(id)) return { ok: true, ran: false, reason: "already-running" };
    const isDue = job.enabled && (job.state.nextRunAtMs ?? Number.POSITIVE_INFINITY) <= now();
    if (mode === "due" && !isDue) return { ok: true, ran: false, reason: "not-due" };
    await scheduler.run(id);
    return { ok: true, ran: true };
  }

  const since = "2026.2.17";
  return [
    defineMethod({
      name: "cron.list",
      since,
      params: cronListParams,
      handle: async ({ params }) => jobsPage(store.jobs(), params),
    }),
    defineMethod({
      name: "cron.status",
      since,
      params: noParams,
      handle: async () => ({
        enabled: isEnabled,
        storePath: await storePath(),
        jobs: store.jobs().length,
        nextWakeAtMs: (isEnabled ? scheduler.nextWake() : undefined) ?? null,
      }),
    }),
    defineMethod({
      name: "cron.get",
      since: "2026.9",
      params: cronIdParams,
      async handle({ params }) {
        const id = idOf(params);
        const job = store.find(id);
        if (job) return job;
        const message = `cron job not found: ${id}. List automations and retry with a current job id.`;
        throw new RclawError("INVALID_REQUEST", message, { details: { jobId: id } });
      },
    }),
    { name: "cron.add", since, handle: ({ params }) => add(params) },
    { name: "cron.update", since, handle: ({ params }) => update(params) },
    defineMethod({
      name: "cron.remove",
      since,
      params: cronIdParams,
      handle: ({ params }) => remove(idOf(params)),
    }),
    defineMethod({
      name: "cron.run",
      since,
      params: cronRunParams,
      handle: ({ params }) => run(idOf(params), params.mode ?? "force"),
    }),
    defineMethod({
      name: "cron.runs",
      since,
      params: cronRunsParams,
      async handle({ params }) {
        const jobId = params.scope === "all" ? undefined : (params.id ?? params.jobId);
        if (params.scope === "job" && jobId === undefined) throw refuse("cron.runs", "missing id");
        return runsPage(store.runs(), params, { jobId, nameOf: (id) => store.find(id)?.name });
      },
    }),
  ];
}

/** OpenClaw throws here rather than refusing, and its clients know the words that come of it. */
function unknownJob(id: string): RclawError {
  return new RclawError("UNAVAILABLE", `Error: unknown cron job id: ${id}`, { details: { jobId: id } });
}
