import type { Route } from "@rclaw/plugin-sdk";
import { createLimiter } from "@rclaw/plugin-sdk/services/limiter";
import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";
import { plain } from "./answers.ts";

const rules = { maxAttempts: 20, windowMs: 60_000, lockoutMs: 60_000, exemptLoopback: false };
const inHeader =
  "Hook token must be provided via Authorization: Bearer <token> or X-OpenClaw-Token header (query parameters are not allowed).";

/**
 * Before the body is read. Wrong tokens are counted for every address, this machine's programs
 * included; the right one always passes, because a proxy sends for many.
 */
export function createDoor(token: string, now: () => number): NonNullable<Route["admit"]> {
  const limiter = createLimiter(() => rules, now);
  return async ({ query, headers, ip = "local" }) => {
    // Written into an address it would stand in logs and histories.
    if (Object.hasOwn(query, "token")) return plain(400, inHeader);
    if (isSameSecret(tokenIn(headers), token)) {
      limiter.succeed(ip);
      return undefined;
    }
    const wait = limiter.lockedFor(ip);
    if (wait > 0) return plain(429, "Too Many Requests", { "retry-after": String(Math.ceil(wait / 1_000)) });
    limiter.fail(ip);
    return plain(401, "Unauthorized");
  };
}

function tokenIn({
  authorization = "",
  "x-openclaw-token": own = "",
}: Readonly<Record<string, string>>): string {
  return (/^bearer\s+(.+)$/i.exec(authorization.trim())?.[1] ?? own).trim();
}
