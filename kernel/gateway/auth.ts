import { isIP } from "node:net";
import { inRanges, isLoopbackIp, limitKey, type Peer, plainIp } from "@rclaw/plugin-sdk/services/peer";
import { authLimits, createLimiter, type LimiterRules } from "@rclaw/plugin-sdk/services/limiter";
import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";

/** How the gateway knows its clients. Read anew for every attempt: a rotated token counts from the next connection on. */
export interface AuthRules {
  readonly mode: "none" | "token" | "password" | "trusted-proxy";
  readonly token?: string | undefined;
  readonly password?: string | undefined;
  /** Addresses or CIDR ranges whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[] | undefined;
  /** A proxy that signs people in and says who they are. */
  readonly trustedProxy?:
    | {
        readonly userHeader?: string | undefined;
        readonly requiredHeaders?: readonly string[] | undefined;
        /** Empty means everybody the proxy lets through. */
        readonly allowUsers?: readonly string[] | undefined;
      }
    | undefined;
  /** People of the tailnet need no secret. */
  readonly allowTailscale?: boolean | undefined;
  readonly rateLimit?: LimiterRules | undefined;
  /** The config's section as it is. */
  readonly controlUi?:
    | {
        readonly [key: string]: unknown;
        /** A Control UI on this machine may do without a device identity. */
        readonly allowInsecureAuth?: boolean | undefined;
        /** Every Control UI may. */
        readonly dangerouslyDisableDeviceAuth?: boolean | undefined;
      }
    | undefined;
}

interface GivenSecret {
  readonly token?: string | undefined;
  readonly password?: string | undefined;
}

/** The protocol's own words: clients branch on them. */
type Reason =
  | "token_missing"
  | "token_mismatch"
  | "token_missing_config"
  | "password_missing"
  | "password_mismatch"
  | "password_missing_config"
  | "device_token_mismatch"
  | "trusted_proxy_config_missing"
  | "trusted_proxy_untrusted_source"
  | "trusted_proxy_missing_header"
  | "trusted_proxy_user_missing"
  | "trusted_proxy_user_not_allowed"
  | "rate_limited";

export type SecretVerdict =
  | { readonly ok: true; readonly method: AuthRules["mode"] | "tailscale" }
  | { readonly ok: false; readonly reason: Reason; readonly retryAfterMs?: number };

export interface Authority {
  readonly rules: AuthRules;
  /** Compares without counting: another proof may still carry the attempt. */
  judge(given: GivenSecret, peer: Peer): Promise<SecretVerdict>;
  /** The attempt as a whole failed or succeeded. */
  count(peer: Peer, ok: boolean): void;
  /** From `judge` to `count`, for everybody who is counted together. */
  inTurn<T>(peer: Peer, attempt: () => Promise<T>): Promise<T>;
}

export interface AuthorityOptions {
  rules(): AuthRules;
  /** Who the tailnet says is at an address. */
  tailnetUser?(ip: string): Promise<string | undefined>;
  now(): number;
}

export function createAuthority({ rules, tailnetUser, now }: AuthorityOptions): Authority {
  const limits = (): LimiterRules => rules().rateLimit ?? authLimits;
  const limiter = createLimiter(limits, now);
  const keyOf = (peer: Peer): string | undefined => keyFor(peer, limits().exemptLoopback);

  /** The header is only a claim: whoever is at the address must have that name there. */
  async function isFromTailnet({ socketIp, headers, isLocal }: Peer): Promise<boolean> {
    const claimed = headers["tailscale-user-login"];
    const ip = plainIp(
      String(headers["x-forwarded-for"] ?? "")
        .split(",", 1)[0]
        ?.trim() ?? "",
    );
    if (!rules().allowTailscale || isLocal || !isLoopbackIp(socketIp) || typeof claimed !== "string")
      return false;
    const user = isIP(ip) === 0 ? undefined : await tailnetUser?.(ip);
    return user !== undefined && user.toLowerCase() === claimed.trim().toLowerCase();
  }

  return {
    get rules() {
      return rules();
    },
    async judge(given, peer) {
      const key = keyOf(peer);
      const retryAfterMs = key === undefined ? 0 : limiter.lockedFor(key);
      // Before the comparison: while locked, even the right secret must not show that it is right.
      if (retryAfterMs > 0) return { ok: false, reason: "rate_limited", retryAfterMs };
      if (await isFromTailnet(peer)) return { ok: true, method: "tailscale" };
      const { mode } = rules();
      // A gateway that was open to the network listens there until it restarts, whatever the file says by now.
      if (mode === "none" && !isLoopbackIp(peer.socketIp))
        return { ok: false, reason: "token_missing_config" };
      if (mode !== "trusted-proxy") return compare(rules(), mode, given);
      // The command line of this machine does not come through the proxy.
      const isDirect = peer.isLocal && peer.origin === undefined && rules().token !== undefined;
      const vouched = judgeProxy(rules(), peer);
      return isDirect && !vouched.ok ? compare(rules(), "token", given) : vouched;
    },
    count(peer, ok) {
      const key = keyOf(peer);
      if (key !== undefined) limiter[ok ? "succeed" : "fail"](key);
    },
    inTurn: (peer, attempt) => limiter.inTurn(keyOf(peer), attempt),
  };
}

