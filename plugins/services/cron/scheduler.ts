import type { PluginContext } from "@rclaw/plugin-sdk";
import type { CronJob } from "./methods.schema.ts";
import { type Settled, settled, without } from "./outcome.ts";
import { perform } from "./perform.ts";
import { nextRun } from "./schedule.ts";
import type { Store } from "./store.ts";

export interface SchedulerOptions {
  readonly context: PluginContext;
  readonly store: Store;
  /** Jobs run when their time has come; otherwise only when somebody runs them. */
  readonly isEnabled: boolean;
  readonly maxConcurrentRuns: number;
  now(): number;
  /** Told of every run that ended, after clients were. */
  onFinished(result: Settled): void;
}

/** A job whose run could not even be stored is not tried over and over. */
const troubleMs = 30_000;
/** Looked at again so often, because a machine that slept or whose clock was set tells no timer. */
const longestWaitMs = 60_000;

export type Scheduler = ReturnType<typeof createScheduler>;

/** Runs jobs when they are due: one timer for all of them, and none of them twice at once. */
export function createScheduler(options: SchedulerOptions) {
  const { context, store, isEnabled, maxConcurrentRuns, now } = options;
  const { signal, log } = context;
  const active = new Map<string, Promise<void>>();
  const held = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  const tell = (event: object): void => context.gateway.broadcast("cron", event, { dropIfSlow: true });

  const waiting = (): readonly { readonly id: string; readonly at: number }[] =>
    store
      .jobs()
      .flatMap(({ id, enabled, state: { nextRunAtMs: at } }) =>
        enabled && at !== undefined && !active.has(id) ? [{ id, at: Math.max(at, held.get(id) ?? 0) }] : [],
      );

  /** Sets the timer anew, after anything that may have moved the next time. */
  function arm(): void {
    clearTimeout(timer);
    // Whoever ends a run looks for the next one.
    if (!isEnabled || signal.aborted || active.size >= maxConcurrentRuns) return;
    const next = Math.min(...waiting().map(({ at }) => at));
    if (next === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(tick, Math.min(longestWaitMs, Math.max(0, next - now()))).unref();
  }

  function tick(): void {
    const time = now();
    const due = waiting().filter(({ at }) => at <= time);
    const room = Math.max(0, maxConcurrentRuns - active.size);
    for (const { id } of due.toSorted((a, b) => a.at - b.at).slice(0, room)) void run(id);
    arm();
  }

  /** Resolves when the run's end is stored; a job that runs already is not begun again. */
  function run(id: string, resumedAt?: number): Promise<void> {
    const known = active.get(id);
    if (known) return known;
    const own = follow(id, resumedAt)
      .then(() => void held.delete(id))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        held.set(id, now() + troubleMs);
        log.error({ err: error, jobId: id }, `the run of cron job ${id} could not be brought to its end`);
        throw error;
      })
      .finally(() => {
        active.delete(id);
        arm();
      });
    active.set(id, own);
    own.catch(() => undefined);
    return own;
  }

  async function follow(id: string, resumedAt: number | undefined): Promise<void> {
    const runAtMs = resumedAt ?? now();
    const job = await begin(id, runAtMs);
    if (!job) return;
    if (resumedAt === undefined) tell({ jobId: id, action: "started", runAtMs });
    const outcome = await perform(context, job, {
      runAtMs,
      resumed: resumedAt !== undefined,
      leaving: () => store.leave(id, runAtMs),
    });
    const result = await store.change(
      async (draft) => {
        const current = draft.get(id);
        if (!current) return undefined;
        const after = await settled(current, outcome, { runAtMs, endedAt: now() });
        if (after.isOver) draft.delete(id);
        else draft.set(id, after.job);
        return after;
      },
      (after) => after?.entry,
    );
    await store.arrived(id);
    if (!result) return;
    const { ts: _ts, ...event } = result.entry;
    tell(event);
    if (result.isOver) tell({ jobId: id, action: "removed" });
    options.onFinished(result);
  }

  /** Stored before anything is done, so that no slot is ever used twice. */
  function begin(id: string, runAtMs: number): Promise<CronJob | undefined> {
    return store.change((draft) => {
      const job = draft.get(id);
      if (!job) return undefined;
      const state = { ...without(job.state, ["lastError"]), runningAtMs: runAtMs };
      draft.set(id, { ...job, state });
      return job;
    });
  }

  /** Jobs that have no next time though they should. */
  async function fillIn(): Promise<void> {
    if (store.jobs().every(({ enabled, state }) => !enabled || state.nextRunAtMs !== undefined)) return;
    await store.change(async (draft) => {
      for (const [id, job] of draft) {
        if (!job.enabled || job.state.nextRunAtMs !== undefined) continue;
        const nextRunAtMs = await nextRun(job, now()).catch(() => undefined);
        if (nextRunAtMs !== undefined) draft.set(id, { ...job, state: { ...job.state, nextRunAtMs } });
      }
    });
  }

  return {
    arm,
    run,
    isRunning: (id: string): boolean => active.has(id),
    nextWake(): number | undefined {
      const next = Math.min(
        ...store.jobs().flatMap(({ enabled, state }) => (enabled ? (state.nextRunAtMs ?? []) : [])),
      );
      return next === Number.POSITIVE_INFINITY ? undefined : next;
    },
    tell,
    /** Takes up what a crash left, then whatever came due meanwhile, each job once. */
    async start(): Promise<void> {
      if (!isEnabled) return;
      for (const { id, state } of store.jobs())
        if (state.runningAtMs !== undefined) void run(id, state.runningAtMs);
      await fillIn();
      arm();
    },
  };
}
