import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { canonical, own } from "./text.ts";

/** Does the older grant allow everything that the newer one does? When in doubt, no. */
export type Covers = (older: unknown, newer: unknown) => boolean;

export const same: Covers = (older, newer) => canonical(older) === canonical(newer);

/** Names where `*` is everything and `telegram.*` everything below. */
export const coversName: Covers = (older, newer) => {
  if (same(older, newer) || older === "*") return true;
  if (typeof older !== "string" || typeof newer !== "string") return false;
  return older.endsWith(".*") && newer.startsWith(older.slice(0, -1));
};

function hostAndPort(text: string): { host: string; port: string } {
  const [, host = text, port = ""] = /^(.*?)(?::(\d+))?$/.exec(text) ?? [];
  return { host: host.toLowerCase(), port };
}

/**
 * A host with a port may be a machine of this network, a host without one may not, so neither covers the other; and a
 * wildcard covers no host with a port.
 */
const coversHost: Covers = (older, newer) => {
  if (typeof older !== "string" || typeof newer !== "string") return false;
  if (older === newer) return true;
  if (older.startsWith("config:") || newer.startsWith("config:")) return false;
  if (older === "*") return hostAndPort(newer).port === "";
  const [a, b] = [hostAndPort(older), hostAndPort(newer)];
  if (a.port !== b.port) return false;
  if (a.host === b.host) return true;
  if (!a.host.startsWith("*.") || (b.port !== "" && !b.host.startsWith("*."))) return false;
  return b.host.replace(/^\*/, "").endsWith(a.host.slice(1)) && b.host !== a.host.slice(2);
};

/** Paths and routes, where a `*` at the end is everything that begins so. */
export const coversPath: Covers = (older, newer) => {
  if (typeof older !== "string" || typeof newer !== "string") return false;
  if (older === newer) return true;
  const start = older.slice(0, -1);
  return older.endsWith("*") && !start.includes("*") && newer.startsWith(start);
};

/** Every one of the newer list is covered by one of the older; no list at all means everything. */
function coversAll(older: unknown, newer: unknown, covers: Covers): boolean {
  if (older === undefined) return true;
  // An empty list could be taken for no list.
  if (!Array.isArray(older) || !Array.isArray(newer) || newer.length === 0) return same(older, newer);
  return newer.every((item) => older.some((other) => covers(other, item)));
}

/** A grant as a string is the same as one without conditions. */
function parts(grant: unknown, key: string): Readonly<Record<string, unknown>> {
  return isRecord(grant) ? grant : { [key]: grant };
}

/** What is none of the known members, for which nothing can be said but "the same" or "not the same". */
function rest(grant: Readonly<Record<string, unknown>>, known: readonly string[]): unknown {
  return Object.fromEntries(Object.entries(grant).filter(([key]) => !known.includes(key)));
}

const sameMethod: Covers = (older, newer) =>
  older === "*" || String(older).toUpperCase() === String(newer).toUpperCase();

export const coversNet: Covers = (older, newer) => {
  const known = ["host", "methods", "paths"];
  const [a, b] = [parts(older, "host"), parts(newer, "host")];
  return (
    coversHost(own(a, "host"), own(b, "host")) &&
    coversAll(own(a, "methods"), own(b, "methods"), sameMethod) &&
    coversAll(own(a, "paths"), own(b, "paths"), coversPath) &&
    same(rest(a, known), rest(b, known))
  );
};

/**
 * Bound to no hosts, a secret can be sent nowhere from a cage, and anywhere from outside of one: so neither of bound
 * and unbound covers the other.
 */
export const coversSecret: Covers = (older, newer) => {
  const known = ["name", "hosts"];
  const [a, b] = [parts(older, "name"), parts(newer, "name")];
  return (
    coversName(own(a, "name"), own(b, "name")) &&
    (own(a, "hosts") === undefined) === (own(b, "hosts") === undefined) &&
    coversAll(own(a, "hosts"), own(b, "hosts"), coversHost) &&
    same(rest(a, known), rest(b, known))
  );
};

/** One condition after the other: `{host, methods: [GET, POST]}` is two grants, each of which may have been there. */
export function single(grant: unknown, keys: readonly string[]): unknown[] {
  let grants: unknown[] = [grant];
  for (const key of keys)
    grants = grants.flatMap((item) => {
      const list = own(item, key);
      return Array.isArray(list) && list.length > 1
        ? list.map((value: unknown) => ({ ...(item as object), [key]: [value] }))
        : [item];
    });
  return grants;
}

/** A filter keeps events away: the older hook sees as much when each of its conditions is one of the newer's. */
export const coversHook: Covers = (older, newer) => {
  const [a, b] = [parts(older, "name"), parts(newer, "name")];
  if (own(a, "name") !== own(b, "name")) return false;
  const conditions = own(a, "filter");
  if (conditions === undefined) return true;
  if (!isRecord(conditions)) return same(older, newer);
  return Object.keys(conditions).every((key) => {
    const narrower = own(own(b, "filter"), key);
    return narrower !== undefined && coversAll(conditions[key], narrower, same);
  });
};
