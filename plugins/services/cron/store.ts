import { type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { CronJob, RunEntry } from "./methods.schema.ts";

const maxJobs = 1_000;
/** What these two take fits into the storage of a plugin, together with what runs leave in the jobs. */
const maxJobsBytes = 600_000;
const maxEntries = 2_000;
const maxLogBytes = 250_000;
const maxRounds = 8;

type Jobs = Map<string, CronJob>;

const isList = (value: unknown): boolean => Array.isArray(value) && value.every(isRecord);
const isJob = (value: unknown): boolean =>
  isRecord(value) &&
  typeof value["id"] === "string" &&
  [value["schedule"], value["payload"], value["state"]].every(isRecord);

/** The jobs as they were stored last. */
async function keptJobs(storage: PluginContext["storage"]): Promise<readonly CronJob[]> {
  const isRight = (value: unknown): boolean => Array.isArray(value) && value.every(isJob);
  return (await kept<readonly CronJob[]>(storage, "jobs", isRight)) ?? [];
}

/**
 * Jobs and the log of their runs. A job is never changed in place: what a reader holds stays as it
 * was, and a change that could not be stored did not happen.
 */
export async function openStore(storage: PluginContext["storage"]) {
  const bytesOf = createMeasure();
  let jobs: Jobs = new Map();
  for (const job of await keptJobs(storage)) jobs.set(job.id, job);
  let runs = (await kept<readonly RunEntry[]>(storage, "runs", isList)) ?? [];
  let sizes = runs.map(sizeOf);
  const leaving = new Map(
    Object.entries((await kept<Readonly<Record<string, number>>>(storage, "leaving", isRecord)) ?? {}),
  );
  const saveLeaving = (): Promise<void> => storage.set("leaving", Object.fromEntries(leaving));
  const inTurn = createTurns();
  let asked = 0;
  let isClosed = false;

  function appended(entry: RunEntry): { runs: readonly RunEntry[]; sizes: number[] } {
    const kept = { runs: [...runs, entry], sizes: [...sizes, sizeOf(entry)] };
    let bytes = kept.sizes.reduce((sum, size) => sum + size, 0);
    let drop = Math.max(0, kept.runs.length - maxEntries);
    for (const size of kept.sizes.slice(0, drop)) bytes -= size;
    while (bytes > maxLogBytes && drop < kept.runs.length - 1) bytes -= kept.sizes[drop++] ?? 0;
    return { runs: kept.runs.slice(drop), sizes: kept.sizes.slice(drop) };
  }

  /** One change after the other; durable when it resolves. With an entry, both are written or neither. */
  function change<T>(
    work: (draft: Jobs) => T | Promise<T>,
    entryOf?: (result: T) => RunEntry | undefined,
  ): Promise<T> {
    if (isClosed) return Promise.reject(startsAnew());
    asked += 1;
    return inTurn(async () => {
      const draft = new Map(jobs);
      const result = await work(draft);
      const entry = entryOf?.(result);
      const log = entry && appended(entry);
      await Promise.all([
        storage.set("jobs", [...draft.values()]),
        ...(log ? [storage.set("runs", log.runs)] : []),
      ]);
      jobs = draft;
      if (log) ({ runs, sizes } = log);
      return result;
    });
  }

  return {
    jobs: (): readonly CronJob[] => [...jobs.values()],
    find: (id: string): CronJob | undefined => jobs.get(id),
    /** Oldest first. */
    runs: (): readonly RunEntry[] => runs,
    /** Notes that the answer of this run goes out now; false when that stands there already. */
    async leave(id: string, runAtMs: number): Promise<boolean> {
      if (isClosed) throw startsAnew();
      if (leaving.get(id) === runAtMs) return false;
      leaving.set(id, runAtMs);
      await saveLeaving();
      return true;
    },
    async arrived(id: string): Promise<void> {
      if (!isClosed && leaving.delete(id)) await saveLeaving();
    },
    change,
    /** What is under way is stored, and nothing after it: whoever opens the store next writes from what it has read. */
    async close(): Promise<void> {
      // Whoever asks meanwhile is served as well, unless there is no end to it.
      for (let round = 0; round < maxRounds; round++) {
        const before = asked;
        await inTurn(() => undefined);
        if (asked === before) break;
      }
      isClosed = true;
      await inTurn(() => undefined);
    },
    /** What people ask for is bounded; what a run leaves in a job is little, and is kept in any case. */
    async grow<T>(work: (draft: Jobs) => T | Promise<T>): Promise<T> {
      return change(async (draft) => {
        const before = new Map(draft);
        const result = await work(draft);
        checkRoom(draft, before, bytesOf);
        return result;
      });
    },
  };
}

const startsAnew = (): RclawError =>
  new RclawError("UNAVAILABLE", "cron starts anew with other settings; ask again", { retryable: true });

export type Store = Awaited<ReturnType<typeof openStore>>;

function sizeOf(entry: RunEntry): number {
  return Buffer.byteLength(JSON.stringify(entry));
}

/** Only what grows is refused: a full store can still be worked with. */
function checkRoom(draft: Jobs, before: Jobs, bytesOf: (jobs: Jobs) => number): void {
  const advice = "remove one that is not needed: rclaw cron remove <id>";
  if (draft.size > maxJobs && draft.size > before.size)
    throw new RclawError("TOO_LARGE", `${maxJobs} cron jobs can be kept, and there are as many; ${advice}`);
  const bytes = bytesOf(draft);
  if (bytes > maxJobsBytes && bytes > bytesOf(before))
    throw new RclawError(
      "TOO_LARGE",
      `cron jobs would take ${bytes} bytes together, and ${maxJobsBytes} can be kept; ${advice}`,
    );
}

/** A job is never changed in place, so it is measured once. */
function createMeasure(): (jobs: Jobs) => number {
  const known = new WeakMap<CronJob, number>();
  return (jobs) => {
    let bytes = 2;
    for (const job of jobs.values()) {
      const size = known.get(job) ?? Buffer.byteLength(JSON.stringify(job)) + 1;
      known.set(job, size);
      bytes += size;
    }
    return bytes;
  };
}
