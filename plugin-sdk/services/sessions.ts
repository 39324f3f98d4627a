import type { Logger, PluginContext } from "../plugin.ts";
import type { Session, SessionEntry, TranscriptEntry } from "../session.ts";
import type { KeyRules } from "../session-key.ts";
import type { ModelDefaults } from "./agents.ts";
import type { RunHooks } from "./channels.ts";
import type { KernelMethod } from "./method.ts";

export const sessionMethods = {
  "sessions.list": "operator.read",
  "sessions.describe": "operator.read",
  "sessions.resolve": "operator.read",
  "sessions.preview": "operator.read",
  "sessions.patch": "operator.admin",
  "sessions.reset": "operator.admin",
  "sessions.delete": "operator.admin",
  "sessions.compact": "operator.admin",
} as const;

export interface LockInfo {
  readonly url?: string;
  readonly port?: number;
  /** Of the gateway's certificate, when it speaks TLS. */
  readonly tlsFingerprint?: string;
}

export interface LockHolder extends LockInfo {
  readonly pid: number;
  /** When the process started, in the system's ticks: another process that got the same pid later has another number. */
  readonly startTicks?: number;
  readonly startedAt: number;
}

export interface Lock {
  /** Says where the gateway can be reached, once that is known. */
  update(info: LockInfo): Promise<void>;
  release(): Promise<void>;
}

/** Something about a session is durable that was not before. */
export interface SessionChange {
  readonly key: string;
  readonly sessionId: string;
  readonly reason: "message" | "patch" | "reset" | "delete" | "compact";
  /** What was said, with reason "message". */
  readonly entries: readonly TranscriptEntry[];
}

export interface SessionStoreOptions {
  /** `<state>/sessions`. */
  readonly dir: string;
  readonly keys: KeyRules;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  now?(): number;
  /** Takes what must not be seen out of a line of JSON before it is written. */
  redact?(json: string): string;
  /** Written into new transcripts; default the process's. */
  readonly cwd?: string;
  /** Told of every change, in order. */
  onChange?(change: SessionChange): void;
  readonly commit?: {
    /** Records that share one sync at most. Default 4,096. */
    readonly maxRecords?: number;
    /** A longer journal is checkpointed. Default 16 MiB. */
    readonly rotateBytes?: number;
    /** Quiet time after which what was written is checkpointed. Default 2,000. */
    readonly idleMs?: number;
  };
}

export interface StoreState {
  readonly status: "ok" | "degraded";
  /** Why nothing can be stored at the moment. */
  readonly reason?: string;
  /** Unreadable lines that are left out. */
  readonly quarantined: number;
}

export interface DeleteOptions {
  /** False keeps the transcript under a name of its own instead of the archive's. Default true. */
  readonly deleteTranscript?: boolean;
}

export interface SessionEvents {
  /** Before a session is reset: stop its run, let hooks see what is going. Awaited. */
  beforeReset?(
    key: string,
    before: { readonly entry: SessionEntry | undefined; readonly reason: "new" | "reset" },
  ): Promise<void>;
  /** Before a session is deleted. Awaited. */
  beforeDelete?(
    key: string,
    before: { readonly entry: SessionEntry; readonly emitHooks: boolean },
  ): Promise<void>;
  /** After either. `after` is undefined for a deleted session. */
  onEnd?(key: string, before: SessionEntry | undefined, after: SessionEntry | undefined): void;
}

export interface SessionMethodPorts {
  /** What answers when a session names nothing else. */
  defaults(): ModelDefaults;
  readonly events?: SessionEvents;
  /** How long a reset or deletion waits for a run to let go of the session. Default 15,000. */
  readonly waitMs?: number;
}

/** The sessions of one state folder, open. */
export interface LiveStore {
  readonly state: StoreState;
  readonly runs: PluginContext["runs"];
  list(): readonly (SessionEntry & { readonly key: string })[];
  find(key: string): SessionEntry | undefined;
  /** Where a session's transcript is. */
  sessionFile(key: string): string | undefined;
  tail(key: string, limit: number): Promise<readonly TranscriptEntry[]>;
  open(key: string, signal: AbortSignal): Promise<Session>;
  reset(key: string, reason: "new" | "reset", signal: AbortSignal): Promise<SessionEntry>;
  /** The `sessions.*` methods that only need the store. */
  methods(ports: SessionMethodPorts): KernelMethod[];
  close(): Promise<void>;
}

/** What takes part in the end of a session. */
export interface LifecyclePorts {
  readonly store: Pick<LiveStore, "tail" | "sessionFile">;
  readonly hooks: RunHooks;
  /** A run that still writes would bring the session back. */
  stopRuns(sessionKey: string): Promise<void>;
}

/** Service "sessions": transcripts, the journal they are safe in, and the lock on the state folder. */
export interface SessionsService {
  sessionLifecycle(ports: LifecyclePorts): SessionEvents;
  openStore(options: SessionStoreOptions): Promise<LiveStore>;
  /** Takes the state folder for this process, or throws GATEWAY_LOCKED naming who has it. */
  acquireLock(stateDir: string, info: LockInfo): Promise<Lock>;
  /** Who has the state folder, if somebody lives who does. */
  readLock(stateDir: string): Promise<LockHolder | undefined>;
}
