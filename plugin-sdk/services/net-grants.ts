import type { Manifest } from "../manifest.ts";
import { valueAt } from "./value-at.ts";

/** A host, and what of it may be used. */
export interface NetGrant {
  readonly host: string;
  /** Upper case. Every method when left out. */
  readonly methods?: readonly string[];
  /** As `/v1/*`. Every path when left out. */
  readonly paths?: readonly string[];
}

/** Where a secret may be sent to. */
export interface SecretBinding {
  /** A secret's name, or `weather.*`. */
  readonly name: string;
  readonly hosts: readonly string[];
}

/**
 * `permissions.net` as egress understands it; `config:baseUrl` becomes the host the operator wrote there.
 * `granted` is what the operator added: `plugins.entries.<id>.grants.net`.
 */
export function netGrants(
  manifest: Manifest,
  config: unknown,
  granted?: unknown,
): readonly (string | NetGrant)[] {
  const own = (manifest.permissions?.net ?? []).flatMap((entry): readonly (string | NetGrant)[] => {
    if (typeof entry === "string") return hostsOf(entry, config);
    return hostsOf(entry.host, config).map((host) => ({ ...entry, host }));
  });
  const added = Array.isArray(granted) ? granted.filter((entry: unknown) => typeof entry === "string") : [];
  return [...own, ...added];
}

/** `permissions.secrets` as egress understands it. A name without hosts may be signed with, but sent nowhere. */
export function secretBindings(manifest: Manifest, config: unknown): readonly SecretBinding[] {
  return (manifest.permissions?.secrets ?? []).map((entry) =>
    typeof entry === "string"
      ? { name: entry, hosts: [] }
      : { name: entry.name, hosts: entry.hosts.flatMap((host) => hostsOf(host, config)) },
  );
}

function hostsOf(entry: string, config: unknown): readonly string[] {
  if (!entry.startsWith("config:")) return [entry];
  return configured(config, entry.slice("config:".length).split(".")).flatMap(hostOf);
}

/** A `*` in the path stands for every key, as in `config:accounts.*.apiRoot`. */
function configured(value: unknown, [head, ...rest]: readonly string[]): unknown[] {
  if (head === undefined) return [value];
  if (typeof value !== "object" || value === null) return [];
  const items = head === "*" ? Object.values(value) : [valueAt(value, head)];
  return items.flatMap((item) => configured(item, rest));
}

function hostOf(value: unknown): string[] {
  if (typeof value !== "string" || !URL.canParse(value)) return [];
  const { protocol, hostname, port } = new URL(value);
  const number = port || (/^(?:https|wss):$/.test(protocol) ? "443" : "80");
  return [`${hostname}:${number}`];
}
