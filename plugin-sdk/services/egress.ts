import type { Manifest } from "../manifest.ts";
import type { Logger, PluginContext } from "../plugin.ts";
import type { KernelMethod } from "./method.ts";
import type { NetGrant, SecretBinding } from "./net-grants.ts";

export interface EgressOptions {
  readonly log: Logger;
  /** All addresses of a host name. Default: the system's resolver. */
  resolve?(host: string): Promise<readonly { readonly address: string; readonly family: number }[]>;
  /** Special ranges that count as public; `egress.allowCidrs` of the configuration. */
  readonly allowCidrs?: readonly string[];
  /** How long an unused connection is kept. Default 4 s: servers close theirs after 5. */
  readonly idleMs?: number;
  /** A plugin was refused a host that nobody has asked the owner about yet. */
  onDenied?(card: DeniedCard): void;
  /** The owner answered: the question is gone, wherever it is shown. */
  onResolved?(answered: { readonly id: string; readonly answer: DeniedAnswer }): void;
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
  /** Ends every request and socket of this owner, and refuses new ones. */
  readonly signal?: AbortSignal;
  /** There for a caged plugin: handles in its requests become secrets, and what comes back has handles again. */
  readonly secrets?: SecretHandles;
  /** Bytes on the wire since the last report, those of TLS included. */
  onBytes?(sent: number, received: number): void;
}

/** `host`, `*.host`, `host:port`, or `*` for every public host; with methods and paths where the grant is narrower. */
export type Grants = readonly (string | NetGrant)[];

/** A place that a handle would be sent to. */
export interface SecretTarget {
  readonly host: string;
  readonly port: number;
  readonly protocol: "http:" | "https:";
}

/**
 * Text that stands for secrets, for one instance of one plugin. Random, and known to nobody else: the handle
 * of another plugin, or of an earlier life of this one, opens nothing.
 */
export interface SecretHandles {
  /** The same for the same name. NOT_FOUND when there is no such secret. */
  handleFor(name: string): Promise<string>;
  /** A config value: the handle for `"secret:<name>"`, anything else as it is. */
  resolve(value: string): Promise<string>;
  /** For egress alone. EGRESS_DENIED when the handle is not one of these, or its secret is not bound to the place. */
  reveal(handle: string, target: SecretTarget): Promise<{ readonly name: string; readonly secret: string }>;
}

export interface SecretHandlesOptions {
  readonly owner: string;
  /** From `secretBindings`. */
  readonly bindings: readonly SecretBinding[];
  /** The secret itself. Asked each time, so that a changed one counts at once. */
  resolve(name: string): Promise<string>;
}

/** A host that a plugin was refused, for the owner to judge. */
export interface DeniedCard {
  readonly id: string;
  readonly plugin: string;
  readonly host: string;
  readonly port: number;
  /** What would have to stand in `permissions.net`, or in the grants of the configuration. */
  readonly line: string;
  /** Why a grant of the host alone would not be enough, such as "it is a private network address". */
  readonly reason?: string;
  readonly firstAt: number;
  /** How often it was refused since. */
  readonly count: number;
}

/** `once`: one request within ten minutes. `always`: a line in the configuration. `deny`: no card for it again until a restart. */
export type DeniedAnswer = "once" | "always" | "deny";

export interface Egress {
  /** `fetch` for one owner, limited to its grants; a function is asked for them anew with every request. */
  fetchFor(grants: Grants | (() => Grants), owner: string, options?: FetchOptions): typeof fetch;
  /** The same judgement for WebSockets: `wss:` counts as `https:`. */
  webSocketFor(
    grants: Grants | (() => Grants),
    owner: string,
    options?: FetchOptions,
  ): PluginContext["webSocket"];
  /** What the owner has not answered yet, oldest first. */
  pending(): readonly DeniedCard[];
  /** Takes the card away; NOT_FOUND when it is gone. With `always` the caller writes `line` into the configuration. */
  resolve(id: string, answer: DeniedAnswer): DeniedCard;
  close(): void;
}

export interface EgressMethodPorts {
  egress(): Promise<Pick<Egress, "pending" | "resolve">>;
  config(): unknown;
  /** Writes config values, applied live when it resolves. */
  configure(values: readonly { path: string; value: unknown }[]): Promise<void>;
}

export interface CagePorts {
  egress(): Promise<Pick<Egress, "fetchFor" | "webSocketFor">>;
  readonly manifest: Manifest;
  /** `plugins.entries.<id>.grants.net` as it is now. */
  granted(): unknown;
  onBytes?(sent: number, received: number): void;
}

/** The methods of the service and the scope each one needs. */
export const egressMethodScopes = {
  "egress.pending": "operator.approvals",
  "egress.resolve": "operator.approvals",
} as const;

/** Service "egress": the one way out to the network. */
export interface EgressService {
  createEgress(options: EgressOptions): Egress;
  createSecretHandles(options: SecretHandlesOptions): SecretHandles;
  /** The same context for a plugin in a cage: `secrets.get` and `resolve` answer handles, `fetch` and `webSocket` know them. */
  cage(context: PluginContext, ports: CagePorts): PluginContext;
  /** Refused hosts and the owner's answers; neither a plugin nor a node may call them. */
  egressMethods(ports: EgressMethodPorts): KernelMethod[];
}
