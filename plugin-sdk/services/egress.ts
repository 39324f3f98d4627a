import type { Logger } from "../plugin.ts";

export interface EgressOptions {
  readonly log: Logger;
  /** All addresses of a host name. Default: the system's resolver. */
  resolve?(host: string): Promise<readonly { readonly address: string; readonly family: number }[]>;
  /** Special ranges that count as public; `egress.allowCidrs` of the configuration. */
  readonly allowCidrs?: readonly string[];
  /** How long an unused connection is kept. Default 4 s: servers close theirs after 5. */
  readonly idleMs?: number;
}

export interface EgressLimits {
  /** Decoded bytes of an answer read as a whole (`json`, `text`, `arrayBuffer`). */
  readonly maxBytes: number;
  /** Decoded bytes of an answer read piece by piece through `body`. */
  readonly maxStreamBytes: number;
  /** From the call to an open connection, name resolution included. */
  readonly connectMs: number;
  /** From the call to the answer's headers. */
  readonly headersMs: number;
  /** From the headers to the end of an answer read as a whole, or never read at all. */
  readonly bodyMs: number;
  /** From the headers to the end of an answer read piece by piece. */
  readonly streamMs: number;
}

export interface FetchOptions {
  readonly limits?: Partial<EgressLimits>;
  /** Ends every request of this owner, and refuses new ones. */
  readonly signal?: AbortSignal;
}

export interface Egress {
  /** `fetch` for one owner, limited to its grants: `host`, `*.host`, `host:port`, or `*` for every public host. */
  fetchFor(grants: readonly string[], owner: string, options?: FetchOptions): typeof fetch;
  close(): void;
}

/** Service "egress": the one way out to the network. */
export interface EgressService {
  createEgress(options: EgressOptions): Egress;
}
