import type { Manifest } from "../manifest.ts";
import { valueAt } from "./value-at.ts";

/** `permissions.net` as egress understands it; `config:baseUrl` becomes the host the operator wrote there. */
export function netGrants(manifest: Manifest, config: unknown): readonly string[] {
  return (manifest.permissions?.net ?? []).flatMap((entry) => {
    if (!entry.startsWith("config:")) return [entry];
    return configured(config, entry.slice("config:".length).split(".")).flatMap(hostOf);
  });
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
  const number = port || (protocol === "https:" ? "443" : "80");
  return [`${hostname}:${number}`];
}
