import type { ModelInfo } from "@rclaw/plugin-sdk";
import type { Settings } from "./config.ts";
import { thinkingLevels } from "./request.ts";

export type Listed = ModelInfo & { readonly provider: string };

interface About {
  readonly settings: Pick<Settings, "aliases" | "thinking">;
  /** The models that answer, first the one that is asked first. */
  readonly order: readonly string[];
  /** Every model that somebody wrote into the configuration. */
  readonly named: ReadonlySet<string>;
  /** Which providers could answer now; only where somebody wants to know. */
  readonly isReady?: ReadonlyMap<string, boolean>;
}

/** Rows of `models.list` with what clients of protocol 4 know besides. */
export function modelRows(
  models: readonly Listed[],
  { settings, order, named, isReady }: About,
): readonly Listed[] {
  const aliases = new Map([...settings.aliases].map(([alias, ref]) => [ref, alias]));
  const levels = {
    thinkingLevels: thinkingLevels.map((id) => ({ id, label: id })),
    thinkingDefault: settings.thinking ?? "off",
  };
  return models.map((model) => {
    const ref = `${model.provider}/${model.id}`;
    const alias = aliases.get(ref);
    return {
      ...model,
      ...(alias !== undefined && { alias }),
      ...(model.reasoning && levels),
      ...(isReady && { available: isReady.get(model.provider) ?? false, tags: tagsOf(ref, order, named) }),
    };
  });
}

/** In OpenClaw's words. */
function tagsOf(ref: string, order: readonly string[], named: ReadonlySet<string>): readonly string[] {
  const place = order.indexOf(ref);
  const rank = place === 0 ? ["default"] : place > 0 ? [`fallback#${place}`] : [];
  return named.has(ref) ? [...rank, "configured"] : rank;
}
