import { isRclawError, type PluginContext, RclawError, type SessionEntry } from "@rclaw/plugin-sdk";
import type { Settings } from "./config.ts";

export interface ModelRef {
  readonly provider: string;
  readonly model: string;
}

export interface Choice extends ModelRef {
  /** Where the choice comes from, for people. */
  readonly reason: string;
  /** Somebody named this model, so another one must not quietly take its place. */
  readonly isNamed: boolean;
}

/** What a run may say about its model, the strongest first. */
export interface Wishes {
  readonly hook?: { readonly modelOverride?: string; readonly providerOverride?: string };
  readonly params?: { readonly provider?: string; readonly model?: string };
  readonly entry?: SessionEntry;
  readonly agentId: string;
}

export interface ModelsOptions {
  readonly providers: PluginContext["providers"];
  readonly settings: Pick<Settings, "model" | "aliases" | "agents">;
  readonly log: PluginContext["log"];
  readonly signal: AbortSignal;
  now?(): number;
}

const readyFreshMs = 30_000;
const readyTimeoutMs = 2_000;
const coolDownMs = [0, 5_000, 30_000, 120_000, 300_000];

export type Models = ReturnType<typeof createModels>;

/** Which model answers, and who stands in when it does not. */
export function createModels({ providers, settings, log, signal, now = Date.now }: ModelsOptions) {
  let best: { readonly choice: Promise<Choice | undefined>; readonly at: number } | undefined;
  const failures = new Map<string, { count: number; until: number }>();

  async function ready(
    id: string,
  ): Promise<{ ok: boolean; reason: string; defaultModel: string; rank: number } | undefined> {
    const limit = AbortSignal.timeout(readyTimeoutMs);
    try {
      return await providers.ready(id, AbortSignal.any([signal, limit]));
    } catch (error) {
      log.debug({ err: error, provider: id }, `provider "${id}" could not say whether it is ready`);
      return undefined;
    }
  }

  async function findBest(): Promise<Choice | undefined> {
    const states = await Promise.all(providers.ids().map(async (id) => ({ id, state: await ready(id) })));
    const usable = states
      .flatMap(({ id, state }) => (state?.ok ? [{ id, ...state }] : []))
      .sort((a, b) => a.rank - b.rank);
    const [first] = usable;
    return first && { provider: first.id, model: first.defaultModel, reason: first.reason, isNamed: false };
  }

  /** The ready provider with the lowest rank. Asked again after a while, or when a run failed. */
  function automatic(fresh = false): Promise<Choice | undefined> {
    if (fresh || !best || now() - best.at > readyFreshMs) best = { choice: findBest(), at: now() };
    return best.choice;
  }

  async function parse(ref: string, reason: string, seen = 0): Promise<Choice> {
    const alias = settings.aliases.get(ref.toLowerCase());
    if (alias && seen === 0) return parse(alias, reason, 1);
    const slash = ref.indexOf("/");
    if (slash > 0 && slash < ref.length - 1)
      return { provider: ref.slice(0, slash), model: ref.slice(slash + 1), reason, isNamed: true };
    if (providers.ids().includes(ref)) {
      const state = await ready(ref);
      if (state) return { provider: ref, model: state.defaultModel, reason, isNamed: true };
    }
    throw new RclawError(
      "INVALID_REQUEST",
      `"${ref}" is not a model: write it as provider/model, for example anthropic/claude-sonnet-5-5; see: rclaw models`,
    );
  }

  async function pair(
    model: string | undefined,
    provider: string | undefined,
    reason: string,
  ): Promise<Choice | undefined> {
    if (!model) return provider ? parse(provider, reason) : undefined;
    return provider ? { provider, model, reason, isNamed: true } : parse(model, reason);
  }

  async function candidates({ hook, params, entry, agentId }: Wishes): Promise<readonly Choice[]> {
    const wished =
      (hook && (await pair(hook.modelOverride, hook.providerOverride, "chosen by a plugin"))) ??
      (params && (await pair(params.model, params.provider, "chosen for this request"))) ??
      (entry && (await pair(entry.modelOverride, entry.providerOverride, "set for this session")));
    const own = settings.agents.get(agentId) ?? [];
    const configured = own.length > 0 ? own : settings.model;
    if (wished || configured.length > 0) {
      const rest = await Promise.all(configured.map((ref) => parse(ref, "configured")));
      return unique(wished ? [wished, ...rest] : rest);
    }
    const choice = await automatic();
    return choice ? [choice] : [];
  }

  return {
    candidates,
    automatic,
    /** The same list with those that failed lately moved to the end; they are tried again when nothing else is left. */
    inOrder(choices: readonly Choice[]): readonly Choice[] {
      if (failures.size === 0 || choices.length < 2) return choices;
      const cooling = ({ provider }: ModelRef): boolean => (failures.get(provider)?.until ?? 0) > now();
      return [...choices.filter((choice) => !cooling(choice)), ...choices.filter(cooling)];
    },
    failed({ provider }: ModelRef): void {
      best = undefined;
      const count = Math.min((failures.get(provider)?.count ?? 0) + 1, coolDownMs.length - 1);
      failures.set(provider, { count, until: now() + (coolDownMs[count] ?? 0) });
    },
    worked({ provider }: ModelRef): void {
      if (failures.size > 0) failures.delete(provider);
    },

    /** The `models.list` method: what every enabled provider has, a provider that fails left out. */
    async list(callSignal: AbortSignal): Promise<readonly Record<string, unknown>[]> {
      const limit = AbortSignal.any([callSignal, AbortSignal.timeout(5_000)]);
      const lists = await Promise.all(
        providers.ids().map(async (provider) => {
          try {
            return (await providers.models(provider, limit)).map((model) => ({ ...model, provider }));
          } catch (error) {
            log.debug({ err: error, provider }, `provider "${provider}" did not list its models`);
            return [];
          }
        }),
      );
      return lists
        .flat()
        .sort((a, b) => a.provider.localeCompare(b.provider) || a.name.localeCompare(b.name));
    },
  };
}

