import {
  isRclawError,
  type ModelInfo,
  type PluginContext,
  RclawError,
  type SessionEntry,
} from "@rclaw/plugin-sdk";
import type { Settings } from "./config.ts";
import { type Listed, modelRows } from "./model-rows.ts";

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

interface ListWishes {
  readonly provider?: string;
  readonly view?: string;
  readonly agentId?: string;
  /** Only protocol 4 knows of aliases, and of the levels at which a model thinks. */
  readonly isNewer?: boolean;
  /** What it costs to find out: whether the provider is ready. */
  readonly includeDetails?: boolean;
}

interface Search {
  readonly choice: Promise<Choice | undefined>;
  glance(): Promise<Choice | undefined>;
}

export interface ModelsOptions {
  readonly providers: PluginContext["providers"];
  readonly settings: Pick<Settings, "model" | "known" | "aliases" | "agents" | "thinking">;
  readonly log: PluginContext["log"];
  readonly signal: AbortSignal;
  now?(): number;
}

/** Whoever just added a key wants to hear the model with the next message; who never answers is not asked every time. */
const readyFreshMs = 2_000;
const slowReadyFreshMs = 30_000;
const slowReadyMs = 200;
const readyTimeoutMs = 2_000;
/** How long the start screen waits for the slow ones once somebody could answer. */
const glanceMs = 100;
const listFreshMs = 600_000;
const listTimeoutMs = 1_000;
const coolDownMs = [0, 5_000, 30_000, 120_000, 300_000];

export type Models = ReturnType<typeof createModels>;

