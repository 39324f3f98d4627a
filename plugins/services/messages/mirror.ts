import { isRclawError, type PluginContext } from "@rclaw/plugin-sdk";

export type Mirror = ReturnType<typeof createMirror>;

/** A run may hold the session for minutes, even the one that asked; whoever sends need not wait for it. */
const patienceMs = 500;

/** Notes in a conversation's transcript what was sent into it, so that the assistant knows of it. */
export function createMirror({ sessions, hooks, log, signal }: PluginContext) {
  async function write(key: string, text: string): Promise<void> {
    const message = {
      role: "assistant",
      content: [{ type: "text", text }],
      // Names by which clients know that no model said this.
      api: "openai-responses",
      provider: "openclaw",
      model: "delivery-mirror",
      usage: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0 },
      stopReason: "stop",
      timestamp: Date.now(),
    };
    const place = { agentId: key.split(":")[1] ?? "main", sessionKey: key };
    const { block, message: changed = message } = await hooks.run(
      "before_message_write",
      { message, ...place },
      place,
    );
    if (block) return;
    await using session = await sessions.open(key, signal);
    await session.append({ type: "message", message: changed });
  }

  /** Resolves when it is written, or soon. A conversation that does not exist is not begun by it. */
  return async function mirror(sessionKey: string, text: string): Promise<void> {
    try {
      const key = sessions.canonical(sessionKey);
      if (!(await sessions.find(key))) return;
      const written = write(key, text).catch((error: unknown) => {
        if (!signal.aborted)
          log.warn({ err: error, sessionKey }, "a sent message was not noted in its session");
      });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, patienceMs)));
      await Promise.race([written, late]);
      clearTimeout(timer);
    } catch (error) {
      // It has left already: a key that is none is no reason to say that it did not.
      log.warn(
        { err: error },
        isRclawError(error) ? error.message : "a sent message was not noted in its session",
      );
    }
  };
}
