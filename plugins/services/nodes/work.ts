import { randomUUID } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";

interface WorkItem {
  readonly id: string;
  readonly type: "status.request" | "location.request";
  readonly priority: "default" | "normal" | "high";
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
}

/** A command that a phone could not carry out in the background. */
interface WaitingAction {
  readonly id: string;
  readonly command: string;
  readonly paramsJSON: string | null;
  readonly idempotencyKey: string;
  readonly enqueuedAtMs: number;
}

export interface NodeWork {
  enqueue(
    nodeId: string,
    item: {
      type: WorkItem["type"];
      priority?: "normal" | "high" | undefined;
      expiresInMs?: number | undefined;
    },
  ): { readonly revision: number; readonly queued: WorkItem };
  drain(
    nodeId: string,
    maxItems: number,
  ): { readonly revision: number; readonly items: readonly WorkItem[]; readonly hasMore: boolean };
  postpone(
    nodeId: string,
    action: Pick<WaitingAction, "command" | "paramsJSON" | "idempotencyKey">,
  ): WaitingAction;
  postponed(nodeId: string): readonly WaitingAction[];
  /** How many are left. */
  acknowledge(nodeId: string, ids: readonly string[]): number;
}

interface Queue {
  revision: number;
  items: readonly WorkItem[];
  actions: readonly WaitingAction[];
}

const dayMs = 86_400_000;
const actionMs = 600_000;
const maxActions = 64;
const maxNodes = 512;
const ranks = { high: 0, normal: 1, default: 2 } as const;

/** What waits until a node asks for it. Like every request to a node it is gone with the gateway. */
export function createNodeWork(now: () => number): NodeWork {
  const queues = new Map<string, Queue>();

  function queueOf(nodeId: string): Queue {
    const queue = queues.get(nodeId) ?? { revision: 0, items: [], actions: [] };
    const time = now();
    const items = queue.items.filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > time);
    if (items.length < queue.items.length) queue.revision++;
    queue.items = items;
    queue.actions = queue.actions.filter(({ enqueuedAtMs }) => time - enqueuedAtMs <= actionMs);
    if (queue.items.length === 0 && queue.actions.length === 0) queues.delete(nodeId);
    return queue;
  }

  function keep(nodeId: string, queue: Queue): void {
    if (!queues.has(nodeId) && queues.size >= maxNodes)
      throw new RclawError("RATE_LIMITED", `work waits for ${maxNodes} nodes already`, { retryable: true });
    queues.set(nodeId, queue);
  }

  return {
    enqueue(nodeId, { type, priority = "normal", expiresInMs = dayMs }) {
      const queue = queueOf(nodeId);
      const known = queue.items.find((item) => item.type === type);
      if (known) return { revision: queue.revision, queued: known };
      const createdAtMs = now();
      const expiresAtMs = createdAtMs + expiresInMs;
      const queued: WorkItem = { id: randomUUID(), type, priority, createdAtMs, expiresAtMs };
      keep(nodeId, queue);
      queue.items = [...queue.items, queued];
      queue.revision++;
      return { revision: queue.revision, queued };
    },
    drain(nodeId, maxItems) {
      const queue = queueOf(nodeId);
      const inOrder = [...queue.items].sort(
        (a, b) => ranks[a.priority] - ranks[b.priority] || a.createdAtMs - b.createdAtMs,
      );
      const taken = inOrder.slice(0, maxItems);
      // A node that asks for work is asked how it is, unless that is waiting anyway.
      const wantsStatus = !inOrder.some(({ type }) => type === "status.request");
      const hasRoom = taken.length < maxItems;
      if (taken.length > 0) queue.revision++;
      queue.items = inOrder.slice(maxItems);
      if (queue.items.length === 0 && queue.actions.length === 0) queues.delete(nodeId);
      return {
        revision: queue.revision,
        items: wantsStatus && hasRoom ? [...taken, statusRequest(now())] : taken,
        hasMore: queue.items.length > 0 || (wantsStatus && !hasRoom),
      };
    },
    postpone(nodeId, action) {
      const queue = queueOf(nodeId);
      const known = queue.actions.find(({ idempotencyKey }) => idempotencyKey === action.idempotencyKey);
      if (known) return known;
      const waiting = { ...action, id: randomUUID(), enqueuedAtMs: now() };
      keep(nodeId, queue);
      queue.actions = [...queue.actions, waiting].slice(-maxActions);
      return waiting;
    },
    postponed: (nodeId) => queueOf(nodeId).actions,
    acknowledge(nodeId, ids) {
      const queue = queueOf(nodeId);
      queue.actions = queue.actions.filter(({ id }) => !ids.includes(id));
      if (queue.items.length === 0 && queue.actions.length === 0) queues.delete(nodeId);
      return queue.actions.length;
    },
  };
}

const statusRequest = (createdAtMs: number): WorkItem => ({
  id: "baseline-status",
  type: "status.request",
  priority: "default",
  createdAtMs,
  expiresAtMs: null,
});
