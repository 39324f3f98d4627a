import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { kept } from "@rclaw/plugin-sdk/services/kept";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { looseParams, setTriggersParams } from "./voice.schema.ts";

const defaults = ["openclaw", "claude", "computer"] as const;
const maxTriggers = 32;
const maxLength = 64;
const key = "voicewake";

export interface WakeWords {
  readonly methods: readonly Method[];
  /** A node is told the words when it has connected. */
  greet(connId: string): Promise<void>;
}

/** The words that make a phone or a computer listen, the same on all of them. */
export function createWakeWords({
  gateway,
  storage,
  log,
}: Pick<PluginContext, "gateway" | "storage" | "log">): WakeWords {
  async function triggers(): Promise<readonly string[]> {
    const found = await kept<{ triggers: unknown }>(storage, key, isTriggers);
    return cleaned(found?.triggers);
  }

  async function greet(connId: string): Promise<void> {
    const isNode = gateway.clients().some(({ caller, node }) => node && caller.connId === connId);
    if (!isNode) return;
    try {
      gateway.send(connId, "voicewake.changed", { triggers: await triggers() });
    } catch (error) {
      log.warn({ err: error, connId }, "a node was not told the wake words");
    }
  }

  const get = defineMethod({
    name: "voicewake.get",
    since: "2026.2.17",
    params: looseParams,
    handle: async () => ({ triggers: await triggers() }),
  });
  const set = defineMethod({
    name: "voicewake.set",
    since: "2026.2.17",
    params: setTriggersParams,
    async handle({ params }) {
      if (!Array.isArray(params.triggers))
        throw new RclawError("INVALID_REQUEST", "voicewake.set requires triggers: string[]");
      const words = cleaned(params.triggers);
      await storage.set(key, { triggers: words, updatedAtMs: Date.now() });
      gateway.broadcast("voicewake.changed", { triggers: words }, { dropIfSlow: true, toNodes: true });
      return { triggers: words };
    },
  });
  /** Every word wakes the session that is open; there is no way to set anything else. */
  const routing = defineMethod({
    name: "voicewake.routing.get",
    since: "2026.9",
    params: looseParams,
    handle: async () => ({
      config: { version: 1, defaultTarget: { mode: "current" }, routes: [], updatedAtMs: 0 },
    }),
  });
  return { methods: [get, set, routing], greet };
}

const isTriggers = (value: unknown): boolean => isRecord(value) && Array.isArray(value["triggers"]);

/** Nothing to listen for would be a device that cannot be woken: then the usual words are back. */
function cleaned(given: unknown): readonly string[] {
  const words = (Array.isArray(given) ? given : [])
    .map((item: unknown) => (typeof item === "string" ? item.trim() : ""))
    .filter((word) => word !== "")
    .slice(0, maxTriggers)
    .map((word) => word.slice(0, maxLength));
  return words.length > 0 ? words : defaults;
}
