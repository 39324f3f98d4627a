import { RclawError } from "../errors.ts";
import type { PluginContext } from "../plugin.ts";
import type { Run, Session, SessionEntry, TranscriptEntry } from "../session.ts";

interface Stored {
  entry: SessionEntry;
  transcript: TranscriptEntry[];
  writer: Promise<void>;
}

/**
 * Sessions and runs in memory. Hand the same state to a second context to see what
 * a plugin does after a restart.
 */
export interface TestState {
  readonly sessions: Omit<PluginContext["sessions"], "workspace">;
  readonly runs: PluginContext["runs"];
  /** Set it and every write rejects with STORE_DEGRADED, as on a full disk. */
  degraded: boolean;
  transcript(key: string): readonly TranscriptEntry[];
}

/** Makes an empty state whose keys belong to agent "main". */
export function createTestState(): TestState {
  const sessions = new Map<string, Stored>();
  const runs = new Map<string, Run>();
  let ids = 0;

  const state: TestState = {
    degraded: false,
    transcript: (key) => sessions.get(canonical(key))?.transcript ?? [],
    sessions: {
      canonical,
      list: () => Promise.resolve([...sessions].map(([key, { entry }]) => ({ ...entry, key }))),
      find: (key) => Promise.resolve(sessions.get(canonical(key))?.entry),
      tail: (key, limit) => Promise.resolve(sessions.get(canonical(key))?.transcript.slice(-limit) ?? []),
      async open(key, signal) {
        const name = canonical(key);
        const stored = sessions.get(name) ?? create(name);
        const release = await hold(stored, signal);
        return session(name, stored, release);
      },
      async reset(key, _reason, signal) {
        const name = canonical(key);
        const stored = sessions.get(name) ?? create(name);
        const release = await hold(stored, signal);
        writable();
        stored.entry = { ...stored.entry, sessionId: `session-${++ids}`, updatedAt: Date.now() };
        stored.transcript = [];
        release();
        return stored.entry;
      },
    },
    runs: {
      async accept({ id, sessionKey, method, principal, params }) {
        await Promise.resolve();
        writable();
        const known = runs.get(runKey(method, principal, id));
        if (known && JSON.stringify(known.params) !== JSON.stringify(params)) {
          throw new RclawError("CONFLICT", `run "${id}" exists with other params`);
        }
        if (known) return { run: known, duplicate: true };
        const run: Run = {
          id,
          sessionKey,
          method,
          principal,
          params: structuredClone(params),
          acceptedAt: Date.now(),
          state: "accepted",
        };
        runs.set(runKey(method, principal, id), run);
        return { run, duplicate: false };
      },
      async mark(run, to, error) {
        await Promise.resolve();
        writable();
        const settled = to !== "accepted" && to !== "replying";
        const next: Run = {
          ...run,
          state: to,
          ...(settled && { endedAt: Date.now() }),
          ...(error !== undefined && { error }),
        };
        runs.set(runKey(run.method, run.principal, run.id), next);
        return next;
      },
      unsettled: () =>
        [...runs.values()].filter((run) => run.state === "accepted" || run.state === "replying"),
      find: (method, principal, id) => runs.get(runKey(method, principal, id)),
    },
  };
  return state;

  function writable(): void {
    if (state.degraded)
      throw new RclawError("STORE_DEGRADED", "the session store cannot write; nothing was stored", {
        retryable: true,
      });
  }

  function create(key: string): Stored {
    const made: Stored = {
      entry: { sessionId: `session-${++ids}`, updatedAt: Date.now() },
      transcript: [],
      writer: Promise.resolve(),
    };
    sessions.set(key, made);
    return made;
  }

  function session(key: string, stored: Stored, release: () => void): Session {
    return {
      key,
      get entry() {
        return stored.entry;
      },
      async append(...entries) {
        const lines = entries.map((entry) => {
          const id = (++ids).toString(16).padStart(8, "0");
          const parentId = stored.transcript.at(-1)?.id ?? null;
          const line = {
            ...structuredClone(entry),
            id,
            parentId,
            timestamp: new Date().toISOString(),
          } as TranscriptEntry;
          if (!state.degraded) stored.transcript.push(line);
          return line;
        });
        await Promise.resolve();
        writable();
        stored.entry = { ...stored.entry, updatedAt: Date.now() };
        return lines;
      },
      tail: (limit) => Promise.resolve(stored.transcript.slice(-limit)),
      async patch(fields) {
        await Promise.resolve();
        writable();
        const next = Object.entries({ ...stored.entry, ...fields }).filter(([, value]) => value !== null);
        stored.entry = Object.fromEntries(next) as SessionEntry;
        return stored.entry;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(release()),
    };
  }
}

/** Waits for the holder before, as the real store does. */
async function hold(stored: Stored, signal: AbortSignal): Promise<() => void> {
  const before = stored.writer;
  let release = (): void => undefined;
  stored.writer = new Promise((resolve) => (release = resolve));
  await before;
  if (!signal.aborted) return release;
  release();
  throw new RclawError("ABORTED", "gave up waiting for the session");
}

function canonical(key: string): string {
  const lower = key.trim().toLowerCase();
  if (lower === "global" || lower === "unknown") return lower;
  if (!lower.startsWith("agent:")) return lower === "" ? malformed(key) : `agent:main:${lower}`;
  const [, agentId, rest] = lower.split(":");
  return agentId && rest ? lower : malformed(key);
}

function malformed(key: string): never {
  throw new RclawError("INVALID_REQUEST", `malformed session key "${key}"`);
}

const runKey = (method: string, principal: string, id: string): string => `${method}\n${principal}\n${id}`;
