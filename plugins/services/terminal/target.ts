import { RclawError } from "@rclaw/plugin-sdk";
import type { TerminalPorts } from "@rclaw/plugin-sdk/services/terminal";

/** A gateway to talk to, and what to show it. */
export interface Target {
  readonly url: string;
  /** Of a gateway on this machine. */
  readonly pid?: number;
  readonly token?: string;
  readonly password?: string;
  /** The only certificate it may show, as 64 lower-case hex digits. */
  readonly fingerprint?: string;
}

type Ports = Pick<TerminalPorts, "running" | "credentials" | "gatewayConfig" | "resolveSecret">;

/** The gateway that the configuration names with mode "remote", or the one that runs on this state folder. */
export async function targetOf(ports: Ports): Promise<Target | undefined> {
  return ports.gatewayConfig().mode === "remote" ? remoteTarget(ports) : localTarget(ports);
}

export async function localTarget({ running, credentials }: Ports): Promise<Target | undefined> {
  const holder = await running();
  if (holder?.url === undefined) return undefined;
  const { url, pid, tlsFingerprint } = holder;
  return {
    url,
    pid,
    ...credentials(),
    ...(tlsFingerprint !== undefined && { fingerprint: fingerprintOf(tlsFingerprint) }),
  };
}

async function remoteTarget({ gatewayConfig, resolveSecret }: Ports): Promise<Target> {
  const { url, token, password, tlsFingerprint } = gatewayConfig().remote ?? {};
  if (!url)
    throw invalid(
      "url",
      'is missing, and gateway.mode is "remote"; set it to wss://host:port of the gateway',
    );
  const { protocol, hostname, username } = parsed(url);
  if (protocol !== "wss:" && protocol !== "ws:") throw invalid("url", `must begin with wss:// or ws://`);
  if (username) throw invalid("url", "must not hold a name or password; use gateway.remote.token");
  if (protocol === "ws:" && !isThisMachine(hostname)) {
    throw invalid(
      "url",
      `is ws://, which would send the token through the network for everybody to read; use wss:// (gateway.tls over there), or a tunnel that ends on this machine`,
    );
  }
  if (tlsFingerprint !== undefined && protocol === "ws:")
    throw invalid(
      "tlsFingerprint",
      "pins a certificate, and ws:// has none; use wss:// in gateway.remote.url",
    );
  const fingerprint = tlsFingerprint === undefined ? undefined : fingerprintOf(tlsFingerprint);
  const shared = token ?? (password ? undefined : process.env["RUSTY_CLAW_GATEWAY_TOKEN"]);
  return {
    url,
    ...(shared && { token: await resolveSecret(shared) }),
    ...(password && { password: await resolveSecret(password) }),
    ...(fingerprint !== undefined && { fingerprint }),
  };
}

function parsed(url: string): URL {
  try {
    return new URL(url);
  } catch (error) {
    throw invalid("url", "is no address; write it as wss://host:port", error);
  }
}

function isThisMachine(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** As programs print it: with colons or without, in either case, with or without the name of the hash. */
function fingerprintOf(text: string): string {
  const digits = text
    .replace(/^sha-?256[:=]/i, "")
    .replaceAll(/[:\s]/g, "")
    .toLowerCase();
  if (/^[0-9a-f]{64}$/.test(digits)) return digits;
  throw invalid(
    "tlsFingerprint",
    "must be the SHA-256 of a certificate: 64 hex digits, with colons or without",
  );
}

function invalid(key: string, reason: string, cause?: unknown): RclawError {
  return new RclawError("CONFIG_INVALID", `gateway.remote.${key} ${reason}`, {
    details: { key: `gateway.remote.${key}` },
    ...(cause !== undefined && { cause }),
  });
}
