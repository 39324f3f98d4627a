import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { randomUUID } from "node:crypto";
import {
  browserNode,
  browserRequestOf,
  changesProfiles,
  proxyParams,
  proxyResult,
  unavailable,
} from "./browser.ts";
import type { createNodeEvents } from "./events.ts";
import { type InvokeResult, type Invokes, notConnected } from "./invokes.ts";
import {
  inOrder,
  isNodeDevice,
  judged,
  type LiveNode,
  liveNodes,
  nodeRow,
  type PairedDevice,
} from "./live.ts";
import {
  approvalsSetParams,
  browserParams,
  eventParams,
  invokeParams,
  invokeProgressParams,
  invokeResultParams,
  nodeParams,
  noParams,
  skillsUpdateParams,
  toolsUpdateParams,
} from "./methods.schema.ts";
import { type NodesConfig, refusalOf } from "./policy.ts";
import type { NodeWork } from "./work.ts";

export interface NodeMethodsOptions {
  readonly context: Pick<PluginContext, "gateway" | "methods" | "log">;
  readonly config: NodesConfig;
  readonly invokes: Invokes;
  readonly work: NodeWork;
  readonly onNodeEvent: ReturnType<typeof createNodeEvents>;
}

/** What operators see of nodes and ask them for, and what nodes answer. */
export function nodeMethods(options: NodeMethodsOptions): readonly Method[] {
  return [...viewMethods(options), ...invokeMethods(options), ...ownMethods(options)];
}

function viewMethods({ context: { gateway, methods }, config }: NodeMethodsOptions): Method[] {
  async function paired(): Promise<ReadonlyMap<string, PairedDevice>> {
    const list = (await methods.call("device.pair.list", {})) as { paired: readonly PairedDevice[] };
    return new Map(list.paired.filter(isNodeDevice).map((device) => [device.deviceId, device]));
  }

  return [
    defineMethod({
      name: "node.list",
      since: "2026.2.17",
      params: noParams,
      async handle() {
        const devices = await paired();
        const live = new Map(liveNodes(gateway).map((node) => [node.nodeId, node]));
        const ids = [...new Set([...devices.keys(), ...live.keys()])];
        const rows = ids.map((id) => nodeRow(id, devices.get(id), live.get(id), config));
        return { ts: Date.now(), nodes: inOrder(rows) };
      },
    }),
    defineMethod({
      name: "node.describe",
      since: "2026.2.17",
      params: nodeParams,
      async handle({ params }) {
        const nodeId = idOf(params.nodeId);
        const device = (await paired()).get(nodeId);
        const live = liveNodes(gateway).find((node) => node.nodeId === nodeId);
        if (!device && !live) throw new RclawError("INVALID_REQUEST", "unknown nodeId");
        return { ts: Date.now(), ...nodeRow(nodeId, device, live, config) };
      },
    }),
  ];
}

function invokeMethods({ context, config, invokes, work }: NodeMethodsOptions): Method[] {
  const { gateway, methods } = context;

  function connected(nodeId: string): LiveNode {
    const node = liveNodes(gateway).find((other) => other.nodeId === nodeId);
    if (!node) throw notConnected();
    return node;
  }

  /** A client's word that a command was approved is held against what was really decided. */
  async function forwarded(nodeId: string, params: unknown, caller: Caller): Promise<unknown> {
    const { principal, deviceId, connId } = caller;
    const requester = {
      principal,
      ...(deviceId !== undefined && { deviceId }),
      ...(connId !== undefined && { connId }),
    };
    const checked = await methods.call("approvals.systemRun", { nodeId, params, requester });
    return (checked as { params?: unknown }).params;
  }

  /** Asked past the policy: these two are for whoever administrates the gateway, and are nothing that runs. */
  async function approvalsOf(
    given: string,
    command: string,
    params: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const nodeId = idOf(given);
    const node = liveNodes(gateway).find((other) => other.nodeId === nodeId);
    if (!node) {
      const nodeError = { code: "NOT_CONNECTED", message: "node not connected" };
      throw new RclawError("UNAVAILABLE", nodeError.message, { details: { nodeError } });
    }
    return (await invokes.invoke(node, { command, params, signal })).payload;
  }

  return [
    defineMethod({
      name: "node.invoke",
      since: "2026.2.17",
      params: invokeParams,
      async handle({ params: { params, timeoutMs, idempotencyKey, ...given }, caller, signal }) {
        const nodeId = given.nodeId.trim();
        const command = given.command.trim();
        if (nodeId === "" || command === "")
          throw new RclawError("INVALID_REQUEST", "nodeId and command required");
        if (/^system\.execApprovals\.[gs]et$/.test(command))
          throw new RclawError(
            "INVALID_REQUEST",
            "node.invoke does not allow system.execApprovals.*; use exec.approvals.node.*",
            { details: { command } },
          );
        if (command === "browser.proxy" && changesProfiles(params))
          throw new RclawError(
            "INVALID_REQUEST",
            `node.invoke cannot mutate persistent browser profiles via ${command}`,
            { details: { command } },
          );
        const node = connected(nodeId);
        const refusal = refusalOf(command, judged(node), config);
        if (refusal) {
          const { reason, message } = refusal;
          throw new RclawError("INVALID_REQUEST", message, { details: { reason, command } });
        }
        const allowed = command === "system.run" ? await forwarded(nodeId, params, caller) : params;
        const invocation = { command, params: allowed, timeoutMs, idempotencyKey, signal };
        try {
          const { payload, payloadJSON } = await invokes.invoke(node, invocation);
          return { ok: true, nodeId, command, payload, payloadJSON };
        } catch (error) {
          throw postponedError(work, node, invocation, error) ?? error;
        }
      },
    }),
    defineMethod({
      name: "exec.approvals.node.get",
      since: "2026.2.17",
      params: nodeParams,
      handle: ({ params: { nodeId }, signal }) => approvalsOf(nodeId, "system.execApprovals.get", {}, signal),
    }),
    defineMethod({
      name: "exec.approvals.node.set",
      since: "2026.2.17",
      params: approvalsSetParams,
      handle: ({ params: { nodeId, ...params }, signal }) =>
        approvalsOf(nodeId, "system.execApprovals.set", params, signal),
    }),
    defineMethod({
      name: "browser.request",
      since: "2026.2.17",
      params: browserParams,
      async handle({ params, signal }) {
        const request = browserRequestOf(params as Readonly<Record<string, unknown>>);
        const node = browserNode(liveNodes(gateway), config);
        if (!node) throw unavailable("browser control is disabled");
        if (changesProfiles(request))
          throw new RclawError(
            "INVALID_REQUEST",
            "browser.request cannot mutate persistent browser profiles over a node proxy",
          );
        const command = "browser.proxy";
        const refusal = refusalOf(command, judged(node), config);
        if (refusal) {
          const { reason } = refusal;
          const message = `node command not allowed: ${reason} (platform: ${node.claim.client.platform}, command: ${command})`;
          throw new RclawError("INVALID_REQUEST", message, { details: { reason, command } });
        }
        const { payload } = await invokes.invoke(node, {
          command,
          params: proxyParams(request),
          timeoutMs: request.timeoutMs,
          idempotencyKey: randomUUID(),
          signal,
        });
        return proxyResult(payload);
      },
    }),
  ];
}

