import type { PluginContext } from "@rclaw/plugin-sdk";
import type { ConnectedClient, NodeClaim } from "@rclaw/plugin-sdk/gateway";
import { commandsOf, type Judged, type NodesConfig, sorted } from "./policy.ts";

/** A node that is connected now. */
export interface LiveNode {
  readonly nodeId: string;
  readonly connId: string;
  readonly claim: NodeClaim;
  readonly remoteIp: string | undefined;
  readonly connectedAtMs: number;
  readonly ended: AbortSignal;
}

/** Of a device that has come back before its old connection was seen to be dead, the new one counts. */
export function liveNodes(gateway: Pick<PluginContext["gateway"], "clients">): readonly LiveNode[] {
  const nodes = new Map<string, LiveNode>();
  for (const client of gateway.clients()) {
    const node = asNode(client);
    if (!node || node.ended.aborted) continue;
    const other = nodes.get(node.nodeId);
    if (!other || other.connectedAtMs <= node.connectedAtMs) nodes.set(node.nodeId, node);
  }
  return [...nodes.values()];
}

function asNode({ caller, node, connectedAt, ended }: ConnectedClient): LiveNode | undefined {
  const { role, deviceId, connId, ip } = caller;
  if (role !== "node" || !node || deviceId === undefined || connId === undefined) return undefined;
  return { nodeId: deviceId, connId, claim: node, remoteIp: ip, connectedAtMs: connectedAt, ended };
}

export const judged = ({ claim: { client, commands } }: LiveNode): Judged => ({
  platform: client.platform,
  deviceFamily: client.deviceFamily,
  declared: commands,
});

/** A node that was let in once, as the devices know it. */
export interface PairedDevice {
  readonly deviceId: string;
  readonly displayName?: string;
  readonly platform?: string;
  readonly role?: string;
  readonly roles?: readonly string[];
  readonly remoteIp?: string;
}

export const isNodeDevice = ({ role, roles }: PairedDevice): boolean =>
  role === "node" || roles?.includes("node") === true;

/** A row of `node.list`. */
export function nodeRow(
  nodeId: string,
  paired: PairedDevice | undefined,
  live: LiveNode | undefined,
  config: NodesConfig,
): Readonly<Record<string, unknown>> & { readonly connected: boolean; readonly displayName?: string } {
  const client = live?.claim.client;
  const displayName = client?.displayName ?? paired?.displayName;
  const platform = client?.platform ?? paired?.platform;
  const remoteIp = live?.remoteIp ?? paired?.remoteIp;
  return {
    nodeId,
    ...(displayName !== undefined && { displayName }),
    ...(platform !== undefined && { platform }),
    ...(client && { version: client.version }),
    ...(client?.deviceFamily !== undefined && { deviceFamily: client.deviceFamily }),
    ...(client?.modelIdentifier !== undefined && { modelIdentifier: client.modelIdentifier }),
    ...(remoteIp !== undefined && { remoteIp }),
    caps: sorted(live?.claim.caps ?? []),
    commands: live ? commandsOf(judged(live), config) : [],
    ...(live?.claim.pathEnv !== undefined && { pathEnv: live.claim.pathEnv }),
    ...(live?.claim.permissions && { permissions: live.claim.permissions }),
    ...(live && { connectedAtMs: live.connectedAtMs }),
    paired: paired !== undefined,
    connected: live !== undefined,
  };
}

/** Connected ones first, then by name. */
export function inOrder<
  Row extends { readonly connected: boolean; readonly displayName?: string; readonly nodeId?: unknown },
>(rows: readonly Row[]): readonly Row[] {
  const nameOf = ({ displayName, nodeId }: Row): string => (displayName ?? String(nodeId)).toLowerCase();
  return [...rows].sort((a, b) => {
    if (a.connected !== b.connected) return a.connected ? -1 : 1;
    return nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0;
  });
}
