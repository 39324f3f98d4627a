import { isIP } from "node:net";
import { RclawError } from "@rclaw/plugin-sdk";
import type { AddressRules } from "./address.ts";

/** A URL a plugin may connect to, and how far its host was trusted. */
export interface Target {
  readonly url: URL;
  /** Lower case, without brackets and trailing dot: what is resolved, connected to and named in errors. */
  readonly host: string;
  readonly port: number;
  /** A grant names exactly this host and port, so the person who wrote it may mean a machine of their own. */
  readonly named: boolean;
}

interface Grant {
  readonly host: string;
  /** Any host below `host`, but not `host` itself. */
  readonly below: boolean;
  readonly port: number | undefined;
}

const localNames = /(?:^|\.)(?:localhost|internal|local|localdomain)$/;

/** Reads the `permissions.net` entries of one owner and judges URLs by them. Nothing is resolved or connected here. */
export function createGrants(
  entries: readonly string[],
  owner: string,
  rules: AddressRules,
): (url: URL) => Target {
  const anyHost = entries.includes("*");
  const grants = entries.filter((entry) => entry !== "*").map((entry) => parseGrant(entry, owner));

  return (url) => {
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
    const host = hostOf(url);
    const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
    const fits = grants.filter((grant) => matches(grant, host, port));
    const named = fits.some((grant) => !grant.below && grant.port === port);
    if (named) return { url, host, port, named };

    const isPlainPort = port === 80 || port === 443;
    const line = isPlainPort ? bracket(host) : `${bracket(host)}:${port}`;
    const reason = localNames.test(host) ? "a name of this machine or network" : specialOf(host, rules);
    if (reason) throw refused(owner, host, `it is ${reason}`, `${bracket(host)}:${port}`);
    if (fits.length === 0 && !(anyHost && isPlainPort)) throw refused(owner, host, undefined, line);
    return { url, host, port, named };
  };
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
  if (!target.named) return refused(owner, target.host, reason, `${bracket(target.host)}:${target.port}`);
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

function refused(owner: string, host: string, reason: string | undefined, line: string): RclawError {
  return denied(
    `plugin "${owner}" may not reach ${host}${reason ? `: ${reason}` : ""}; if it should, add ${JSON.stringify(line)} to permissions.net of its manifest`,
    owner,
    { host, needs: `net: [${JSON.stringify(line)}]` },
  );
}

function denied(message: string, owner: string, details: Readonly<Record<string, unknown>> = {}): RclawError {
  return new RclawError("EGRESS_DENIED", message, { details: { plugin: owner, ...details } });
}

function specialOf(host: string, rules: AddressRules): string | undefined {
  const range = isIP(host) > 0 ? rules.special(host) : undefined;
  return range && `${article(range)} address`;
}

function article(range: string): string {
  return `${/^[aeiouI]/.test(range) ? "an" : "a"} ${range}`;
}

function matches(grant: Grant, host: string, port: number): boolean {
  const isPort = grant.port === undefined ? port === 80 || port === 443 : grant.port === port;
  return isPort && (grant.below ? host.endsWith(`.${grant.host}`) : host === grant.host);
}

function parseGrant(entry: string, owner: string): Grant {
  const parts = /^(\*\.)?(\[[0-9a-f:.]+\]|[^:[\]/@?#\s*]+)(?::(\d{1,5}))?$/i.exec(entry);
  const host = parts?.[2];
  const port = parts?.[3] === undefined ? undefined : Number(parts[3]);
  if (!host || !URL.canParse(`http://${host}`) || port === 0 || (port ?? 1) > 65_535) {
    throw new RclawError(
      "MANIFEST_INVALID",
      `permissions.net of plugin "${owner}" holds ${JSON.stringify(entry)}; write "host", "*.host" or "host:port"`,
      { details: { plugin: owner } },
    );
  }
  return { host: hostOf(new URL(`http://${host}`)), below: parts[1] !== undefined, port };
}

/** The parser has already folded `2130706433`, `0x7f.1` and full-width digits into dotted form. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

function bracket(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
