import type { Caller } from "@rclaw/plugin-sdk";
import { createWriteLimit } from "@rclaw/plugin-sdk/services/write-limit";

/**
 * Who writes in a loop is stopped. As in OpenClaw the whole file can be applied three times a minute, and who
 * keeps patching what somebody else has changed is stopped as soon.
 */
export function createWriteLimits(): {
  count(method: string, caller: Caller): void;
  countConflict(method: string, caller: Caller): void;
} {
  const writes = createWriteLimit(30, ({ principal }) => principal);
  // All command lines share one principal: one that comes too late must not shut out the next.
  const conflicts = createWriteLimit(3, ({ connId = "" }) => connId);
  const applies = createWriteLimit(3, ({ connId = "", deviceId, ip }) =>
    (deviceId ?? ip) ? `${deviceId} ${ip}` : connId,
  );
  return {
    count(method, caller) {
      const limit = method === "config.apply" ? applies : writes;
      conflicts.check(method, caller);
      limit.check(method, caller);
      limit.add(method, caller);
    },
    countConflict(method, caller) {
      if (method === "config.patch") conflicts.add(method, caller);
    },
  };
}
