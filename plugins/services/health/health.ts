import type { Caller, SessionEntry } from "@rclaw/plugin-sdk";
import { coalesce } from "./coalesce.ts";
import {
  agentsOf,
  defaultAgentOf,
  type ModelDefaults,
  modelDefaultsOf,
} from "@rclaw/plugin-sdk/services/agents";
import type {
  ChannelStates,
  Health,
  HealthOptions,
  HealthPorts,
  HealthSnapshot,
} from "@rclaw/plugin-sdk/services/health";
import { settled } from "@rclaw/plugin-sdk/settled";

type SessionRow = SessionEntry & { readonly key: string };

const freshMs = 60_000;
const none = settled({});
/** Nothing runs by itself at intervals. */
const noHeartbeat = { enabled: false, every: "disabled", everyMs: null };

export function createHealth({ ports, now, publish, audience, signal }: HealthOptions): Health {
  let current: HealthSnapshot | undefined;
  let versions = 1;
  const running = new Map<boolean, Promise<HealthSnapshot>>();

  async function take(probe: boolean): Promise<HealthSnapshot> {
    const started = now();
    const snapshot = settled(await gather(ports, { probe, signal, started, now }));
    current = snapshot;
    versions++;
    publish(snapshot);
    return snapshot;
  }

  /** Callers that come while one is being taken share it. */
  function refresh(probe: boolean): Promise<HealthSnapshot> {
    let promise = running.get(probe);
    if (!promise) {
      promise = take(probe).finally(() => running.delete(probe));
      running.set(probe, promise);
    }
    return promise;
  }

  // A failed refresh keeps the last snapshot; whoever asks next gets the error.
  const refreshQuietly = (): void => void refresh(false).catch(() => undefined);
  const refreshSoon = coalesce(refreshQuietly, audience, signal);
  const timer = setInterval(() => {
    if (audience() > 0) refreshQuietly();
  }, freshMs);
  timer.unref();
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });

  return {
    current: () => current ?? none,
    version: () => versions,
    refresh,
    refreshSoon,
    methods: () => [
      {
        name: "health",
        since: "2026.2.17",
        // The one method that every role may call.
        scope: null,
        role: "any",
        handle: async ({ params }) => {
          if (wantsProbe(params)) return refresh(true);
          return current && now() - current.ts < freshMs ? current : refresh(false);
        },
      },
      {
        name: "status",
        since: "2026.2.17",
        scope: "operator.read",
        handle: async ({ caller, signal: callSignal }) => status(ports, caller, callSignal, now()),
      },
    ],
  };
}

function wantsProbe(params: unknown): boolean {
  return typeof params === "object" && params !== null && "probe" in params && params.probe === true;
}

async function gather(
  ports: HealthPorts,
  { probe, signal, started, now }: { probe: boolean; signal: AbortSignal; started: number; now(): number },
): Promise<HealthSnapshot> {
  const { channels, channelOrder, channelLabels } = await ports.channels({ probe, signal });
  const rows = ports.sessions();
  const { agents, defaultAgentId } = agentLines(ports.config());
  const time = now();
  const sessionsOf = (agentId: string): object => {
    const own = rows.filter(({ key }) => agentOf(key, defaultAgentId) === agentId);
    return {
      path: ports.sessionsPath(agentId),
      count: own.length,
      recent: latest(own, 5).map((row) => brief(row, time)),
    };
  };
  return {
    ok: true,
    ts: time,
    durationMs: time - started,
    channels,
    channelOrder,
    channelLabels,
    heartbeatSeconds: 0,
    defaultAgentId,
    agents: agents.map((agent) => ({ ...agent, sessions: sessionsOf(agent.agentId) })),
    sessions: sessionsOf(defaultAgentId),
    ...ports.notes(),
  };
}

async function status(
  ports: HealthPorts,
  caller: Caller,
  signal: AbortSignal,
  time: number,
): Promise<object> {
  const channels = await ports.channels({ probe: false, signal });
  const rows = ports.sessions();
  const config = ports.config();
  const { agents, defaultAgentId } = agentLines(config);
  const defaults = modelDefaultsOf(config);
  // Keys and paths tell who talks to the owner and where files lie: for administrators.
  const mayRead = caller.scopes.includes("operator.admin");
  const recentOf = (list: readonly SessionRow[]): object[] =>
    mayRead ? latest(list, 10).map((row) => full(row, defaults, time)) : [];
  const byAgent = agents.map(({ agentId }) => {
    const own = rows.filter(({ key }) => agentOf(key, defaultAgentId) === agentId);
    return {
      agentId,
      path: mayRead ? ports.sessionsPath(agentId) : "[redacted]",
      count: own.length,
      recent: recentOf(own),
    };
  });
  return {
    heartbeat: {
      defaultAgentId,
      agents: agents.map(({ agentId, heartbeat: { enabled, every, everyMs } }) => ({
        agentId,
        enabled,
        every,
        everyMs,
      })),
    },
    channelSummary: channelSummary(channels),
    queuedSystemEvents: [],
    sessions: {
      paths: mayRead ? [...new Set(byAgent.map(({ path }) => path))] : [],
      count: rows.length,
      defaults: mayRead
        ? { model: defaults.model ?? null, contextTokens: defaults.contextTokens ?? null }
        : { model: null, contextTokens: null },
      recent: recentOf(rows),
      byAgent,
    },
    ...ports.notes(),
  };
}

