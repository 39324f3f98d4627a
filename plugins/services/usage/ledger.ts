import type { PluginContext, SessionEntry } from "@rclaw/plugin-sdk";
import { type Fact, factOf } from "./facts.ts";

export type Listed = SessionEntry & { readonly key: string };

/** What one look at a session may bring into memory; older messages of a longer one do not count. */
const maxEntries = 50_000;
/** Facts that are kept, over all sessions. */
const maxKept = 400_000;
const atOnce = 4;

interface Kept {
  readonly sessionId: string;
  readonly updatedAt: number;
  readonly facts: Promise<readonly Fact[]>;
  size: number;
}

/** The transcripts' facts, read again only when a session changed. */
export function createLedger(sessions: PluginContext["sessions"]) {
  const kept = new Map<string, Kept>();
  let total = 0;

  function drop(key: string): void {
    total -= kept.get(key)?.size ?? 0;
    kept.delete(key);
  }

  function factsOf({ key, sessionId, updatedAt }: Listed): Promise<readonly Fact[]> {
    const known = kept.get(key);
    if (known?.sessionId === sessionId && known.updatedAt === updatedAt) {
      kept.delete(key);
      kept.set(key, known);
      return known.facts;
    }
    drop(key);
    const facts = sessions
      .tail(key, maxEntries)
      .then((entries) => entries.flatMap((entry) => factOf(entry) ?? []));
    const fresh: Kept = { sessionId, updatedAt, facts, size: 0 };
    kept.set(key, fresh);
    facts.then(
      ({ length }) => {
        if (kept.get(key) !== fresh) return;
        fresh.size = length;
        total += length;
        for (const oldest of kept.keys()) {
          if (total <= maxKept) break;
          drop(oldest);
        }
      },
      () => {
        if (kept.get(key) === fresh) drop(key);
      },
    );
    return facts;
  }

  return {
    factsOf,
    /** Sessions with what was said in them, in their order; a few are read at a time. Ends early when the signal aborts. */
    async *each(
      list: readonly Listed[],
      signal: AbortSignal,
    ): AsyncGenerator<readonly [Listed, readonly Fact[]]> {
      const ahead: Promise<readonly Fact[]>[] = [];
      for (const [index, session] of list.entries()) {
        while (ahead.length < atOnce) {
          const next = list[index + ahead.length];
          if (!next) break;
          const reading = factsOf(next);
          // Looked at in its turn; until then a failure must not count as unhandled.
          reading.catch(() => undefined);
          ahead.push(reading);
        }
        signal.throwIfAborted();
        yield [session, (await ahead.shift()) ?? []];
        // Reading may be done already: a thousand sessions must not keep everybody waiting.
        if (index % 16 === 15) await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

export type Ledger = ReturnType<typeof createLedger>;
