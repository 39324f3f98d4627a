import type { ManifestDiff } from "@rclaw/plugin-sdk/services/plugin-store";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import {
  type Covers,
  coversHook,
  coversName,
  coversNet,
  coversPath,
  coversSecret,
  same,
  single,
} from "./covers.ts";
import { entriesOf } from "./manifest.ts";
import { byText, canonical, own, shown } from "./text.ts";

/** One thing that a manifest adds or asks for, and how it is said to a person. */
interface Item {
  readonly value: unknown;
  readonly says: string;
}

interface Kind {
  readonly covers: Covers;
  readonly items: readonly Item[];
}

const ranks: Readonly<Record<string, readonly string[]>> = {
  sessions: ["none", "read", "write"],
  runtime: ["wasm", "worker", "in-process"],
};

const coversRank =
  (order: readonly string[]): Covers =>
  (older, newer) => {
    const [a, b] = [order.indexOf(String(older)), order.indexOf(String(newer))];
    return same(older, newer) || (a >= 0 && b >= 0 && b <= a);
  };

function nameOf(value: unknown): string {
  if (typeof value === "string") return shown(value);
  const name = own(value, "host") ?? own(value, "name");
  const conditions = Object.entries(isRecord(value) ? value : {})
    .filter(([key]) => key !== "host" && key !== "name")
    .map(
      ([key, item]) =>
        `${key} ${Array.isArray(item) ? item.map((one) => (typeof one === "string" ? one : canonical(one))).join(", ") : canonical(item)}`,
    );
  return shown(typeof name === "string" ? [name, ...conditions].join(" with ") : canonical(value), 300);
}

const list = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : value === undefined ? [] : [value];

const permissionCovers: Readonly<Record<string, Covers>> = {
  net: coversNet,
  secrets: coversSecret,
  env: coversName,
  tools: coversName,
  providers: coversName,
  channels: coversName,
  methods: coversName,
  events: same,
};

/** What a permission allows, one by one; a kind that is not known yet is compared as it stands. */
function permissionKind(key: string, value: unknown): Kind {
  const says = (text: string): string => `permission ${shown(key)}: ${text}`;
  if (key === "sessions") {
    const asked = value === undefined || value === "none" ? [] : [value];
    const items = asked.map((item) => ({ value: item, says: says(nameOf(item)) }));
    return { covers: coversRank(ranks["sessions"] ?? []), items };
  }
  if (value === false || value === undefined) return { covers: same, items: [] };
  if (value === true) return { covers: same, items: [{ value, says: says("yes") }] };
  const keys = key === "net" ? ["methods", "paths"] : key === "secrets" ? ["hosts"] : [];
  const items = list(value).flatMap((item) =>
    single(item, keys).map((part) => ({ value: part, says: says(nameOf(part)) })),
  );
  return { covers: permissionCovers[key] ?? same, items };
}

/** A weaker scope lets more clients in; between two that cannot be compared, it is another method. */
const coversMethod: Covers = (older, newer) => {
  const order = ["operator.admin", "operator.write", "operator.read"];
  return (
    own(older, "name") === own(newer, "name") && coversRank(order)(own(older, "scope"), own(newer, "scope"))
  );
};

function contributionKind(key: string, value: unknown): Kind {
  const kind = shown(key).replace(/s$/, "");
  const item = (data: unknown, text: string): Item => ({ value: data, says: `${kind} ${text}` });
  if (key === "methods" && isRecord(value))
    return {
      covers: coversMethod,
      items: Object.entries(value).map(([name, scope]) =>
        item({ name, scope }, `${shown(name)} for ${shown(String(scope))}`),
      ),
    };
  if (key === "commands" && isRecord(value))
    return { covers: same, items: Object.keys(value).map((name) => item(name, shown(name))) };
  const covers = key === "routes" ? coversPath : key === "hooks" ? coversHook : same;
  return { covers, items: list(value).map((one) => item(one, nameOf(one))) };
}

/** Everything about a manifest that a person would have to agree to, by kind. */
function kindsOf(manifest: unknown): Map<string, Kind> {
  const kinds = new Map<string, Kind>();
  const permissions = own(manifest, "permissions");
  for (const key of Object.keys(isRecord(permissions) ? permissions : {}))
    kinds.set(`permissions.${key}`, permissionKind(key, own(permissions, key)));
  const contributes = own(manifest, "contributes");
  for (const key of Object.keys(isRecord(contributes) ? contributes : {}))
    kinds.set(`contributes.${key}`, contributionKind(key, own(contributes, key)));
  const runtime = own(manifest, "runtime");
  if (runtime !== undefined)
    kinds.set("runtime", {
      covers: coversRank(ranks["runtime"] ?? []),
      items: [{ value: runtime, says: `runs as ${nameOf(runtime)}` }],
    });
  const isCaged = entriesOf(manifest).some((file) => file.endsWith(".wasm"));
  if (!isCaged && manifest !== undefined)
    kinds.set("entry", { covers: same, items: [{ value: "js", says: "has nothing that runs as wasm" }] });
  const activation = list(own(manifest, "activation"));
  kinds.set("activation", {
    covers: same,
    items: activation.map((value) => ({ value, says: `starts by itself: ${nameOf(value)}` })),
  });
  const place = own(manifest, "configPath");
  if (place !== undefined)
    kinds.set("configPath", {
      covers: same,
      items: [{ value: place, says: `reads the settings at ${nameOf(place)}` }],
    });
  return kinds;
}

/** What of `items` none of the others covers. */
function uncovered(items: Kind | undefined, others: Kind | undefined): string[] {
  if (!items) return [];
  return items.items
    .filter(({ value }) => !(others?.items ?? []).some((other) => items.covers(other.value, value)))
    .map(({ says }) => says);
}

/** Two manifests beside each other, by what they mean: an order, a spelling or a wider pattern that was there before is no change. */
export function diffManifests(from: unknown, to: unknown): ManifestDiff {
  const [before, after] = [kindsOf(from), kindsOf(to)];
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort(byText);
  const widened = keys.flatMap((key) => uncovered(after.get(key), before.get(key)));
  const narrowed = keys.flatMap((key) => uncovered(before.get(key), after.get(key)));
  return {
    widened: [...new Set(widened)],
    narrowed: [...new Set(narrowed)],
    unchanged: widened.length === 0 && narrowed.length === 0,
  };
}

/** One line for everything that a plugin adds and may touch. */
export const capabilitiesOf = (manifest: unknown): readonly string[] =>
  diffManifests(undefined, manifest).widened;