/** One line a channel, for people. */
function channelSummary({ channels, channelOrder, channelLabels }: ChannelStates): string[] {
  return channelOrder.map((id) => {
    const { running, lastError } = channels[id] ?? {};
    return `${channelLabels[id] ?? id}: ${running ? "running" : (lastError ?? "not running")}`;
  });
}

function agentLines(config: unknown) {
  const agents = agentsOf(config);
  return {
    defaultAgentId: defaultAgentOf(config),
    agents: agents.map(({ id, isDefault, entry: { name } }) => ({
      agentId: id,
      ...(typeof name === "string" && { name }),
      isDefault,
      heartbeat: noHeartbeat,
    })),
  };
}

function agentOf(key: string, defaultAgentId: string): string {
  return /^agent:([^:]+):/.exec(key)?.[1] ?? defaultAgentId;
}

/** The newest few, without sorting all of them: there may be very many sessions. */
function latest(rows: readonly SessionRow[], count: number): readonly SessionRow[] {
  const top: SessionRow[] = [];
  for (const row of rows) {
    const last = top[count - 1];
    if (last && last.updatedAt >= row.updatedAt) continue;
    const at = top.findIndex((other) => other.updatedAt < row.updatedAt);
    top.splice(at === -1 ? top.length : at, 0, row);
    if (top.length > count) top.pop();
  }
  return top;
}

function brief({ key, updatedAt }: SessionRow, time: number): object {
  return { key, updatedAt, age: time - updatedAt };
}

function full(row: SessionRow, defaults: ModelDefaults, time: number): object {
  const {
    key,
    sessionId,
    updatedAt,
    inputTokens,
    outputTokens,
    totalTokens = null,
    thinkingLevel,
    verboseLevel,
    reasoningLevel,
    elevatedLevel,
    systemSent,
    abortedLastRun,
  } = row;
  const contextTokens =
    typeof row["contextTokens"] === "number" ? row["contextTokens"] : (defaults.contextTokens ?? null);
  const canShare = totalTokens !== null && contextTokens !== null && contextTokens > 0;
  return {
    ...(key.startsWith("agent:") && { agentId: agentOf(key, "") }),
    key,
    kind: kindOf(key),
    sessionId,
    updatedAt,
    age: time - updatedAt,
    ...(thinkingLevel !== undefined && { thinkingLevel }),
    ...(verboseLevel !== undefined && { verboseLevel }),
    ...(reasoningLevel !== undefined && { reasoningLevel }),
    ...(elevatedLevel !== undefined && { elevatedLevel }),
    ...(systemSent !== undefined && { systemSent }),
    ...(abortedLastRun !== undefined && { abortedLastRun }),
    ...(inputTokens !== undefined && { inputTokens }),
    ...(outputTokens !== undefined && { outputTokens }),
    totalTokens,
    totalTokensFresh: totalTokens !== null && row.totalTokensFresh !== false,
    remainingTokens: canShare ? Math.max(0, contextTokens - totalTokens) : null,
    percentUsed: canShare ? Math.min(999, Math.round((totalTokens / contextTokens) * 100)) : null,
    model: row.modelOverride ?? row["model"] ?? defaults.model ?? null,
    contextTokens,
    flags: flagsOf(row),
  };
}

/** What is set in a session, in the words that OpenClaw's command line shows. */
function flagsOf(row: SessionRow): readonly string[] {
  const { thinkingLevel, verboseLevel, reasoningLevel, elevatedLevel, systemSent, abortedLastRun } = row;
  const levels = { think: thinkingLevel, verbose: verboseLevel, reasoning: reasoningLevel };
  return [
    ...Object.entries({ ...levels, elevated: elevatedLevel }).flatMap(([name, level]) =>
      typeof level === "string" && level !== "" ? [`${name}:${level}`] : [],
    ),
    ...(systemSent === true ? ["system"] : []),
    ...(abortedLastRun === true ? ["aborted"] : []),
    `id:${row.sessionId}`,
  ];
}

function kindOf(key: string): "direct" | "group" | "global" | "unknown" {
  if (key === "global" || key === "unknown") return key;
  return /:(?:group|channel):/.test(key) ? "group" : "direct";
}
