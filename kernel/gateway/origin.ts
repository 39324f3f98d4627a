import { isIP } from "node:net";
import { isLoopbackName, parseHost, type HostPort } from "@rclaw/plugin-sdk/services/peer";

interface Origin extends HostPort {
  readonly scheme: string;
}

const defaultPorts: Readonly<Record<string, number>> = { http: 80, https: 443, ws: 80, wss: 443 };

/**
 * Scheme, host and port, exactly as a browser writes them. `new URL` is too kind for
 * this: it repairs, so that `http://evil.com#127.0.0.1` or a user name pass through it.
 */
function parseOrigin(text: string): Origin | undefined {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(.+)$/i.exec(text);
  const host = match && parseHost(match[2]);
  if (!match?.[1] || !host) return undefined;
  const scheme = match[1].toLowerCase();
  return { scheme, host: host.host, port: host.port ?? defaultPorts[scheme] };
}

/**
 * May a page of this origin open a socket? A WebSocket is not bound by the same-origin
 * policy, so this check is all that stands between any web page and the gateway. What
 * a proxy adds to the request makes no difference to it.
 */
export function isOriginAllowed(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
  authMode: string,
): boolean {
  const from = origin === undefined ? undefined : parseOrigin(origin);
  if (!from) return false;
  if (allowed.some((entry) => same(parseOrigin(entry.replace(/\/$/, "")), from))) return true;
  if (from.scheme !== "http" && from.scheme !== "https") return false;
  const to = parseHost(host);
  if (!to) return false;
  if (isLoopbackName(from.host) && isLoopbackName(to.host)) return true;
  if (from.host !== to.host || from.port !== (to.port ?? defaultPorts[from.scheme])) return false;
  // A page can make its own name resolve to this machine. With a secret to present that
  // gains it nothing; without one, only names an outsider cannot own are good enough.
  return authMode !== "none" || isPrivateName(from.host);
}

function same(a: Origin | undefined, b: Origin): boolean {
  return a !== undefined && a.scheme === b.scheme && a.host === b.host && a.port === b.port;
}

function isPrivateName(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  return isIP(bare) !== 0 || !host.includes(".") || host.endsWith(".local") || host.endsWith(".ts.net");
}
