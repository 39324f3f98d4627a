import type { Endpoint, Handler } from "@rclaw/plugin-sdk/boundary/endpoint";
import type { LaneLimits } from "@rclaw/plugin-sdk/services/lanes";

/** What a guest is given inside the sandbox thread. */
export interface GuestPorts {
  /** The plugin's id. */
  readonly id: string;
  readonly limits: LaneLimits;
  /** Requests to the host that nobody stands still for. */
  readonly host: Pick<Endpoint, "call">;
  /**
   * A request to the host for which this thread stands still. `call` is the number of the host's call on whose
   * behalf it is made. Throws the host's RclawError, and RATE_LIMITED above `limits.hostCalls`.
   */
  hostSync(method: string, params: unknown, call: number | undefined): unknown;
  /** Runs guest code: measured, and ended from outside when it computes longer than `limits.entryMs`. */
  enter<T>(fn: () => T): T;
}

/** A WASM plugin brought to life inside the sandbox thread. */
export interface Guest {
  /** Answers what the host asks, with the same methods as a plugin in a worker. */
  readonly handle: Handler;
  /** Bytes of linear memory now. */
  memoryBytes(): number;
}
