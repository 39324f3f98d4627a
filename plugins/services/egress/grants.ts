import { isIP } from "node:net";
import { RclawError } from "@rclaw/plugin-sdk";
import type { Grants } from "@rclaw/plugin-sdk/services/egress";
import type { AddressRules } from "./address.ts";
import { pathFits } from "./paths.ts";

/** A URL a plugin may connect to, and how far its host was trusted. */
export interface Target {
  readonly url: URL;
  /** Lower case, without brackets and trailing dot: what is resolved, connected to and named in errors. */
  readonly host: string;
  readonly port: number;
  /** A grant names exactly this host and port, so the person who wrote it may mean a machine of their own. */
  readonly named: boolean;
}

/** Where something may go: as much of it as one line of a manifest says. */
export interface Place {
  readonly host: string;
  /** Any host below `host`, but not `host` itself. */
  readonly below: boolean;
  readonly port: number | undefined;
}

interface Grant {
  /** Undefined for every public host. */
  readonly place: Place | undefined;
  readonly methods: readonly string[] | undefined;
  readonly paths: readonly string[] | undefined;
}

/** A refusal that a person can undo, and what they would say yes to. */
export interface Asking {
  readonly host: string;
  readonly port: number;
  readonly line: string;
  readonly reason: string | undefined;
}

const askings = new WeakMap<object, Asking>();

/** What to ask the owner after a refusal, if there is anything. */
export const askingOf = (error: object): Asking | undefined => askings.get(error);

const localNames = /(?:^|\.)(?:localhost|internal|local|localdomain)$/;

/** Reads the `permissions.net` entries of one owner and judges URLs by them. Nothing is resolved or connected here. */
export function createGrants(
  entries: Grants,
  owner: string,
  rules: AddressRules,
): (url: URL, method?: string) => Target {
  const grants = entries.map((entry) => readGrant(entry, owner));

  return (url, method = "GET") => {
    checkUrl(url, owner);
    const { host, port } = placeOf(url);
    const isPlainPort = port === 80 || port === 443;
    const reached = grants.filter(({ place }) => (place ? matches(place, host, port) : isPlainPort));
    const fits = reached.filter((grant) => allows(grant, url, method));
    const named = fits.some(({ place }) => place && !place.below && place.port === port);
    if (named) return { url, host, port, named };

    const line = isPlainPort ? bracket(host) : `${bracket(host)}:${port}`;
    const reason = localNames.test(host) ? "a name of this machine or network" : specialOf(host, rules);
    const isNamed = reached.some(({ place }) => place && !place.below && place.port === port);
    if (isNamed || (reached.length > 0 && fits.length === 0 && !reason)) throw tooNarrow(owner, host, method);
    if (reason) throw refused({ owner, host, port, reason: `it is ${reason}`, rules });
    if (fits.length === 0) throw refused({ owner, host, port, line, rules });
    return { url, host, port, named };
  };
}

/** What no grant can allow. */
export function checkUrl(url: URL, owner: string): void {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw denied(
      `plugin "${owner}" asked for a ${url.protocol} URL; only http: and https: leave this gateway`,
      owner,
    );
  }
  if (url.username || url.password) {
    throw denied(
      `plugin "${owner}" asked for a URL that holds a user name or password; send them in a header`,
      owner,
    );
  }
}

export function placeOf(url: URL): { readonly host: string; readonly port: number } {
  return { host: hostOf(url), port: Number(url.port) || (url.protocol === "https:" ? 443 : 80) };
}

function allows({ methods, paths }: Grant, url: URL, method: string): boolean {
  if (methods && !methods.includes(method)) return false;
  return !paths || paths.some((pattern) => pathFits(pattern, url.pathname));
}

