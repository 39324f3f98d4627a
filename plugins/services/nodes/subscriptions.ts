import type { PluginContext } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import type { LiveNode } from "./live.ts";

export interface Subscriptions {
  /** Kept when it resolves. */
  add(node: LiveNode, sessionKey: string): Promise<void>;
  remove(node: LiveNode, sessionKey: string): Promise<void>;
  /** Copies an event of a session to the nodes that want it. */
  copy(event: string, payload: unknown): void;
}

const maxPerNode = 64;
const storageKey = "subscriptions";
const isKeys = (value: unknown): boolean => isRecord(value) && Object.values(value).every(Array.isArray);

/**
 * Which nodes follow which conversations. A subscription ends with its connection, and not when
 * the plugin starts again because its settings changed: nobody would tell the nodes.
 */
export async function openSubscriptions({
  send,
  storage,
  nodes,
}: Pick<PluginContext["gateway"], "send"> &
  Pick<PluginContext, "storage"> & { nodes(): readonly LiveNode[] }): Promise<Subscriptions> {
  const bySession = new Map<string, Set<string>>();
  const byConnection = new Map<string, Set<string>>();

  function remove(connId: string, sessionKey: string): void {
    const wanted = byConnection.get(connId);
    wanted?.delete(sessionKey);
    if (wanted?.size === 0) byConnection.delete(connId);
    const nodes = bySession.get(sessionKey);
    nodes?.delete(connId);
    if (nodes?.size === 0) bySession.delete(sessionKey);
  }

  function wantedBy({ connId, ended }: LiveNode): Set<string> {
    const known = byConnection.get(connId);
    if (known) return known;
    const wanted = new Set<string>();
    byConnection.set(connId, wanted);
    const end = (): void => {
      for (const sessionKey of wanted) remove(connId, sessionKey);
      byConnection.delete(connId);
    };
    ended.addEventListener("abort", end, { once: true });
    return wanted;
  }

  function add(node: LiveNode, sessionKey: string): void {
    if (node.ended.aborted) return;
    const wanted = wantedBy(node);
    if (wanted.size >= maxPerNode) {
      const [oldest = ""] = wanted;
      remove(node.connId, oldest);
    }
    wanted.add(sessionKey);
    byConnection.set(node.connId, wanted);
    const followers = bySession.get(sessionKey) ?? new Set();
    bySession.set(sessionKey, followers.add(node.connId));
  }

  const save = (): Promise<void> => {
    const all = [...byConnection].map(([connId, keys]) => [connId, [...keys]]);
    return storage.set(storageKey, all.length > 0 ? Object.fromEntries(all) : undefined);
  };

  const followed =
    (await kept<Readonly<Record<string, readonly string[]>>>(storage, storageKey, isKeys)) ?? {};
  for (const node of nodes()) for (const key of followed[node.connId] ?? []) add(node, key);

  return {
    async add(node, sessionKey) {
      add(node, sessionKey);
      await save();
    },
    async remove(node, sessionKey) {
      remove(node.connId, sessionKey);
      await save();
    },
    copy(event, payload) {
      if (bySession.size === 0 || typeof payload !== "object" || payload === null) return;
      const { sessionKey } = payload as { sessionKey?: unknown };
      if (typeof sessionKey !== "string") return;
      for (const connId of bySession.get(sessionKey) ?? []) send(connId, event, payload);
    },
  };
}
