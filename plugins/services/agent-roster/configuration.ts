import { type Caller, isRclawError, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { type Agent, agentIdOf, agentsOf } from "@rclaw/plugin-sdk/services/agents";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { valueAt } from "@rclaw/plugin-sdk/services/value-at";
import { createTurns } from "@rclaw/plugin-sdk/turns";

/** The configuration as it stands, secrets left out. */
export interface Snapshot {
  readonly hash: string | null;
  /** What the file itself holds. */
  readonly parsed: unknown;
  /** What the gateway runs on. */
  readonly config: unknown;
}

export interface Edit {
  readonly path: string;
  readonly value?: unknown;
}

export type Configuration = ReturnType<typeof createConfiguration>;

const tries = 3;

/** Reads the configuration, and changes it in the name of whoever asked. */
export function createConfiguration(methods: Pick<PluginContext["methods"], "call">) {
  const inTurn = createTurns();

  const read = async (): Promise<Snapshot> => (await methods.call("config.get", {})) as Snapshot;

  return {
    read,
    /**
     * Works out the change from what the configuration is, and works it out again when somebody else was
     * faster. It is durable and has been taken over when this resolves.
     */
    change<T>(
      as: Caller,
      plan: (snapshot: Snapshot) => Promise<{ readonly values: readonly Edit[]; readonly result: T }>,
    ): Promise<T> {
      const attempt = async (left: number): Promise<T> => {
        const snapshot = await read();
        const { values, result } = await plan(snapshot);
        const baseHash = snapshot.hash === null ? {} : { baseHash: snapshot.hash };
        try {
          if (values.length > 0) await methods.call("config.edit", { values, ...baseHash }, { as });
          return result;
        } catch (error) {
          if (left > 1 && isConflict(error)) return attempt(left - 1);
          throw error;
        }
      };
      return inTurn(() => attempt(tries));
    },
  };
}

const isConflict = (error: unknown): boolean =>
  isRclawError(error) && error.message.startsWith("config changed since last load");

/** The entries of `agents.list` as the file has them: edits name them by their place. */
export function entriesOf({ parsed, config }: Snapshot): readonly unknown[] {
  const list = valueAt(parsed, "agents.list");
  if (Array.isArray(list)) return list;
  if (Array.isArray(valueAt(config, "agents.list")))
    throw new RclawError(
      "INVALID_REQUEST",
      "agents.list stands in a file that the configuration includes; change it there",
    );
  return [];
}

/** Where its settings stand: by its id, which counts first, or in the list. */
export function pathOf(snapshot: Snapshot, agentId: string): string | undefined {
  const named = namesOf(snapshot, agentId)[0];
  if (named !== undefined) return named;
  const place = placeOf(entriesOf(snapshot), agentId);
  return place < 0 ? undefined : `agents.list.${place}`;
}

/** Its places in `agents.entries`. A name with a dot in it no edit can reach. */
export function namesOf({ parsed }: Snapshot, agentId: string): readonly string[] {
  const named = valueAt(parsed, "agents.entries");
  const names = Object.keys(isRecord(named) ? named : {});
  return names
    .filter((name) => agentIdOf(name) === agentId && !name.includes("."))
    .map((name) => `agents.entries.${name}`);
}

export function placeOf(entries: readonly unknown[], agentId: string): number {
  return entries.findIndex((entry) => {
    const id = valueAt(entry, "id");
    return typeof id === "string" && agentIdOf(id) === agentId;
  });
}

/** An agent that is configured, or is there because none is; undefined for any other. */
export function agentIn({ config }: Snapshot, name: string): Agent | undefined {
  const id = agentIdOf(name);
  return agentsOf(config).find((agent) => agent.id === id);
}
