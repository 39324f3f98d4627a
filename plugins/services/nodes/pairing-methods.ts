import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { isNodeDevice, judged, liveNodes, type PairedDevice } from "./live.ts";
import {
  ackParams,
  drainParams,
  enqueueParams,
  nodeParams,
  noParams,
  pairRequestParams,
  renameParams,
  requestIdParams,
  surfaceParams,
  verifyParams,
} from "./methods.schema.ts";
import type { Pairing } from "./pairing.ts";
import { allowedCommands, type NodesConfig } from "./policy.ts";
import type { NodeWork } from "./work.ts";

export interface PairingMethodsOptions {
  readonly context: Pick<PluginContext, "gateway" | "methods">;
  readonly config: NodesConfig;
  readonly pairing: Pairing;
  readonly work: NodeWork;
}

/** `node.pair.*` and `node.rename`: the book of nodes from before devices had keys. */
export function pairingMethods({ context: { gateway, methods }, pairing }: PairingMethodsOptions): Method[] {
  const resolved = (requestId: string, nodeId: string, decision: string): void =>
    gateway.broadcast(
      "node.pair.resolved",
      { requestId, nodeId, decision, ts: Date.now() },
      { dropIfSlow: true },
    );

  async function device(nodeId: string): Promise<PairedDevice | undefined> {
    const { paired } = (await methods.call("device.pair.list", {})) as { paired: readonly PairedDevice[] };
    return paired.find((other) => other.deviceId === nodeId && isNodeDevice(other));
  }

  return [
    defineMethod({
      name: "node.pair.request",
      since: "2026.2.17",
      params: pairRequestParams,
      async handle({ params }) {
        const { request, created } = await pairing.request(params);
        if (created) gateway.broadcast("node.pair.requested", request, { dropIfSlow: true });
        return { status: "pending", request, created };
      },
    }),
    defineMethod({
      name: "node.pair.list",
      since: "2026.2.17",
      params: noParams,
      async handle() {
        const { pending, paired } = await pairing.list();
        // Told once, to whoever approved it.
        return { pending, paired: paired.map(({ token: _token, ...node }) => node) };
      },
    }),
    defineMethod({
      name: "node.pair.approve",
      since: "2026.2.17",
      params: requestIdParams,
      async handle({ params: { requestId } }) {
        const node = await pairing.approve(requestId);
        resolved(requestId, node.nodeId, "approved");
        return { requestId, node };
      },
    }),
    defineMethod({
      name: "node.pair.reject",
      since: "2026.2.17",
      params: requestIdParams,
      async handle({ params: { requestId } }) {
        const { nodeId } = await pairing.reject(requestId);
        resolved(requestId, nodeId, "rejected");
        return { requestId, nodeId };
      },
    }),
    defineMethod({
      name: "node.pair.verify",
      since: "2026.2.17",
      params: verifyParams,
      async handle({ params: { nodeId, token } }) {
        const node = await pairing.verify(nodeId, token);
        return node ? { ok: true, node } : { ok: false };
      },
    }),
    defineMethod({
      name: "node.pair.remove",
      since: "2026.5.7",
      params: nodeParams,
      async handle({ params, caller }) {
        const nodeId = params.nodeId.trim();
        const paired = await device(nodeId);
        const { role, roles = role === undefined ? [] : [role] } = paired ?? {};
        if (roles.some((other) => other !== "node"))
          throw new RclawError(
            "INVALID_REQUEST",
            `device ${nodeId} is more than a node; remove all of it with device.pair.remove`,
          );
        // Whoever asked has to be allowed to do it themselves.
        if (paired) await methods.call("device.pair.remove", { deviceId: nodeId }, { as: caller });
        const isRemoved = await pairing.remove(nodeId);
        if (!paired && !isRemoved) throw new RclawError("INVALID_REQUEST", "unknown nodeId");
        resolved("", nodeId, "removed");
        return { nodeId };
      },
    }),
    defineMethod({
      name: "node.rename",
      since: "2026.2.17",
      params: renameParams,
      async handle({ params }) {
        const { nodeId, displayName } = await pairing.rename(params.nodeId, params.displayName);
        return { nodeId, displayName };
      },
    }),
  ];
}

/** `node.pending.*`: what waits for a node, and the pages that it might show. */
export function workMethods({ context, config, work }: PairingMethodsOptions): Method[] {
  const { gateway, methods } = context;

  /** Which node is calling; one that was thrown out a moment ago is none. */
  function own(connId: string | undefined) {
    const node = liveNodes(gateway).find((other) => other.connId === connId);
    if (!node) throw pairingChanged();
    return node;
  }

  const surface = async ({ params }: { params: { surface?: unknown } }): Promise<never> => {
    const name = typeof params.surface === "string" ? params.surface.trim() : "";
    if (name === "") throw new RclawError("INVALID_REQUEST", "surface required");
    throw new RclawError("UNAVAILABLE", `${name} plugin surface unavailable`);
  };

  return [
    defineMethod({
      name: "node.pending.enqueue",
      since: "2026.5.7",
      params: enqueueParams,
      async handle({ params: { nodeId: given, ...item } }) {
        const nodeId = given.trim();
        const { paired } = (await methods.call("device.pair.list", {})) as {
          paired: readonly PairedDevice[];
        };
        if (!paired.some((device) => device.deviceId === nodeId && isNodeDevice(device)))
          throw pairingChanged();
        return { nodeId, ...work.enqueue(nodeId, item), wakeTriggered: false };
      },
    }),
    defineMethod({
      name: "node.pending.drain",
      since: "2026.5.7",
      params: drainParams,
      async handle({ params: { maxItems = 4 }, caller }) {
        const { nodeId } = own(caller.connId);
        return { nodeId, ...work.drain(nodeId, maxItems) };
      },
    }),
    defineMethod({
      name: "node.pending.pull",
      since: "2026.5.7",
      params: noParams,
      async handle({ caller }) {
        const node = own(caller.connId);
        const { nodeId } = node;
        const allowed = allowedCommands(judged(node), config);
        const actions = work
          .postponed(nodeId)
          .filter(({ command }) => allowed.has(command))
          .map(({ id, command, paramsJSON, enqueuedAtMs }) => ({ id, command, paramsJSON, enqueuedAtMs }));
        return { nodeId, actions };
      },
    }),
    defineMethod({
      name: "node.pending.ack",
      since: "2026.5.7",
      params: ackParams,
      async handle({ params: { ids }, caller }) {
        const { nodeId } = own(caller.connId);
        const ackedIds = [...new Set(ids.map((id) => id.trim()).filter(Boolean))];
        return { nodeId, ackedIds, remainingCount: work.acknowledge(nodeId, ackedIds) };
      },
    }),
    defineMethod({
      name: "node.pluginSurface.refresh",
      since: "2026.9",
      params: surfaceParams,
      handle: surface,
    }),
    defineMethod({ name: "plugin.surface.refresh", since: "2026.9", params: surfaceParams, handle: surface }),
    defineMethod({
      name: "node.canvas.capability.refresh",
      since: "2026.5.7",
      params: noParams,
      async handle() {
        throw new RclawError("UNAVAILABLE", "canvas host unavailable for this node session");
      },
    }),
  ];
}

function pairingChanged(): RclawError {
  return new RclawError("UNAVAILABLE", "node pairing changed while pending work was active", {
    retryable: true,
    details: { code: "PAIRING_CHANGED" },
  });
}