/**
 * Programs on this machine are not limited unless asked for: they could read the token anyway.
 * A page in its browser could not, so an Origin header ends the exemption - under a key of its
 * own, or a hostile page would lock out the command line.
 */
function keyFor(peer: Peer, exemptLoopback: boolean): string | undefined {
  if (!peer.isLoopback) return limitKey(peer.ip);
  if (peer.origin !== undefined) return "browser on this machine";
  if (peer.isUnattributed) return "proxy on this machine";
  return exemptLoopback ? undefined : "program on this machine";
}

/** The proxy has signed the person in; that it is the proxy, only its address can show. */
function judgeProxy(rules: AuthRules, { socketIp, headers }: Peer): SecretVerdict {
  const { userHeader, requiredHeaders = [], allowUsers = [] } = rules.trustedProxy ?? {};
  if (!userHeader) return { ok: false, reason: "trusted_proxy_config_missing" };
  if (!inRanges(socketIp, rules.trustedProxies ?? []))
    return { ok: false, reason: "trusted_proxy_untrusted_source" };
  if (requiredHeaders.some((name) => !headers[name.toLowerCase()]))
    return { ok: false, reason: "trusted_proxy_missing_header" };
  const user = headers[userHeader.toLowerCase()];
  if (typeof user !== "string" || user.trim() === "")
    return { ok: false, reason: "trusted_proxy_user_missing" };
  if (allowUsers.length > 0 && !allowUsers.includes(user.trim()))
    return { ok: false, reason: "trusted_proxy_user_not_allowed" };
  return { ok: true, method: "trusted-proxy" };
}

function compare(rules: AuthRules, mode: "none" | "token" | "password", given: GivenSecret): SecretVerdict {
  if (mode === "none") return { ok: true, method: "none" };
  const expected = rules[mode];
  const actual = given[mode];
  if (!expected) return { ok: false, reason: `${mode}_missing_config` };
  if (!actual) return { ok: false, reason: `${mode}_missing` };
  return isSameSecret(actual, expected)
    ? { ok: true, method: mode }
    : { ok: false, reason: `${mode}_mismatch` };
}

const codes: Record<Reason, string> = {
  token_missing: "AUTH_TOKEN_MISSING",
  token_mismatch: "AUTH_TOKEN_MISMATCH",
  token_missing_config: "AUTH_TOKEN_NOT_CONFIGURED",
  password_missing: "AUTH_PASSWORD_MISSING",
  password_mismatch: "AUTH_PASSWORD_MISMATCH",
  password_missing_config: "AUTH_PASSWORD_NOT_CONFIGURED",
  device_token_mismatch: "AUTH_DEVICE_TOKEN_MISMATCH",
  trusted_proxy_config_missing: "AUTH_UNAUTHORIZED",
  trusted_proxy_untrusted_source: "AUTH_UNAUTHORIZED",
  trusted_proxy_missing_header: "AUTH_UNAUTHORIZED",
  trusted_proxy_user_missing: "AUTH_UNAUTHORIZED",
  trusted_proxy_user_not_allowed: "AUTH_UNAUTHORIZED",
  rate_limited: "AUTH_RATE_LIMITED",
};

/** What a refused client is told; its id decides where the way out is. */
export function describeRefusal(reason: Reason, clientId: string): { message: string; code: string } {
  const isUi = clientId === "openclaw-control-ui" || clientId === "webchat-ui" || clientId === "webchat";
  const [tokenHint, passwordHint] = isUi
    ? [
        "open the dashboard URL and paste the token in Control UI settings",
        "enter the password in Control UI settings",
      ]
    : clientId === "cli"
      ? [
          "set gateway.remote.token to match gateway.auth.token",
          "set gateway.remote.password to match gateway.auth.password",
        ]
      : ["provide gateway auth token", "provide gateway auth password"];
  const texts: Record<Reason, string> = {
    token_missing: `gateway token missing (${tokenHint})`,
    token_mismatch: `gateway token mismatch (${tokenHint})`,
    token_missing_config: "gateway token not configured on gateway (set gateway.auth.token)",
    password_missing: `gateway password missing (${passwordHint})`,
    password_mismatch: `gateway password mismatch (${passwordHint})`,
    password_missing_config: "gateway password not configured on gateway (set gateway.auth.password)",
    // Clients drop their stored token when they read this.
    device_token_mismatch: "device token mismatch (rotate/reissue device token)",
    trusted_proxy_config_missing: "no user header is configured (set gateway.auth.trustedProxy.userHeader)",
    trusted_proxy_untrusted_source: "only a proxy named in gateway.trustedProxies may connect",
    trusted_proxy_missing_header: "the proxy did not send a header that gateway.auth.trustedProxy requires",
    trusted_proxy_user_missing: "the proxy did not say who connects",
    trusted_proxy_user_not_allowed: "this user is not in gateway.auth.trustedProxy.allowUsers",
    rate_limited: "too many failed authentication attempts (retry later)",
  };
  return { message: `unauthorized: ${texts[reason]}`, code: codes[reason] };
}
