import { randomUUID } from "node:crypto";
import { type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import type { LiveNode } from "./live.ts";

interface Invocation {
  readonly command: string;
  readonly params?: unknown;
  readonly timeoutMs?: number | undefined;
  readonly idempotencyKey?: string | undefined;
  /** Aborted when whoever asked is gone. */
  readonly signal: AbortSignal;
}

export interface InvokeResult {
  readonly id: string;
  readonly nodeId: string;
  readonly ok: boolean;
  readonly payload?: unknown;
  readonly payloadJSON?: string;
  readonly error?: { readonly code?: string; readonly message?: string };
}

export interface Invokes {
  /** Resolves with what the node answered; every failure is an error that says so. */
  invoke(
    node: LiveNode,
    invocation: Invocation,
  ): Promise<{ readonly payload: unknown; readonly payloadJSON: string | null }>;
  /** False for what nobody waits for: it came too late, or from somewhere else. */
  settle(connId: string | undefined, result: InvokeResult): boolean;
  /** Ends what waits. */
  close(): void;
}

interface Pending {
  readonly node: LiveNode;
  readonly command: string;
  resolve(result: InvokeResult): void;
  reject(error: RclawError): void;
}

const defaultTimeoutMs = 30_000;
const maxTimeoutMs = 2_147_483_647;
const maxPendingPerNode = 64;
const maxParamsChars = 8 * 1_024 * 1_024;

/** What nodes were asked and have not answered yet. */
export function createInvokes({ send }: Pick<PluginContext["gateway"], "send">): Invokes {
  const pending = new Map<string, Pending>();
  /** One listener for each connection, however much it is asked for. */
  const watched = new Map<AbortSignal, () => void>();

  const waitingFor = (isMeant: (node: LiveNode) => boolean): readonly Pending[] =>
    [...pending.values()].filter(({ node }) => isMeant(node));

  function watch({ ended }: LiveNode): void {
    if (watched.has(ended)) return;
    const gone = (): void => {
      for (const { command, reject } of waitingFor((node) => node.ended === ended))
        reject(nodeError("NOT_CONNECTED", `node disconnected (${command})`));
    };
    watched.set(ended, gone);
    ended.addEventListener("abort", gone, { once: true });
  }

  function unwatch({ ended }: LiveNode): void {
    const gone = watched.get(ended);
    if (!gone || waitingFor((node) => node.ended === ended).length > 0) return;
    ended.removeEventListener("abort", gone);
    watched.delete(ended);
  }

  function register(node: LiveNode, id: string, { command, timeoutMs, signal }: Invocation) {
    return new Promise<InvokeResult>((resolve, reject) => {
      const end = (): void => {
        pending.delete(id);
        clearTimeout(timer);
        unwatch(node);
        signal.removeEventListener("abort", dropped);
      };
      const fail = (error: RclawError): void => (end(), reject(error));
      const dropped = (): void =>
        fail(new RclawError("ABORTED", `nobody waits any more for ${command} on node ${node.nodeId}`));
      const timer = setTimeout(
        () => fail(nodeError("TIMEOUT", "node invoke timed out")),
        Math.min(timeoutMs ?? defaultTimeoutMs, maxTimeoutMs),
      );
      timer.unref();
      signal.addEventListener("abort", dropped, { once: true });
      watch(node);
      pending.set(id, { node, command, resolve: (result) => (end(), resolve(result)), reject: fail });
    });
  }

  return {
    async invoke(node, invocation) {
      const { command, params, timeoutMs, idempotencyKey, signal } = invocation;
      const { nodeId, connId } = node;
      signal.throwIfAborted();
      const paramsJSON = params === undefined ? null : JSON.stringify(params);
      if (paramsJSON !== null && paramsJSON.length > maxParamsChars)
        throw new RclawError(
          "TOO_LARGE",
          `the params of ${command} are larger than 8 MiB; send less at once`,
        );
      const waiting = waitingFor((other) => other.nodeId === nodeId).length;
      if (waiting >= maxPendingPerNode)
        throw new RclawError(
          "RATE_LIMITED",
          `${waiting} commands of node ${nodeId} are still unanswered; wait for some of them`,
          { retryable: true },
        );
      const id = randomUUID();
      const answer = register(node, id, invocation);
      const payload = {
        id,
        nodeId,
        command,
        paramsJSON,
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      };
      if (!send(connId, "node.invoke.request", payload))
        pending.get(id)?.reject(nodeError("UNAVAILABLE", "failed to send invoke to node"));
      const result = await answer;
      if (!result.ok) throw failedOn(result.error);
      const payloadJSON = result.payloadJSON ?? null;
      return { payload: payloadJSON ? parsed(payloadJSON) : result.payload, payloadJSON };
    },
    settle(connId, result) {
      const waiting = pending.get(result.id);
      if (!waiting || waiting.node.nodeId !== result.nodeId || waiting.node.connId !== connId) return false;
      waiting.resolve(result);
      return true;
    },
    close() {
      const error = new RclawError("ABORTED", "the gateway ends what nodes were asked; ask again", {
        retryable: true,
      });
      for (const waiting of [...pending.values()]) waiting.reject(error);
    },
  };
}

export const notConnected = (): RclawError =>
  new RclawError("UNAVAILABLE", "node not connected", { details: { code: "NOT_CONNECTED" } });

function nodeError(code: string, message: string): RclawError {
  return new RclawError("UNAVAILABLE", message, { details: { nodeError: { code, message } } });
}

function failedOn(error: InvokeResult["error"]): RclawError {
  return new RclawError("UNAVAILABLE", error?.message ?? "node invoke failed", {
    details: { nodeError: error ?? null },
  });
}

/** What a node calls JSON and is none is handed on as it came. */
function parsed(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return { payloadJSON: text };
  }
}