/** Which model answers, and who stands in when it does not. */
export function createModels({ providers, settings, log, signal, now = Date.now }: ModelsOptions) {
  let best: (Search & { until: number }) | undefined;
  const lists = new Map<string, { readonly models: Promise<readonly ModelInfo[]>; readonly at: number }>();
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

  /** Asks everybody at once. */
  function search(): Search {
    const usable: (Choice & { readonly rank: number })[] = [];
    const first = (): Choice | undefined => usable.toSorted((a, b) => a.rank - b.rank)[0];
    const all = providers.ids().map(async (id) => {
      const state = await ready(id);
      if (!state?.ok) return;
      const { defaultModel: model, reason, rank } = state;
      usable.push({ provider: id, model, reason, isNamed: false, rank });
    });
    const choice = Promise.all(all).then(first);
    return {
      choice,
      // A port that swallows what is sent to it must not hold up the start.
      glance: async () => (await Promise.race([choice, after(glanceMs, first)])) ?? choice,
    };
  }

  /** The ready provider with the lowest rank. Asked again after a while, or when a run failed. */
  function latest(fresh = false): Search {
    if (!fresh && best && now() < best.until) return best;
    const at = now();
    const started = { ...search(), until: Number.POSITIVE_INFINITY };
    best = started;
    void started.choice.then(() => {
      const took = now() - at;
      started.until = now() + (took < slowReadyMs ? readyFreshMs : slowReadyFreshMs);
    });
    return started;
  }

  /** What a provider says it has, or nothing when it does not say so soon. */
  function modelsOf(provider: string): Promise<readonly ModelInfo[]> {
    const known = lists.get(provider);
    if (known && now() - known.at < listFreshMs) return known.models;
    const models = providers.models(provider, AbortSignal.timeout(listTimeoutMs)).catch((error: unknown) => {
      log.debug({ err: error, provider }, `provider "${provider}" did not list its models`);
      lists.delete(provider);
      return [];
    });
    lists.set(provider, { models, at: now() });
    return models;
  }

  /** `local/qwen` where `local` is no provider, but one provider has a model of that whole name. */
  async function madeBy(ref: string): Promise<string | undefined> {
    const found = await Promise.all(
      providers.ids().map(async (id) => ((await modelsOf(id)).some((model) => model.id === ref) ? id : "")),
    );
    return found.find((id) => id !== "");
  }

  async function parse(ref: string, reason: string, seen = 0): Promise<Choice> {
    const alias = settings.aliases.get(ref.toLowerCase());
    if (alias && seen === 0) return parse(alias, reason, 1);
    const slash = ref.indexOf("/");
    if (slash > 0 && slash < ref.length - 1) {
      const named = { provider: ref.slice(0, slash), model: ref.slice(slash + 1), reason, isNamed: true };
      if (providers.ids().includes(named.provider)) return named;
      const maker = await madeBy(ref);
      return maker === undefined ? named : { ...named, provider: maker, model: ref };
    }
    if (providers.ids().includes(ref)) {
      const state = await ready(ref);
      if (state) return { provider: ref, model: state.defaultModel, reason, isNamed: true };
    }
    throw new RclawError(
      "INVALID_REQUEST",
      `"${ref}" is not a model: write it as provider/model, for example anthropic/claude-sonnet-5-5; /model list in a chat shows what there is`,
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

  function isChosen({ entry, agentId }: Wishes): boolean {
    const own = settings.agents.get(agentId)?.model ?? [];
    return own.length > 0 || settings.model.length > 0 || entry?.modelOverride !== undefined;
  }

  async function candidates({ hook, params, entry, agentId }: Wishes): Promise<readonly Choice[]> {
    const wished =
      (hook && (await pair(hook.modelOverride, hook.providerOverride, "chosen by a plugin"))) ??
      (params && (await pair(params.model, params.provider, "chosen for this request"))) ??
      (entry && (await pair(entry.modelOverride, entry.providerOverride, "set for this session")));
    const own = settings.agents.get(agentId)?.model ?? [];
    const configured = own.length > 0 ? own : settings.model;
    if (wished || configured.length > 0) {
      const rest = await Promise.all(configured.map((ref) => parse(ref, "configured")));
      return unique(wished ? [wished, ...rest] : rest);
    }
    const choice = await latest().choice;
    return choice ? [choice] : [];
  }

  return {
    candidates,
    parse: (ref: string): Promise<Choice> => parse(ref, "set for this session"),
    automatic: (fresh = false): Promise<Choice | undefined> => latest(fresh).choice,
    /** Who would answer, for a screen that somebody waits for. */
    glance: async (wishes: Wishes): Promise<Choice | undefined> =>
      isChosen(wishes) ? (await candidates(wishes))[0] : latest().glance(),
    /** Tokens the model can read, where its provider says so. */
    async windowOf({ provider, model }: ModelRef): Promise<number | undefined> {
      if (!providers.ids().includes(provider)) return undefined;
      return (await modelsOf(provider)).find(({ id }) => id === model)?.contextWindow;
    },
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
    async list(
      callSignal: AbortSignal,
      { provider: wanted, view, agentId, isNewer, includeDetails }: ListWishes = {},
    ): Promise<readonly Listed[]> {
      const limit = AbortSignal.any([callSignal, AbortSignal.timeout(5_000)]);
      const ids = providers.ids().filter((id) => wanted === undefined || id === wanted);
      const lists = await Promise.all(
        ids.map(async (provider) => {
          try {
            return (await providers.models(provider, limit)).map((model) => ({ ...model, provider }));
          } catch (error) {
            log.debug({ err: error, provider }, `provider "${provider}" did not list its models`);
            return [];
          }
        }),
      );
      const all = lists
        .flat()
        .sort((a, b) => a.provider.localeCompare(b.provider) || a.name.localeCompare(b.name));
      const own = settings.agents.get(agentId ?? "")?.model ?? [];
      const named = new Set([...settings.known, ...settings.model, ...own]);
      const chosen = all.filter(({ provider, id }) => named.has(`${provider}/${id}`));
      // Where nothing is chosen, everything is there to choose from.
      const shown = view === "configured" && chosen.length > 0 ? chosen : all;
      if (!isNewer) return shown;
      // Whoever picks a model wants to know which ones answer; a list of everything is not kept waiting for that.
      const isAsked = includeDetails === true || view === "configured";
      const asked = isAsked ? [...new Set(shown.map(({ provider }) => provider))] : [];
      const states = asked.map(async (id) => [id, (await ready(id))?.ok ?? false] as const);
      return modelRows(shown, {
        settings,
        order: own.length > 0 ? own : settings.model,
        named,
        ...(isAsked && { isReady: new Map(await Promise.all(states)) }),
      });
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

/** One clear message for the person, with every attempt in it: who, what, and what to do next. */
export function allFailed(
  attempts: readonly { readonly choice: ModelRef; readonly error: unknown }[],
): RclawError {
  const lines = attempts.map(({ choice, error }) => described(choice, error));
  const last = attempts.at(-1)?.error;
  return new RclawError(
    "UNAVAILABLE",
    lines.length === 1 ? (lines[0] ?? "") : `No model could answer. ${lines.join(". ")}`,
    {
      cause: last,
      retryable: attempts.some(({ error }) => isRclawError(error) && error.retryable),
      details: { kind: kindOf(last) },
    },
  );
}

/** A provider begins its sentences with its own id, in whose place the whole name of the model says more. */
function described({ provider, model }: ModelRef, error: unknown): string {
  const ref = `${provider}/${model}`;
  const text = reasonOf(error);
  if (text.startsWith(ref)) return text;
  const next = text.startsWith(provider) ? text.slice(provider.length) : undefined;
  return next !== undefined && /^[\s:]/.test(next) ? ref + next : `${ref}: ${text}`;
}

/** Only an error written for people is shown to them; anything else may hold paths or keys. */
export function reasonOf(error: unknown): string {
  return isRclawError(error) ? error.message : "failed unexpectedly; the gateway's log says why";
}

/** The protocol's words for it. */
function kindOf(error: unknown): string {
  if (!isRclawError(error)) return "unknown";
  if (isTooLong(error)) return "context_length";
  if (error.code === "RATE_LIMITED") return "rate_limit";
  return error.code === "TIMEOUT" ? "timeout" : "unknown";
}

/** The provider refused because there was too much to read. */
export function isTooLong(error: unknown): boolean {
  return isRclawError(error) && error.details?.["kind"] === "context_length";
}

function after<T>(ms: number, value: () => T): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(value()), ms).unref());
}
