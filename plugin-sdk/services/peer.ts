import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP, isIPv6 } from "node:net";

/** Who is at the other end of a socket, as far as the transport can tell. */
export interface Peer {
  /** IPv4 in dotted form even when it came in through an IPv6 socket. */
  readonly ip: string;
  /** A proxy that is trusted speaks for others, also where it runs here and does not say for whom. */
  readonly isLoopback: boolean;
  /** On this machine, asked for by a loopback name, with no proxy in between. */
  readonly isLocal: boolean;
  /** A proxy on this machine forwards for somebody it was not trusted to name. */
  readonly isUnattributed: boolean;
  readonly origin: string | undefined;
  readonly host: string | undefined;
  readonly userAgent: string | undefined;
  /** The address of the socket itself, before anything a header says. */
  readonly socketIp: string;
  readonly headers: IncomingHttpHeaders;
}

const forwardingHeaders = [
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
  "forwarded",
] as const;

export function peerOf(
  remoteAddress: string | undefined,
  headers: IncomingHttpHeaders,
  trustedProxies: readonly string[],
): Peer {
  const socketIp = plainIp(remoteAddress ?? "");
  const isForwarded = forwardingHeaders.some((name) => headers[name] !== undefined);
  const isTrusted = isForwarded && trustedProxies.length > 0 && inRanges(socketIp, trustedProxies);
  // A header that anybody can write counts for nothing unless a trusted proxy wrote it.
  const ip = isTrusted ? clientBehind(headers, socketIp, trustedProxies) : socketIp;
  const isLoopback = isLoopbackIp(ip) && !isTrusted;
  return {
    ip,
    isLoopback,
    isLocal: isLoopback && !isForwarded && isLoopbackHost(headers.host),
    isUnattributed: isForwarded && !isTrusted && isLoopbackIp(socketIp),
    origin: headers.origin,
    host: headers.host,
    userAgent: headers["user-agent"],
    socketIp,
    headers,
  };
}

/** Proxies in a row that are looked at: whoever writes the chain decides how long it is. */
const maxHops = 32;

/** The nearest address that is not one of our own proxies: anything further left is the client's own claim. */
function clientBehind(
  headers: IncomingHttpHeaders,
  socketIp: string,
  trustedProxies: readonly string[],
): string {
  const chain = String(headers["x-forwarded-for"] ?? headers["x-real-ip"] ?? "")
    .split(",")
    .slice(-maxHops);
  const proxies = listOf(trustedProxies);
  for (const hop of chain.toReversed()) {
    // Some proxies write the client's port as well.
    const ip = plainIp(hop.trim().replace(/^\[(.*)\](?::\d+)?$|^([\d.]+):\d+$/, "$1$2"));
    if (isIP(ip) === 0) return socketIp;
    if (!isIn(proxies, ip)) return ip;
  }
  return socketIp;
}

/** `::ffff:10.0.0.1` and `10.0.0.1` are one address, and a zone id is not part of one. */
export function plainIp(address: string): string {
  const bare = address.replace(/%.*$/, "").toLowerCase();
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare);
  if (mapped?.[1]) return mapped[1];
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(bare);
  if (!hex?.[1] || !hex[2]) return bare;
  const high = Number.parseInt(hex[1], 16);
  const low = Number.parseInt(hex[2], 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** What a limit counts by: an IPv6 customer owns a whole /64 and could walk through it. */
export function limitKey(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const [head = "", tail] = ip.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  const groups = [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.join(":")}::/64`;
}

export function isLoopbackIp(ip: string): boolean {
  return ip === "::1" || (isIP(ip) === 4 && ip.startsWith("127."));
}

export interface HostPort {
  readonly host: string;
  /** Undefined when none was written. */
  readonly port: number | undefined;
}

/** `host[:port]` and nothing else: no userinfo, no path, no trailing dot. */
export function parseHost(text: string | undefined): HostPort | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}))?$/i.exec(text ?? "");
  if (!match?.[1]) return undefined;
  const port = match[2] === undefined ? undefined : Number(match[2]);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  return { host: match[1].toLowerCase(), port };
}

export function isLoopbackName(host: string): boolean {
  return host === "localhost" || host === "[::1]" || isLoopbackIp(host);
}

function isLoopbackHost(header: string | undefined): boolean {
  const parsed = parseHost(header);
  return parsed !== undefined && isLoopbackName(parsed.host);
}

export function inRanges(ip: string, ranges: readonly string[]): boolean {
  return isIP(ip) !== 0 && isIn(listOf(ranges), ip);
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const plain = plainIp(address);
    const kind = isIP(plain);
    if (kind === 0) continue;
    const type = kind === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(plain, type);
    else if (/^\d{1,3}$/.test(bits)) {
      // A mapped range counts its bits from the front of the IPv6 form.
      const size = Number(bits) - (kind === 4 && address.includes(":") && Number(bits) > 32 ? 96 : 0);
      if (size >= 0 && size <= (kind === 6 ? 128 : 32)) list.addSubnet(plain, size, type);
    }
  }
  return list;
}

function isIn(list: BlockList, ip: string): boolean {
  return list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
}
