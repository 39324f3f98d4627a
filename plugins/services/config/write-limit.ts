import { type Caller, RclawError } from "@rclaw/plugin-sdk";

/**
 * Who writes in a loop is stopped. As in OpenClaw the whole file can be applied three times a minute, and who
 * keeps patching what somebody else has changed is stopped as soon.
 */
const perMinute = { write: 30, apply: 3, conflict: 3 };

type Kind = keyof typeof perMinute;
type Count = (method: string, caller: Caller) => void;

/** Refuses a client that goes on too long, in the words OpenClaw's clients know. */
export function createWriteLimit(): { count: Count; countConflict: Count } {
  const recent = new Map<string, readonly number[]>();
  // All command lines share one principal: one that comes too late must not shut out the next.
  const whoOf = (kind: Kind, { principal, connId = "", deviceId, ip }: Caller): string => {
    if (kind === "write") return principal;
    return kind === "apply" && (deviceId ?? ip) ? `${deviceId} ${ip}` : connId;
  };
  const keyOf = (kind: Kind, method: string, caller: Caller): string =>
    `${kind} ${method} ${whoOf(kind, caller)}`;
  const add = (kind: Kind, method: string, caller: Caller): void => {
    const key = keyOf(kind, method, caller);
    recent.set(key, [...(recent.get(key) ?? []), Date.now()].slice(-perMinute[kind]));
  };

  function check(kind: Kind, method: string, caller: Caller): void {
    const now = Date.now();
    const times = (recent.get(keyOf(kind, method, caller)) ?? []).filter((at) => at > now - 60_000);
    const [oldest = now] = times;
    if (times.length < perMinute[kind]) return;
    const retryAfterMs = oldest + 60_000 - now;
    const message = `rate limit exceeded for ${method}; retry after ${Math.ceil(retryAfterMs / 1_000)}s`;
    const details = { method, limit: `${perMinute[kind]} per 60s`, retryAfterMs };
    throw new RclawError("UNAVAILABLE", message, { retryable: true, details });
  }

  return {
    count(method, caller) {
      if (caller.kind !== "client") return;
      for (const [key, times] of recent) if ((times.at(-1) ?? 0) <= Date.now() - 60_000) recent.delete(key);
      const kind = method === "config.apply" ? "apply" : "write";
      check("conflict", method, caller);
      check(kind, method, caller);
      add(kind, method, caller);
    },
    countConflict(method, caller) {
      if (caller.kind === "client" && method === "config.patch") add("conflict", method, caller);
    },
  };
}
