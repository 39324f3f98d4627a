import { arch, hostname, networkInterfaces, release, type } from "node:os";
import { coalesce } from "./coalesce.ts";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import type {
  Presence,
  PresenceEntry,
  PresenceOptions,
  PresentClient,
} from "@rclaw/plugin-sdk/services/health";
import { settled } from "@rclaw/plugin-sdk/settled";
import { printable } from "@rclaw/plugin-sdk/printable";
import { readBeacon } from "./beacon.ts";

interface Row {
  readonly entry: PresenceEntry;
  connections: number;
}

const goneMs = 300_000;
const maxRows = 200;

export function createPresence(options: PresenceOptions): Presence {
  const { version, now, publish, audience, signal } = options;
  /** By time of the last change, oldest first; `gone` are those of them without a connection. */
  const rows = new Map<string, Row>();
  const gone = new Set<string>();
  const keys = new Map<string, string>();
  const self = selfEntry(version);
  let changes = 1;
  const publishSoon = coalesce(() => publish(list()), audience, signal);

  function list(): readonly PresenceEntry[] {
    const time = now();
    for (const key of gone) {
      if ((rows.get(key)?.entry.ts ?? 0) + goneMs >= time) break;
      forget(key);
    }
    // Every hello-ok carries this list, so the map keeps it in order and nothing is sorted here.
    const others = Array.from(rows.values(), ({ entry }) => entry).reverse();
    return [{ ...self, ts: time }, ...others];
  }

  function forget(key: string): void {
    rows.delete(key);
    gone.delete(key);
  }

  /** Somebody who left goes first, then whoever came first. */
  function makeRoom(): void {
    if (rows.size < maxRows) return;
    const [first] = gone.size > 0 ? gone : rows.keys();
    if (first !== undefined) forget(first);
  }

  /** An app tells how its machine is, or that something happened there. */
  async function systemEvent({ params, caller, signal: ended }: MethodCall): Promise<unknown> {
    const { text, isNode, wake, key, entry } = readBeacon(params);
    if (!isNode) await options.wake({ text, ...wake }, { caller, signal: ended });
    if (key !== undefined) {
      const row = rows.get(key);
      forget(key);
      makeRoom();
      const connections = row?.connections ?? 0;
      rows.set(key, { entry: settled({ ...row?.entry, ...entry, ts: now() }), connections });
      if (connections === 0) gone.add(key);
      changes++;
    }
    publishSoon();
    return { ok: true };
  }

  return {
    list,
    version: () => changes,
    connect(client) {
      const { caller, params, deviceId } = client;
      // Every command of the command line connects for a moment; nobody wants to see that.
      if (params.client.mode === "cli" || caller.connId === undefined) return;
      const key = (deviceId ?? params.client.instanceId ?? caller.connId).toLowerCase();
      const before = rows.get(key)?.connections ?? 0;
      forget(key);
      makeRoom();
      rows.set(key, { entry: settled(entryOf(client, now())), connections: before + 1 });
      keys.set(caller.connId, key);
      changes++;
    },
    disconnect({ connId = "" }) {
      const key = keys.get(connId);
      if (key === undefined) return;
      keys.delete(connId);
      const row = rows.get(key);
      if (!row) return;
      row.connections--;
      if (row.connections > 0) return;
      forget(key);
      rows.set(key, { entry: settled({ ...row.entry, reason: "disconnect", ts: now() }), connections: 0 });
      gone.add(key);
      changes++;
      publishSoon();
    },
    methods: () => [
      {
        name: "system-presence",
        since: "2026.2.17",
        scope: "operator.read",
        handle: async () => list(),
      },
      {
        name: "system-event",
        since: "2026.2.17",
        scope: "operator.admin",
        handle: systemEvent,
      },
    ],
  };
}

function entryOf({ caller, params, deviceId, ip }: PresentClient, ts: number): PresenceEntry {
  const { client } = params;
  const host = printable(client.displayName ?? client.id);
  const instanceId = deviceId ?? client.instanceId;
  return {
    host,
    ...(ip !== undefined && { ip }),
    version: printable(client.version),
    platform: printable(client.platform),
    ...(client.deviceFamily !== undefined && { deviceFamily: printable(client.deviceFamily) }),
    ...(client.modelIdentifier !== undefined && { modelIdentifier: printable(client.modelIdentifier) }),
    mode: client.mode,
    ...(deviceId !== undefined && { deviceId }),
    roles: [caller.role],
    ...(caller.scopes.length > 0 && { scopes: caller.scopes }),
    ...(instanceId !== undefined && { instanceId: printable(instanceId) }),
    reason: "connect",
    ts,
    text: `Node: ${host} · mode ${client.mode}`,
  };
}

function selfEntry(version: string): Omit<PresenceEntry, "ts"> {
  const host = hostname();
  const ip = ownAddress();
  const platform = `${type().toLowerCase()} ${release()}`;
  return {
    host,
    ...(ip !== undefined && { ip }),
    version,
    platform,
    deviceFamily: type(),
    modelIdentifier: arch(),
    mode: "gateway",
    reason: "self",
    text: `Gateway: ${host}${ip === undefined ? "" : ` (${ip})`} · app ${version} · mode gateway · reason self`,
  };
}

function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}
