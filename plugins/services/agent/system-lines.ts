import type { Logger, PluginContext } from "@rclaw/plugin-sdk";
import { systemLine } from "./text.ts";

const storageKey = "systemLines";
const maxWaiting = 20;
/** Sessions that nobody talks to keep their lines; whoever names ever new ones fills no memory. */
const maxSessions = 100;

/** Events that wait for a session's next prompt, kept across restarts. */
export async function createSystemLines(storage: PluginContext["storage"], log: Logger) {
  const stored = (await storage.get(storageKey)) as Readonly<Record<string, readonly string[]>> | undefined;
  const waiting = new Map(Object.entries(stored ?? {}));
  const save = (): Promise<void> => storage.set(storageKey, Object.fromEntries(waiting));
  return {
    /** Durable when it resolves. */
    async add(sessionKey: string, text: string, at: number): Promise<void> {
      const lines = [...(waiting.get(sessionKey) ?? []), systemLine(text, at)];
      waiting.delete(sessionKey);
      const [oldest] = waiting.size >= maxSessions ? waiting.keys() : [];
      if (oldest !== undefined) waiting.delete(oldest);
      waiting.set(sessionKey, lines.slice(-maxWaiting));
      await save();
    },
    take(sessionKey: string): readonly string[] {
      if (waiting.size === 0) return [];
      const lines = waiting.get(sessionKey);
      if (!lines) return [];
      waiting.delete(sessionKey);
      // Told twice after a crash is better than never told.
      save().catch((error: unknown) =>
        log.warn({ err: error }, "the list of waiting system events could not be stored"),
      );
      return lines;
    },
  };
}

export type SystemLines = Awaited<ReturnType<typeof createSystemLines>>;
