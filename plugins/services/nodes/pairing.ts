import { randomBytes, randomUUID } from "node:crypto";
import { type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";

/** What a node, or somebody for it, says when it asks to be paired. */
interface PairRequest {
  readonly nodeId: string;
  readonly [field: string]: unknown;
}

interface PendingNode extends PairRequest {
  readonly requestId: string;
  readonly isRepair: boolean;
  readonly ts: number;
}

interface PairedNode extends PairRequest {
  readonly token: string;
  readonly createdAtMs: number;
  readonly approvedAtMs: number;
  readonly displayName?: string;
}

export interface Pairing {
  request(wanted: PairRequest): Promise<{ readonly request: PendingNode; readonly created: boolean }>;
  list(): Promise<{ readonly pending: readonly PendingNode[]; readonly paired: readonly PairedNode[] }>;
  approve(requestId: string): Promise<PairedNode>;
  reject(requestId: string): Promise<PendingNode>;
  verify(nodeId: string, token: string): Promise<PairedNode | undefined>;
  rename(nodeId: string, displayName: string): Promise<PairedNode>;
  /** False when there is none of that name. */
  remove(nodeId: string): Promise<boolean>;
}

interface Tables {
  readonly pending: Readonly<Record<string, PendingNode>>;
  readonly paired: Readonly<Record<string, PairedNode>>;
}

const storageKey = "pairing";
const isTables = (value: unknown): boolean =>
  isRecord(value) &&
  Object.values(value).every((table) => isRecord(table) && Object.values(table).every(isRecord));
const waitMs = 300_000;
const maxPending = 64;
const maxPaired = 512;

/**
 * The pairing of nodes from before devices had keys of their own. It lets nobody in: connections
 * are the devices' business. Programs still ask it whether a token is a node's.
 */
export function openPairing(storage: PluginContext["storage"], now: () => number): Pairing {
  const turns = createTurns();
  const inTurn = <T>(task: (tables: Tables) => Promise<T>): Promise<T> =>
    turns(async () => task(await load()));

  async function load(): Promise<Tables> {
    const { pending = {}, paired = {} } = (await kept<Partial<Tables>>(storage, storageKey, isTables)) ?? {};
    const alive = Object.entries(pending).filter(([, { ts }]) => now() - ts <= waitMs);
    return { pending: Object.fromEntries(alive), paired };
  }

  const save = (tables: Tables): Promise<void> => storage.set(storageKey, tables);

  function waiting({ pending }: Tables, requestId: string): PendingNode {
    const found = Object.hasOwn(pending, requestId) ? pending[requestId] : undefined;
    if (!found) throw new RclawError("INVALID_REQUEST", "unknown requestId");
    return found;
  }

  return {
    request: (wanted) =>
      inTurn(async (tables) => {
        const nodeId = wanted.nodeId.trim();
        if (nodeId === "") throw new RclawError("INVALID_REQUEST", "nodeId required");
        const known = Object.values(tables.pending).find((other) => other.nodeId === nodeId);
        if (known) return { request: known, created: false };
        if (Object.keys(tables.pending).length >= maxPending)
          throw new RclawError(
            "RATE_LIMITED",
            `${maxPending} nodes wait to be paired already; decide about some of them first`,
            { retryable: true },
          );
        const request = {
          ...wanted,
          nodeId,
          requestId: randomUUID(),
          isRepair: Object.hasOwn(tables.paired, nodeId),
          ts: now(),
        };
        await save({ ...tables, pending: { ...tables.pending, [request.requestId]: request } });
        return { request, created: true };
      }),
    list: () =>
      inTurn(async ({ pending, paired }) => ({
        pending: Object.values(pending).sort((a, b) => b.ts - a.ts),
        paired: Object.values(paired).sort((a, b) => b.approvedAtMs - a.approvedAtMs),
      })),
    approve: (requestId) =>
      inTurn(async (tables) => {
        const {
          requestId: _id,
          isRepair: _repair,
          silent: _silent,
          ts: _ts,
          ...about
        } = waiting(tables, requestId);
        const before = Object.hasOwn(tables.paired, about.nodeId) ? tables.paired[about.nodeId] : undefined;
        if (!before && Object.keys(tables.paired).length >= maxPaired)
          throw new RclawError(
            "TOO_LARGE",
            `${maxPaired} nodes are paired already; remove some of them first`,
          );
        const node: PairedNode = {
          ...about,
          token: randomBytes(32).toString("base64url"),
          createdAtMs: before?.createdAtMs ?? now(),
          approvedAtMs: now(),
        };
        const { [requestId]: _gone, ...pending } = tables.pending;
        await save({ pending, paired: { ...tables.paired, [node.nodeId]: node } });
        return node;
      }),
    reject: (requestId) =>
      inTurn(async (tables) => {
        const request = waiting(tables, requestId);
        const { [requestId]: _gone, ...pending } = tables.pending;
        await save({ ...tables, pending });
        return request;
      }),
    verify: (nodeId, token) =>
      inTurn(async ({ paired }) => {
        const node = Object.hasOwn(paired, nodeId.trim()) ? paired[nodeId.trim()] : undefined;
        return node && isSameSecret(token, node.token) ? node : undefined;
      }),
    rename: (nodeId, displayName) =>
      inTurn(async (tables) => {
        const id = nodeId.trim();
        const name = displayName.trim();
        if (name === "") throw new RclawError("INVALID_REQUEST", "displayName required");
        const node = Object.hasOwn(tables.paired, id) ? tables.paired[id] : undefined;
        if (!node) throw new RclawError("INVALID_REQUEST", "unknown nodeId");
        const renamed = { ...node, displayName: name };
        await save({ ...tables, paired: { ...tables.paired, [id]: renamed } });
        return renamed;
      }),
    remove: (nodeId) =>
      inTurn(async (tables) => {
        const id = nodeId.trim();
        if (!Object.hasOwn(tables.paired, id)) return false;
        const { [id]: _gone, ...paired } = tables.paired;
        await save({ ...tables, paired });
        return true;
      }),
  };
}