function unique(choices: readonly Choice[]): readonly Choice[] {
  const seen = new Set<string>();
  return choices.filter(({ provider, model }) => {
    const ref = `${provider}/${model}`;
    if (seen.has(ref)) return false;
    seen.add(ref);
    return true;
  });
}

/** Nothing is configured and nothing is ready. */
export function noModel(): RclawError {
  return new RclawError(
    "UNAVAILABLE",
    "No model can answer: no provider is ready. Set ANTHROPIC_API_KEY or OPENAI_API_KEY, start Ollama, or run: rclaw plugin enable offline",
  );
}

/** One clear message for the person, with every attempt in it. */
export function allFailed(
  attempts: readonly { readonly choice: ModelRef; readonly error: unknown }[],
): RclawError {
  const lines = attempts.map(({ choice, error }) => `${choice.provider}/${choice.model}: ${reasonOf(error)}`);
  const [only] = attempts;
  const message =
    attempts.length === 1 && only ? `The model ${lines[0]}` : `No model could answer. ${lines.join("; ")}`;
  return new RclawError("UNAVAILABLE", message, {
    cause: attempts.at(-1)?.error,
    retryable: attempts.some(({ error }) => isRclawError(error) && error.retryable),
    details: { kind: kindOf(attempts.at(-1)?.error) },
  });
}

/** Only an error written for people is shown to them; anything else may hold paths or keys. */
export function reasonOf(error: unknown): string {
  return isRclawError(error) ? error.message : "failed unexpectedly; the gateway's log says why";
}

function kindOf(error: unknown): string {
  if (!isRclawError(error)) return "unknown";
  if (error.code === "RATE_LIMITED") return "rate_limit";
  return error.code === "TIMEOUT" ? "timeout" : "unknown";
}
