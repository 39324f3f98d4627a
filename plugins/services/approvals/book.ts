import { randomUUID } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";

export const decisions = ["allow-once", "allow-always", "deny"] as const;
export type Decision = (typeof decisions)[number];

/** Who asked: only they may use what was allowed. */
export interface Requester {
  readonly principal: string;
  readonly deviceId?: string | undefined;
  readonly connId?: string | undefined;
}

export interface Approval<Request> {
  readonly id: string;
  readonly request: Request;
  readonly requester: Requester;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** Undefined while it waits; null when nobody decided in time. */
  readonly decision: Decision | null | undefined;
  /** An "allow-once" that was used. */
  readonly isUsed: boolean;
  /** Resolves with the decision; never rejects. */
  readonly decided: Promise<Decision | null>;
}

interface Entry<Request> extends Approval<Request> {
  decision: Decision | null | undefined;
  isUsed: boolean;
  timer: NodeJS.Timeout;
  settle(decision: Decision | null): void;
}

export interface Book<Request> {
  open(
    request: Request,
    options: { timeoutMs: number; requester: Requester; id: string | undefined },
  ): Approval<Request>;
  get(id: string): Approval<Request> | undefined;
  waiting(): readonly Approval<Request>[];
  /** Undefined when nothing waits under that id. */
  decide(id: string, decision: Decision | null): Approval<Request> | undefined;
  /** Uses up an "allow-once"; false when there is none. */
  use(id: string): boolean;
  /** Nobody will decide any more: whatever waits is not allowed. */
  close(): void;
}

/** Long enough for the one who asked to come back for the answer, and to use it. */
const keptMs = 15_000;
const maxEntries = 1_000;
/** The longest a timer can be set for. */
const maxTimeoutMs = 2_147_483_647;

/** Questions that wait for a person. They live in memory: after a restart nobody waits for them, so nothing is allowed. */
export function createBook<Request>({ now, newId }: { now(): number; newId?(): string }): Book<Request> {
  const entries = new Map<string, Entry<Request>>();

  function decide(id: string, decision: Decision | null): Entry<Request> | undefined {
    const entry = entries.get(id);
    if (!entry || entry.decision !== undefined) return undefined;
    clearTimeout(entry.timer);
    entry.decision = decision;
    entry.settle(decision);
    entry.timer = setTimeout(() => entries.delete(id), keptMs).unref();
    return entry;
  }

  return {
    open(request, { timeoutMs, requester, id: wanted }) {
      if (wanted !== undefined && entries.has(wanted))
        throw new RclawError("INVALID_REQUEST", "approval id already pending");
      if (entries.size >= maxEntries)
        throw new RclawError(
          "RATE_LIMITED",
          `${entries.size} approvals are open already; ask again when some are decided`,
          { retryable: true },
        );
      const id = wanted ?? newId?.() ?? randomUUID();
      const { promise, resolve } = withResolver<Decision | null>();
      const life = Math.min(timeoutMs, maxTimeoutMs);
      const createdAtMs = now();
      const entry: Entry<Request> = {
        id,
        request,
        requester,
        createdAtMs,
        expiresAtMs: createdAtMs + life,
        decision: undefined,
        isUsed: false,
        decided: promise,
        settle: resolve,
        timer: setTimeout(() => decide(id, null), life).unref(),
      };
      entries.set(id, entry);
      return entry;
    },
    get: (id) => entries.get(id),
    waiting: () => [...entries.values()].filter(({ decision }) => decision === undefined),
    decide,
    use(id) {
      const entry = entries.get(id);
      if (entry?.decision !== "allow-once" || entry.isUsed) return false;
      entry.isUsed = true;
      return true;
    },
    close() {
      for (const { id } of [...entries.values()]) decide(id, null);
      for (const { timer } of entries.values()) clearTimeout(timer);
      entries.clear();
    },
  };
}

function withResolver<T>(): { readonly promise: Promise<T>; resolve(value: T): void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((fulfil) => (resolve = fulfil));
  return { promise, resolve };
}
