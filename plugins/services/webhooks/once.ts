import { createHash } from "node:crypto";
import type { PluginContext } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { createTurns } from "@rclaw/plugin-sdk/turns";

/** A sender's key stands for one piece of work in one place: the same key with another text is another one. */
export function onceKey(path: string, key: string, work: object): string {
  return createHash("sha256")
    .update(JSON.stringify([path, key, work]))
    .digest("hex")
    .slice(0, 32);
}

const keepMs = 300_000;
const maxKept = 1_000;

/** Does what has no run that would know of it, once for each key, also across a restart. */
export function createOnce(storage: PluginContext["storage"], now: () => number) {
  const running = new Map<string, Promise<void>>();
  /** So that none is written over what another has just read. */
  const inTurn = createTurns();

  async function recent(): Promise<ReadonlyMap<string, number>> {
    const rows = (await kept<readonly [string, number][]>(storage, "woken", Array.isArray)) ?? [];
    const oldest = now() - keepMs;
    return new Map(rows.filter(([, at]) => at >= oldest));
  }

  const note = (key: string): Promise<void> =>
    inTurn(async () => {
      const rows = [...(await recent()), [key, now()] as const].slice(-maxKept);
      await storage.set("woken", rows);
    });

  async function perform(key: string, work: () => Promise<void>): Promise<void> {
    try {
      if ((await recent()).has(key)) return;
      await work();
      await note(key);
    } finally {
      running.delete(key);
    }
  }

  return (key: string, work: () => Promise<void>): Promise<void> => {
    const known = running.get(key);
    if (known) return known;
    const own = perform(key, work);
    running.set(key, own);
    return own;
  };
}
