import { arch, hostname, networkInterfaces, release, type } from "node:os";
import { coalesce } from "./coalesce.ts";
import type {
  Presence,
  PresenceEntry,
  PresenceOptions,
  PresentClient,
} from "@rclaw/plugin-sdk/services/health";
import { settled } from "@rclaw/plugin-sdk/settled";
import { printable } from "@rclaw/plugin-sdk/printable";

interface Row {
  readonly entry: PresenceEntry;
  connections: number;
}

const goneMs = 300_000;
const maxRows = 200;

export function createPresence({ version, now, publish, audience, signal }: PresenceOptions): Presence {
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

  return {
    list,
    version: () => changes,
    connect(client) {
      const { caller, params, deviceId } = client;
      // Every command of the command line connects for a moment; nobody wants to see that.
      if (params.client.mode === "cli" || caller.connId === undefined) return;
      const key = deviceId ?? params.client.instanceId ?? caller.connId;
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
        scope: "operator.read",
        handle: async () => list(),
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
