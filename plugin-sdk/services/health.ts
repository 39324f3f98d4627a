import type { Caller, MethodCall } from "../gateway.ts";
import type { SessionEntry } from "../session.ts";
import type { KernelMethod } from "./method.ts";

/** A client that was let in, as far as others may know of it. */
export interface PresentClient {
  readonly caller: Caller;
  readonly params: {
    readonly client: {
      readonly id: string;
      readonly displayName?: string;
      readonly version: string;
      readonly platform: string;
      readonly deviceFamily?: string;
      readonly modelIdentifier?: string;
      readonly mode: string;
      readonly instanceId?: string;
    };
  };
  readonly deviceId?: string;
  readonly ip?: string;
}

/** What `channels.status` answers, as far as health shows it. */
export interface ChannelStates {
  readonly channels: Readonly<Record<string, { readonly running?: boolean; readonly lastError?: string }>>;
  readonly channelOrder: readonly string[];
  readonly channelLabels: Readonly<Record<string, string>>;
}

/** What health tells of and does not own. */
export interface HealthPorts {
  config(): unknown;
  /** With `probe` the platforms are asked. */
  channels(options: { probe: boolean; signal: AbortSignal }): Promise<ChannelStates>;
  sessions(): readonly (SessionEntry & { readonly key: string })[];
  /** Path of the session index, for people. */
  sessionsPath(agentId: string): string;
  /** Further members: a config that fell back, a store that is degraded. Empty when all is well. */
  notes(): Readonly<Record<string, unknown>>;
}

export interface HealthOptions {
  readonly ports: HealthPorts;
  now(): number;
  /** Tells the clients, after every refresh. */
  publish(snapshot: HealthSnapshot): void;
  audience(): number;
  readonly signal: AbortSignal;
}

export interface HealthSnapshot {
  readonly ok: boolean;
  readonly ts: number;
  readonly durationMs: number;
  readonly [field: string]: unknown;
}

export interface Health {
  /** The last snapshot, or an empty object before the first. Its JSON is made once. */
  current(): HealthSnapshot | Readonly<Record<string, never>>;
  /** Rises with every refresh. */
  version(): number;
  refresh(probe: boolean): Promise<HealthSnapshot>;
  /** Before long, once for many callers. */
  refreshSoon(): void;
  methods(): KernelMethod[];
}

/** Who is there, in the protocol's shape. */
export interface PresenceEntry {
  readonly text: string;
  readonly ts: number;
  readonly host?: string;
  readonly ip?: string;
  readonly version?: string;
  readonly platform?: string;
  readonly deviceFamily?: string;
  readonly modelIdentifier?: string;
  readonly mode?: string;
  readonly lastInputSeconds?: number;
  readonly reason?: string;
  readonly deviceId?: string;
  readonly instanceId?: string;
  readonly roles?: readonly string[];
  readonly scopes?: readonly string[];
}

export interface PresenceOptions {
  readonly version: string;
  now(): number;
  /** Tells the clients; called some time after a change, once for several. */
  publish(list: readonly PresenceEntry[]): void;
  audience(): number;
  /** What is said to have happened goes to the assistant, as the request of whoever said it. */
  wake(
    event: { readonly mode: "now" | "next-heartbeat"; readonly text: string; readonly sessionKey?: string },
    call: Pick<MethodCall, "caller" | "signal">,
  ): Promise<unknown>;
  readonly signal: AbortSignal;
}

export interface Presence {
  /** The gateway first, then the most recent. */
  list(): readonly PresenceEntry[];
  connect(client: PresentClient): void;
  disconnect(caller: Caller): void;
  /** Rises with every change. */
  version(): number;
  methods(): KernelMethod[];
}

/** Service "health": how the gateway is, and who is there. */
export interface HealthService {
  createHealth(options: HealthOptions): Health;
  createPresence(options: PresenceOptions): Presence;
  /** Gives memory back whenever this process has little to do, until the signal aborts. */
  beThrifty(signal: AbortSignal): void;
}
