import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller, Route } from "../gateway.ts";
import type { Logger } from "../plugin.ts";

export type BearerVerdict = { readonly ok: true } | { readonly ok: false; readonly retryAfterMs?: number };

/** Asked anew for every request, so that enabling or disabling a plugin needs no restart. */
export interface RouteTable {
  /** As declared: `GET /chat`, or `GET /pages/*` for everything below. */
  names(): readonly string[];
  get(name: string): Promise<Route>;
}

export interface HttpLimits {
  /** For the whole body of a request to an open route: nobody has vouched for its sender yet. */
  readonly bodyMs: number;
  /** For a route's answer. */
  readonly handlerMs: number;
  /** Requests to open routes under way, for one address elsewhere and for all of this machine. */
  readonly openPerAddress: number;
  readonly openLocal: number;
}

/** What `GET /metrics` tells. */
export interface GatewayCounts {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly connections: number;
  /** Accepted and not over. */
  readonly runs: number;
  readonly sessions: number;
  /** Calls of each method so far. */
  readonly calls: readonly (readonly [name: string, count: number])[];
}

export interface HttpOptions {
  readonly routes: RouteTable;
  /** The gateway's token as a bearer. */
  auth(request: IncomingMessage): Promise<BearerVerdict>;
  /** Whoever showed it, as routes hand it on. */
  readonly caller: Caller;
  /** May the page this request came from change anything? True for requests that no page made. */
  isOriginAllowed(request: IncomingMessage): boolean;
  /** What limits count by; undefined on this machine. */
  addressOf(request: IncomingMessage): string | undefined;
  counts(): Promise<GatewayCounts>;
  /** Told when a route threw or did not answer in time. */
  failed?(route: string, error: unknown): void;
  readonly log: Logger;
  readonly limits?: Partial<HttpLimits>;
}

/** Service "http": plugins' routes on the gateway's port. */
export interface HttpService {
  createHttp(options: HttpOptions): Promise<(request: IncomingMessage, response: ServerResponse) => void>;
}
