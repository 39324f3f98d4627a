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
  const peer = peerOf(request.socket.remoteAddress, request.headers, rules.trustedProxies ?? []);
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  const verdict = await authority.judge({ token: given, password: given }, peer);
  if (verdict.ok) {
    authority.count(peer, true);
    return { ok: true };
  }
  if (verdict.reason === "rate_limited") return { ok: false, retryAfterMs: verdict.retryAfterMs ?? 0 };
  if (given !== undefined) authority.count(peer, false);
  return { ok: false };
}
