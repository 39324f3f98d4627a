import { randomBytes } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import type { DeniedAnswer, DeniedCard } from "@rclaw/plugin-sdk/services/egress";
import type { Asking } from "./grants.ts";

const maxCards = 100;
/** So that one plugin's list of hosts does not crowd out the others'. */
const maxCardsOfOne = 20;
const maxSilenced = 1_000;
const onceMs = 600_000;

/** A yes for one request. */
export interface Pass {
  readonly host: string;
  readonly port: number;
  /** The owner was told that the address is a private one. */
  readonly named: boolean;
}

/** Hosts that plugins were refused, and what the owner said. In memory: after a restart a host is asked about again. */
export interface Cards {
  note(plugin: string, asking: Asking): void;
  pending(): readonly DeniedCard[];
  answer(id: string, answer: DeniedAnswer): DeniedCard;
  /** Uses up a yes. `needsNamed`: only one that was given for the private address. */
  take(plugin: string, host: string, port: number, needsNamed: boolean): Pass | undefined;
}

export function createCards(onDenied: ((card: DeniedCard) => void) | undefined, now = Date.now): Cards {
  const cards = new Map<string, DeniedCard>();
  const silenced = new Set<string>();
  const passes = new Map<string, Pass & { readonly until: number }>();
  const keyOf = (plugin: string, host: string): string => `${plugin}\n${host}`;

  return {
    note(plugin, { host, port, line, reason }) {
      const key = keyOf(plugin, host);
      if (silenced.has(key)) return;
      const known = cards.get(key);
      if (known) {
        cards.set(key, { ...known, count: known.count + 1 });
        return;
      }
      const own = [...cards.values()].filter((card) => card.plugin === plugin);
      if (cards.size >= maxCards || own.length >= maxCardsOfOne) return;
      const card: DeniedCard = {
        id: randomBytes(8).toString("hex"),
        plugin,
        host,
        port,
        line,
        ...(reason !== undefined && { reason }),
        firstAt: now(),
        count: 1,
      };
      cards.set(key, card);
      onDenied?.(card);
    },
    pending: () => [...cards.values()],
    answer(id, answer) {
      const card = [...cards.values()].find((other) => other.id === id);
      if (!card) {
        throw new RclawError(
          "NOT_FOUND",
          `there is no question "${id}" about a host; it was answered, or the gateway was restarted since`,
        );
      }
      const { plugin, host, port } = card;
      const key = keyOf(plugin, host);
      cards.delete(key);
      if (answer === "once") {
        for (const [other, { until }] of passes) if (until <= now()) passes.delete(other);
        passes.set(`${key}:${port}`, { host, port, named: card.reason !== undefined, until: now() + onceMs });
      }
      if (answer === "deny") {
        if (silenced.size >= maxSilenced)
          for (const first of [...silenced].slice(0, 1)) silenced.delete(first);
        silenced.add(key);
      }
      return card;
    },
    take(plugin, host, port, needsNamed) {
      const key = `${keyOf(plugin, host)}:${port}`;
      const pass = passes.get(key);
      if (!pass || (needsNamed && !pass.named)) return undefined;
      passes.delete(key);
      return pass.until > now() ? pass : undefined;
    },
  };
}
