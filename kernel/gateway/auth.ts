import { createHash, timingSafeEqual } from "node:crypto";
import { authLimits, createLimiter, type LimiterRules } from "./limiter.ts";
import { limitKey, type Peer } from "./peer.ts";

/** How the gateway knows its clients. Read anew for every attempt: a rotated token counts from the next connection on. */
export interface AuthRules {
  readonly mode: "none" | "token" | "password";
  readonly token?: string | undefined;
  readonly password?: string | undefined;
  /** Addresses or CIDR ranges whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[] | undefined;
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
  | "rate_limited";

export type SecretVerdict =
  | { readonly ok: true; readonly method: "none" | "token" | "password" }
  | { readonly ok: false; readonly reason: Reason; readonly retryAfterMs?: number };

export interface Authority {
  readonly rules: AuthRules;
  /** Compares without counting: another proof may still carry the attempt. */
  judge(given: GivenSecret, peer: Peer): SecretVerdict;
  /** The attempt as a whole failed or succeeded. */
  count(peer: Peer, ok: boolean): void;
}

export function createAuthority(rules: () => AuthRules, now: () => number): Authority {
  const limits = (): LimiterRules => rules().rateLimit ?? authLimits;
  const limiter = createLimiter(limits, now);
  const keyOf = (peer: Peer): string | undefined => keyFor(peer, limits().exemptLoopback);
  return {
    get rules() {
      return rules();
    },
    judge(given, peer) {
      const key = keyOf(peer);
      const retryAfterMs = key === undefined ? 0 : limiter.lockedFor(key);
      // Before the comparison: while locked, even the right secret must not show that it is right.
      if (retryAfterMs > 0) return { ok: false, reason: "rate_limited", retryAfterMs };
      return compare(rules(), given);
    },
    count(peer, ok) {
      const key = keyOf(peer);
      if (key === undefined) return;
      if (ok) limiter.succeed(key);
      else limiter.fail(key);
    },
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

function compare(rules: AuthRules, given: GivenSecret): SecretVerdict {
  const { mode } = rules;
  if (mode === "none") return { ok: true, method: "none" };
  const expected = rules[mode];
  const actual = given[mode];
  if (!expected) return { ok: false, reason: `${mode}_missing_config` };
  if (!actual) return { ok: false, reason: `${mode}_missing` };
  return isSameSecret(actual, expected)
    ? { ok: true, method: mode }
    : { ok: false, reason: `${mode}_mismatch` };
}

/** Digests have one length, so neither length nor a common start can be timed. */
function isSameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

const codes: Record<Reason, string> = {
  token_missing: "AUTH_TOKEN_MISSING",
  token_mismatch: "AUTH_TOKEN_MISMATCH",
  token_missing_config: "AUTH_TOKEN_NOT_CONFIGURED",
  password_missing: "AUTH_PASSWORD_MISSING",
  password_mismatch: "AUTH_PASSWORD_MISMATCH",
  password_missing_config: "AUTH_PASSWORD_NOT_CONFIGURED",
  device_token_mismatch: "AUTH_DEVICE_TOKEN_MISMATCH",
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
    rate_limited: "too many failed authentication attempts (retry later)",
  };
  return { message: `unauthorized: ${texts[reason]}`, code: codes[reason] };
}
