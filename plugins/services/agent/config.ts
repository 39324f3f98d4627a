import { agentsOf, defaultAgentOf } from "@rclaw/plugin-sdk/services/agents";

/** The `agents` section of the configuration, as the manifest's schema leaves it. */
export interface AgentsConfig {
  readonly defaults?: AgentDefaults;
  readonly list?: readonly (AgentEntry & { readonly id: string })[];
  readonly entries?: Readonly<Record<string, AgentEntry>>;
}

interface AgentEntry {
  readonly name?: string;
  readonly model?: ModelChoice;
  readonly identity?: { readonly name?: string };
}

/** What is an agent's own. */
interface AgentSettings {
  /** How it is called, where the configuration says so. */
  readonly name: string | undefined;
  readonly model: readonly string[];
}

type ModelChoice = string | { readonly primary?: string; readonly fallbacks?: readonly string[] };

interface AgentDefaults {
  readonly model?: ModelChoice;
  readonly models?: Readonly<Record<string, { readonly alias?: string }>>;
  readonly thinkingDefault?: string;
  readonly verboseDefault?: string;
  readonly userTimezone?: string;
  readonly timeoutSeconds?: number;
  readonly maxTurns?: number;
  readonly maxTokens?: number;
  readonly contextTokens?: number;
  readonly bootstrapMaxChars?: number;
  readonly bootstrapTotalMaxChars?: number;
  readonly retry?: {
    readonly attempts?: number;
    readonly baseDelayMs?: number;
    readonly maxDelayMs?: number;
    readonly idleTimeoutMs?: number;
  };
}

/** Everything with its default, worked out once at activation. */
export interface Settings {
  readonly model: readonly string[];
  /** Models that `agents.defaults.models` names. */
  readonly known: readonly string[];
  readonly aliases: ReadonlyMap<string, string>;
  readonly agents: ReadonlyMap<string, AgentSettings>;
  readonly defaultAgent: string;
  readonly thinking: string | undefined;
  readonly verbose: string | undefined;
  readonly timezone: string;
  readonly timeoutMs: number;
  readonly maxTurns: number;
  readonly maxTokens: number | undefined;
  /** As configured; without it the model's own window counts. */
  readonly contextTokens: number | undefined;
  readonly contextChars: number;
  readonly bootstrapMaxChars: number;
  readonly bootstrapTotalMaxChars: number;
  readonly retry: {
    readonly attempts: number;
    readonly baseDelayMs: number;
    readonly maxDelayMs: number;
    readonly idleTimeoutMs: number;
  };
}

const charsPerToken = 4;
const usualContextTokens = 128_000;
const timeoutSeconds = 600;
/** What a timer can hold; a run of 24 days has no end of its own. */
export const longestTimer = 2_147_483_647;

export function settingsOf(agents: AgentsConfig): Settings {
  const { defaults = {} } = agents;
  const { retry = {} } = defaults;
  let timezone: string | undefined;
  return {
    model: choices(defaults.model),
    known: Object.keys(defaults.models ?? {}),
    aliases: new Map(
      Object.entries(defaults.models ?? {}).flatMap(([ref, { alias }]) =>
        alias ? [[alias.toLowerCase(), ref] as const] : [],
      ),
    ),
    agents: new Map(agentsOf({ agents }).map(({ id, entry }) => [id, settingsOfAgent(entry)])),
    defaultAgent: defaultAgentOf({ agents }),
    thinking: defaults.thinkingDefault,
    verbose: defaults.verboseDefault,
    /** Looked up when a message needs it, see `stamp` in index.ts. */
    get timezone() {
      timezone ??= validTimezone(defaults.userTimezone) ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
      return timezone;
    },
    timeoutMs: Math.min((defaults.timeoutSeconds ?? timeoutSeconds) * 1_000, longestTimer),
    maxTurns: defaults.maxTurns ?? 50,
    maxTokens: defaults.maxTokens,
    contextTokens: defaults.contextTokens,
    contextChars: (defaults.contextTokens ?? usualContextTokens) * charsPerToken,
    bootstrapMaxChars: defaults.bootstrapMaxChars ?? 20_000,
    bootstrapTotalMaxChars: defaults.bootstrapTotalMaxChars ?? 150_000,
    retry: {
      attempts: retry.attempts ?? 3,
      baseDelayMs: retry.baseDelayMs ?? 1_000,
      maxDelayMs: retry.maxDelayMs ?? 30_000,
      idleTimeoutMs: retry.idleTimeoutMs ?? 120_000,
    },
  };
}

/** What a session's model is told at most, in tokens, and how many characters of history that leaves room for. */
export function contextOf(
  { contextTokens, contextChars }: Pick<Settings, "contextTokens" | "contextChars">,
  window: number | undefined,
): { readonly tokens: number; readonly chars: number } {
  const tokens = contextTokens ?? window ?? usualContextTokens;
  // Prompt, tools and the answer want their room in the window too.
  const room = window === undefined ? contextChars : Math.floor(window * charsPerToken * 0.7);
  return { tokens: Math.min(tokens, window ?? tokens), chars: Math.min(contextChars, room) };
}

function settingsOfAgent({ model, name, identity }: AgentEntry): AgentSettings {
  return { name: identity?.name?.trim() || name?.trim() || undefined, model: choices(model) };
}

function choices(choice: ModelChoice | undefined): readonly string[] {
  if (choice === undefined) return [];
  if (typeof choice === "string") return [choice];
  return [...(choice.primary ? [choice.primary] : []), ...(choice.fallbacks ?? [])];
}

function validTimezone(name: string | undefined): string | undefined {
  if (!name) return undefined;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}
