import type { LifecyclePorts, SessionEvents } from "@rclaw/plugin-sdk/services/sessions";
import { parseKey } from "@rclaw/plugin-sdk/session-key";

/** What running answers and hooks learn when a session ends. */
export function sessionLifecycle({ store, hooks, stopRuns }: LifecyclePorts): SessionEvents {
  const ending = new Map<string, number>();
  /** Counted before the transcript is archived; its file is small or the person has waited for worse. */
  async function countMessages(sessionKey: string): Promise<void> {
    const entries = await store.tail(sessionKey, Number.MAX_SAFE_INTEGER);
    ending.set(sessionKey, entries.filter(({ type }) => type === "message").length);
  }

  return {
    async beforeReset(sessionKey, { entry, reason }) {
      await stopRuns(sessionKey);
      await countMessages(sessionKey);
      const sessionFile = store.sessionFile(sessionKey);
      const event = { reason, ...(sessionFile !== undefined && { sessionFile }) };
      const sessionId = entry && { sessionId: entry.sessionId };
      await hooks.run("before_reset", event, { ...agentOf(sessionKey), sessionKey, ...sessionId });
    },
    async beforeDelete(sessionKey, { emitHooks }) {
      await stopRuns(sessionKey);
      if (emitHooks) await countMessages(sessionKey);
    },
    // The next session starts when somebody writes to it, and whoever runs it says so then.
    onEnd(sessionKey, before) {
      const messageCount = ending.get(sessionKey);
      ending.delete(sessionKey);
      if (!before || messageCount === undefined) return;
      const { sessionId } = before;
      void hooks.run("session_end", { sessionId, messageCount }, { ...agentOf(sessionKey), sessionId });
    },
  };
}

function agentOf(sessionKey: string): { agentId?: string } {
  const { agentId } = parseKey(sessionKey);
  return agentId === undefined ? {} : { agentId };
}
