import type { Logger, PluginContext } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { systemLine } from "./text.ts";

const storageKey = "systemLines";
const maxWaiting = 20;
/** Sessions that nobody talks to keep their lines; whoever names ever new ones fills no memory. */
const maxSessions = 100;

const isLines = (value: unknown): boolean => isRecord(value) && Object.values(value).every(Array.isArray);

/** Events that wait for a session's next prompt, kept across restarts. */
export async function createSystemLines(storage: PluginContext["storage"], log: Logger) {
  const stored = await kept<Readonly<Record<string, readonly string[]>>>(storage, storageKey, isLines);
  const waiting = new Map(Object.entries(stored ?? {}));
  const save = (): Promise<void> => storage.set(storageKey, Object.fromEntries(waiting));
  return {
    /** Durable when it resolves. */
    async add(sessionKey: string, text: string, at: number): Promise<void> {
      const line = systemLine(text, at);
      const lines = [...(waiting.get(sessionKey) ?? []), line];
      waiting.delete(sessionKey);
      const [oldest] = waiting.size >= maxSessions ? waiting.keys() : [];
      if (oldest !== undefined) waiting.delete(oldest);
      waiting.set(sessionKey, lines.slice(-maxWaiting));
      try {
        await save();
      } catch (error) {
        // Whoever is told that it was not kept says it again.
        const others = (waiting.get(sessionKey) ?? []).filter((other) => other !== line);
        if (others.length > 0) waiting.set(sessionKey, others);
        else waiting.delete(sessionKey);
        throw error;
      }
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