/** Refuses a name that resolved into a special range; the address itself is not for the caller to know. */
export function refuseAddress(
  target: Target,
  address: string,
  rules: AddressRules,
  owner: string,
): RclawError | undefined {
  const range = rules.special(address);
  if (!range) return undefined;
  if (target.named && (isIP(target.host) > 0 || rules.local(address))) return undefined;
  const reason = `it resolves to ${article(range)} address`;
  const { host, port } = target;
  if (!target.named) return refused({ owner, host, port, reason, rules, address });
  // Granting the name again would not help: only the person who runs this network can say that the range is harmless.
  return denied(
    `plugin "${owner}" may not reach ${target.host}: ${reason}; if a proxy answers there, add its range to egress.allowCidrs of the configuration`,
    owner,
    {
      host: target.host,
      needs: "egress.allowCidrs",
    },
  );
}

interface Refusal {
  readonly owner: string;
  readonly host: string;
  readonly port: number;
  readonly reason?: string;
  /** Default: exactly this host and port. */
  readonly line?: string;
  readonly rules: AddressRules;
  /** What the host resolved to. */
  readonly address?: string;
}

function refused({ owner, host, port, reason, line, rules, address = host }: Refusal): RclawError {
  const wanted = line ?? `${bracket(host)}:${port}`;
  const error = denied(
    `plugin "${owner}" may not reach ${host}${reason ? `: ${reason}` : ""}; if it should, add ${JSON.stringify(wanted)} to permissions.net of its manifest`,
    owner,
    { host, needs: `net: [${JSON.stringify(wanted)}]` },
  );
  // Nobody is asked about metadata services and the like: a yes would be a mistake, and a name cannot be granted there.
  const isHopeless = isIP(address) > 0 && rules.special(address) !== undefined && !rules.local(address);
  if (!isHopeless) askings.set(error, { host, port, line: wanted, reason });
  return error;
}

function tooNarrow(owner: string, host: string, method: string): RclawError {
  return denied(
    `plugin "${owner}" may not send this ${method} request to ${host}: permissions.net of its manifest names the host with other methods or paths; widen that entry if it should`,
    owner,
    { host, needs: `net: [{ host: ${JSON.stringify(host)}, methods: [${JSON.stringify(method)}] }]` },
  );
}

export function denied(
  message: string,
  owner: string,
  details: Readonly<Record<string, unknown>> = {},
): RclawError {
  return new RclawError("EGRESS_DENIED", message, { details: { plugin: owner, ...details } });
}

function specialOf(host: string, rules: AddressRules): string | undefined {
  const range = isIP(host) > 0 ? rules.special(host) : undefined;
  return range && `${article(range)} address`;
}

function article(range: string): string {
  return `${/^[aeiouI]/.test(range) ? "an" : "a"} ${range}`;
}

export function matches(place: Place, host: string, port: number): boolean {
  const isPort = place.port === undefined ? port === 80 || port === 443 : place.port === port;
  return isPort && (place.below ? host.endsWith(`.${place.host}`) : host === place.host);
}

function readGrant(entry: Grants[number], owner: string): Grant {
  const { host, methods, paths } = typeof entry === "string" ? { host: entry } : entry;
  return { place: host === "*" ? undefined : parsePlace(host, owner, "net"), methods, paths };
}

export function parsePlace(entry: string, owner: string, list: "net" | "secrets"): Place {
  const parts = /^(\*\.)?(\[[0-9a-f:.]+\]|[^:[\]/@?#\s*]+)(?::(\d{1,5}))?$/i.exec(entry);
  const host = parts?.[2];
  const port = parts?.[3] === undefined ? undefined : Number(parts[3]);
  if (!host || !URL.canParse(`http://${host}`) || port === 0 || (port ?? 1) > 65_535) {
    throw new RclawError(
      "MANIFEST_INVALID",
      `permissions.${list} of plugin "${owner}" holds ${JSON.stringify(entry)}; write "host", "*.host" or "host:port"`,
      { details: { plugin: owner } },
    );
  }
  return { host: hostOf(new URL(`http://${host}`)), below: parts[1] !== undefined, port };
}

/** The parser has already folded `2130706433`, `0x7f.1` and full-width digits into dotted form. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

export function bracket(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
