import type { Static, TSchema } from "typebox";

/** A JSON Schema as plain data; what typebox's `Type.*` builders produce. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * The workspace's files, and nothing else's: a path that leaves the workspace through
 * `..`, a symbolic link, a hard link or a race is refused with PATH_OUTSIDE_WORKSPACE.
 * Paths may be relative to the workspace or absolute inside it.
 */
export interface Files {
  /** TOO_LARGE above `maxBytes` (default 10 MiB); with `from`, at most `maxBytes` from that byte on instead. */
  read(path: string, options?: { maxBytes?: number; from?: number }): Promise<Uint8Array>;
  /** Replaces the file as a whole or not at all; missing folders are made. */
  write(path: string, data: string | Uint8Array): Promise<void>;
  list(
    path: string,
  ): Promise<
    readonly { readonly name: string; readonly kind: "file" | "folder" | "other"; readonly size: number }[]
  >;
}

/** Who is calling a tool, and where. */
export interface ToolContext {
  /** Absolute path of the session's workspace. */
  readonly workspace: string;
  /** The only way to the workspace's files. */
  readonly files: Files;
  /** Canonical, such as `agent:main:telegram:direct:42`. */
  readonly sessionKey: string;
  readonly agentId: string;
  readonly runId: string;
  /** The model's own id for this call; unique within a run. */
  readonly toolCallId: string;
  /** The channel the turn came from, or undefined for a WebSocket client. */
  readonly channel?: string;
  /** The sender is the owner of this assistant, not merely somebody allowed to talk to it. */
  readonly isOwner: boolean;
  /** Aborted when the run is stopped or the plugin is disabled. */
  readonly signal: AbortSignal;
  /** Reports output while the tool still runs; shown live, never stored. */
  onUpdate?(text: string): void;
}

/** What the model reads. A failed tool is an answer too: set `isError` and say why in `content`. */
export interface ToolResult {
  readonly content: string;
  readonly isError?: boolean;
  /** For clients, not for the model: exit codes, paths, durations. Plain JSON. */
  readonly details?: unknown;
}

export interface Tool<Params = unknown> {
  /** `[a-z][a-z0-9_]{0,63}`, declared under `contributes.tools` of the manifest. */
  readonly name: string;
  /** One or two sentences for the model. */
  readonly description: string;
  readonly params: JsonSchema;
  /**
   * Names of params that hold a file path. The policy pipeline refuses the call
   * when one of them leaves the workspace, before the tool runs.
   */
  readonly paths?: readonly string[];
  /** Milliseconds before the call is aborted with TIMEOUT. Default 120,000; 0 means the run's own limit. */
  readonly timeoutMs?: number;
  execute(params: Params, context: ToolContext): Promise<ToolResult>;
}

/** Types `execute` from a typebox schema, so that the schema is the only definition of the params. */
export function defineTool<Schema extends TSchema>(
  tool: Omit<Tool<Static<Schema>>, "params"> & { readonly params: Schema },
): Tool {
  return tool as unknown as Tool;
}
