import type { IncomingMessage } from "node:http";
import type { Authority } from "./auth.ts";
import { peerOf } from "@rclaw/plugin-sdk/services/peer";

import type { BearerVerdict } from "@rclaw/plugin-sdk/services/http";

/**
 * The shared secret over HTTP. Only as a bearer: a token in a URL ends up in histories,
 * logs and Referer headers.
 */
export async function judgeBearer(request: IncomingMessage, authority: Authority): Promise<BearerVerdict> {
  const { rules } = authority;
  // A login of the tailnet opens the socket only, where the origin of every page is looked at.
  const { "tailscale-user-login": _login, ...headers } = request.headers;
  const peer = peerOf(request.socket.remoteAddress, headers, rules.trustedProxies ?? []);
  // node:http reads a byte as a character; a password may have others than ASCII, and spaces.
  const header = Buffer.from(request.headers.authorization ?? "", "latin1").toString();
  const given = /^Bearer +(\S.*)$/i.exec(header)?.[1];
  return authority.inTurn(peer, async () => {
    const verdict = await authority.judge({ token: given, password: given }, peer);
    if (!verdict.ok && verdict.reason === "rate_limited")
      return { ok: false, retryAfterMs: verdict.retryAfterMs ?? 0 };
    if (verdict.ok || given !== undefined) authority.count(peer, verdict.ok);
    return { ok: verdict.ok };
  });
}