/** What nodes themselves call. */
function ownMethods({ context, invokes, onNodeEvent }: NodeMethodsOptions): Method[] {
  const { gateway, log } = context;
  return [
    defineMethod({
      name: "node.invoke.result",
      since: "2026.2.17",
      params: invokeResultParams,
      async handle({ params, caller }) {
        requireOwnId(params.nodeId, caller);
        return invokes.settle(caller.connId, resultOf(params)) ? { ok: true } : { ok: true, ignored: true };
      },
    }),
    defineMethod({
      name: "node.invoke.progress",
      since: "2026.9",
      params: invokeProgressParams,
      async handle({ params, caller }) {
        requireOwnId(params.nodeId, caller);
        // Nobody here follows a command while it runs.
        return { ok: true, ignored: true };
      },
    }),
    // The assistant takes neither skills nor tools from nodes: of what a node offers, nothing was taken.
    defineMethod({
      name: "node.skills.update",
      since: "2026.9",
      params: skillsUpdateParams,
      handle: async ({ caller }) => ({ nodeId: caller.deviceId, skills: [] }),
    }),
    defineMethod({
      name: "node.pluginTools.update",
      since: "2026.9",
      params: toolsUpdateParams,
      handle: async ({ caller }) => ({ nodeId: caller.deviceId, tools: [] }),
    }),
    defineMethod({
      name: "node.event",
      since: "2026.2.17",
      params: eventParams,
      async handle({ params: { event, payload, payloadJSON }, caller }) {
        const node = liveNodes(gateway).find(({ connId }) => connId === caller.connId);
        if (node) await onNodeEvent(node, event, payloadJSON ?? payload);
        else log.debug({ event }, "an event of a node that is not connected any more was ignored");
        return { ok: true };
      },
    }),
  ];
}

function resultOf({
  payloadJSON,
  payload = typeof payloadJSON === "string" ? undefined : (payloadJSON ?? undefined),
  error,
  ...result
}: {
  id: string;
  nodeId: string;
  ok: boolean;
  payload?: unknown;
  payloadJSON?: unknown;
  error?: InvokeResult["error"] | null;
}): InvokeResult {
  return {
    ...result,
    payload,
    ...(typeof payloadJSON === "string" && { payloadJSON }),
    ...(error && { error }),
  };
}

function requireOwnId(nodeId: string, { deviceId }: Caller): void {
  if (nodeId !== deviceId) throw new RclawError("INVALID_REQUEST", "nodeId mismatch");
}

function idOf(given: string): string {
  const id = given.trim();
  if (id === "") throw new RclawError("INVALID_REQUEST", "nodeId required");
  return id;
}

/** A phone shows nothing while it lies in a pocket: it asks for what waits once it is looked at. */
function postponedError(
  work: NodeWork,
  { nodeId, claim }: LiveNode,
  { command, params, idempotencyKey }: { command: string; params: unknown; idempotencyKey: string },
  error: unknown,
): RclawError | undefined {
  const { details } = error as { details?: { nodeError?: InvokeResult["error"] } };
  const nodeError = details?.nodeError;
  const isAsleep =
    nodeError?.code?.toUpperCase() === "NODE_BACKGROUND_UNAVAILABLE" ||
    nodeError?.message?.toUpperCase().includes("BACKGROUND_UNAVAILABLE") === true;
  if (!isAsleep || !/^(?:ios|ipados)/i.test(claim.client.platform.trim())) return undefined;
  if (!/^(?:canvas|camera|screen|talk)\./.test(command)) return undefined;
  const paramsJSON = params === undefined ? null : JSON.stringify(params);
  const { id } = work.postpone(nodeId, { command, paramsJSON, idempotencyKey });
  return new RclawError("UNAVAILABLE", "node command queued until iOS returns to foreground", {
    retryable: true,
    details: { code: "QUEUED_UNTIL_FOREGROUND", queuedActionId: id, nodeId, command, nodeError },
  });
}
