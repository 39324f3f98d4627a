import type { IncomingMessage, ServerResponse } from "node:http";
import type { Route } from "../gateway.ts";
import type { Logger } from "../plugin.ts";

export type BearerVerdict = { readonly ok: true } | { readonly ok: false; readonly retryAfterMs?: number };

/** Asked anew for every request, so that enabling or disabling a plugin needs no restart. */
export interface RouteLookup {
  find(method: string, path: string): Route | undefined | Promise<Route | undefined>;
  /** Which methods a path has; empty when it has none. */
  methods(path: string): readonly string[];
}

export interface HttpOptions {
  readonly routes: RouteLookup;
  /** The gateway's token as a bearer. */
  auth(request: IncomingMessage): BearerVerdict;
  /** May the page this request came from change anything? True for requests that no page made. */
  isOriginAllowed(request: IncomingMessage): boolean;
  readonly log: Logger;
}

/** Service "http": plugins' routes on the gateway's port. */
export interface HttpService {
  createHttp(options: HttpOptions): Promise<(request: IncomingMessage, response: ServerResponse) => void>;
}
