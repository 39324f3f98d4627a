import { hash } from "node:crypto";
import { isRclawError, type Logger, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";

/** What a delivery came to, without the run's id: whoever asks again brings it along. */
export type Outcome = { readonly payload: Readonly<Record<string, unknown>> } | { readonly error: string };

/** `method`, `principal` and `key` are whose request it is; `params` is all that the key stands for. */
export interface Request {
  readonly method: string;
  readonly principal: string;
  readonly key: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Calls `leaving` before anything can be noticed outside. What it throws earlier is nobody's second answer. */
export type Work = (leaving: () => Promise<void>) => Promise<Readonly<Record<string, unknown>>>;

interface Entry {
  readonly at: number;
  readonly paramsHash: string;
  /** Missing while the message may be on its way. */
  readonly outcome?: Outcome;
}

export interface OnceOptions {
  readonly storage: PluginContext["storage"];
  readonly log: Logger;
  now(): number;
}

export type Once = ReturnType<typeof createOnce>;

const isRecent = (value: unknown): boolean =>
  Array.isArray(value) && value.every((row) => Array.isArray(row) && isRecord(row[1]));
const keepMs = 5 * 60_000;
const maxKept = 1_000;
const maxAtOnce = 1_000;
const maxErrorChars = 300;

/**
 * Does a request once: whoever asks again, on whichever connection, shares the delivery
 * under way or gets what it came to. That a message is about to leave is on disk before
 * it does, so that one that a crash interrupts is not sent a second time.
 */
export function createOnce({ storage, log, now }: OnceOptions) {
  const running = new Map<string, { readonly paramsHash: string; readonly done: Promise<Outcome> }>();
  let loading: Promise<Map<string, Entry>> | undefined;

  const load = (): Promise<Map<string, Entry>> => {
    loading ??= kept<readonly [string, Entry][]>(storage, "recent", isRecent).then(
      (stored) => new Map(stored),
    );
    loading.catch(() => (loading = undefined));
    return loading;
  };

  /** Oldest first, since an entry that changes moves to the end. */
  function prune(entries: Map<string, Entry>): void {
    const oldest = now() - keepMs;
    for (const [id, { at }] of entries) {
      if (entries.size <= maxKept && at >= oldest) return;
      entries.delete(id);
    }
  }

  async function store(entries: Map<string, Entry>, id: string, entry: Entry): Promise<void> {
    entries.delete(id);
    entries.set(id, entry);
    prune(entries);
    await storage.set("recent", [...entries]);
  }

  async function perform(id: string, paramsHash: string, work: Work): Promise<Outcome> {
    const entries = await load();
    let isLeaving = false;
    let outcome: Outcome;
    try {
      const payload = await work(async () => {
        await store(entries, id, { at: now(), paramsHash });
        isLeaving = true;
      });
      outcome = { payload };
    } catch (error) {
      if (!isLeaving) {
        entries.delete(id);
        throw error;
      }
      outcome = { error: `Error: ${messageOf(error)}`.slice(0, maxErrorChars) };
    }
    await store(entries, id, { at: now(), paramsHash, outcome }).catch((error: unknown) =>
      log.error({ err: error }, "what a message came to could not be stored; it was not lost"),
    );
    return outcome;
  }

  return async function once(request: Request, work: Work): Promise<Outcome> {
    const id = hashOf([request.method, request.principal, request.key]);
    const paramsHash = hashOf(Object.entries(request.params).sort(([a], [b]) => (a < b ? -1 : 1)));
    const entries = await load();
    const alive = running.get(id);
    const known = entries.get(id);
    const kept = known && known.at >= now() - keepMs ? known : undefined;
    const first = alive ?? kept;
    if (first && first.paramsHash !== paramsHash) throw conflict(request);
    if (alive) return alive.done;
    if (kept) return kept.outcome ?? { error: interrupted };
    if (running.size >= maxAtOnce)
      throw new RclawError("UNAVAILABLE", "too many messages are on their way; try again in a moment", {
        retryable: true,
      });
    const done = perform(id, paramsHash, work);
    running.set(id, { paramsHash, done });
    try {
      return await done;
    } finally {
      running.delete(id);
    }
  };
}

const interrupted =
  "the gateway was stopped while this message was on its way; look whether it arrived, and use a new idempotencyKey to send it again";

function hashOf(value: unknown): string {
  return hash("sha256", JSON.stringify(value), "hex").slice(0, 32);
}

function messageOf(error: unknown): string {
  return isRclawError(error) || error instanceof Error ? error.message : String(error);
}

function conflict({ method, key }: Request): RclawError {
  return new RclawError(
    "CONFLICT",
    `${method} was already asked with the idempotency key "${key}" and other params; use a new key for a new request`,
    { details: { method, id: key } },
  );
}
