/**
 * One line of a transcript: OpenClaw's JSONL v3. `parentId` makes it a tree whose
 * leaf is the last line. Kinds other than these are kept and passed through.
 */
export interface TranscriptEntry {
  readonly type: "message" | "custom" | "custom_message" | "compaction" | "model_change" | (string & {});
  /** 8 hex digits, unique within the transcript. */
  readonly id: string;
  readonly parentId: string | null;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly [field: string]: unknown;
}

/** What is known of a session beside its transcript; OpenClaw's SessionEntry. */
export interface SessionEntry {
  readonly sessionId: string;
  /** Milliseconds since the epoch. */
  readonly updatedAt: number;
  readonly label?: string;
  readonly thinkingLevel?: string;
  readonly verboseLevel?: string;
  readonly modelOverride?: string;
  readonly providerOverride?: string;
  readonly channel?: string;
  readonly chatType?: string;
  readonly displayName?: string;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly totalTokens?: number;
  readonly abortedLastRun?: boolean;
  readonly [field: string]: unknown;
}

/**
 * A session held for writing. Only one holder exists at a time, so a run that
 * holds it needs no other lock. Dispose it, or the next run waits for ever.
 */
export interface Session extends AsyncDisposable {
  readonly key: string;
  readonly entry: SessionEntry;
  /** Appends and resolves when the lines are durable. Rejects STORE_DEGRADED when they are not; then nothing was written. */
  append(
    ...entries: readonly Omit<TranscriptEntry, "id" | "parentId" | "timestamp">[]
  ): Promise<readonly TranscriptEntry[]>;
  /** The last `limit` entries, oldest first, read from the end of the file. */
  tail(limit: number): Promise<readonly TranscriptEntry[]>;
  /** Changes the entry; `null` removes a field. Durable when it resolves. */
  patch(fields: Readonly<Record<string, unknown>>): Promise<SessionEntry>;
}

/** An accepted request that outlives a crash: accepted, then maybe replying, then settled. */
export interface Run {
  /** The caller's idempotency key; the run id of the protocol. */
  readonly id: string;
  readonly sessionKey: string;
  readonly method: string;
  /** Who asked: `client:<device or token>` or `plugin:<id>`. The same key from somebody else is another run. */
  readonly principal: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly acceptedAt: number;
  /** "replying" means an answer may have left already: it must not be sent a second time. */
  readonly state: "accepted" | "replying" | "ok" | "error" | "aborted";
  readonly endedAt?: number;
  readonly error?: string;
}
