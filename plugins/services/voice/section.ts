import { isRecord } from "@rclaw/plugin-sdk/services/record";

/** The section `talk` of the configuration, in OpenClaw's words. */
export type TalkSection = Readonly<Record<string, unknown>>;

type Values = Record<string, unknown>;

const flat = ["voiceId", "voiceAliases", "modelId", "outputFormat", "apiKey"] as const;
/** Whose the settings without a provider are. */
const flatProvider = "elevenlabs";
const passedOn = [
  "interruptOnSpeech",
  "silenceTimeoutMs",
  "speechLocale",
  "agentId",
  "consultThinkingLevel",
  "consultFastMode",
  "realtime",
];

/**
 * The section as apps read it. Older ones look for the active provider's settings beside the providers, newer
 * ones under `resolved`: both are there.
 */
export function talkPayload(section: unknown): Values | undefined {
  if (!isRecord(section)) return undefined;
  const providers = providersOf(section);
  const provider = activeProvider(section, providers);
  const active = (provider !== undefined && providers[provider]) || {};
  const payload: Values = {
    ...pick(section, passedOn),
    ...(Object.keys(providers).length > 0 && { providers }),
    ...(provider !== undefined && { provider }),
    ...pick(Object.keys(active).length > 0 ? active : section, flat),
    ...(provider !== undefined && { resolved: { provider, config: active } }),
  };
  return Object.keys(payload).length > 0 ? payload : undefined;
}

/** The one that is named, or the only one there is. */
export function activeProvider(section: unknown, providers = providersOf(section)): string | undefined {
  if (isRecord(section) && typeof section["provider"] === "string" && section["provider"].trim() !== "")
    return section["provider"].trim();
  const names = Object.keys(providers);
  return names.length === 1 ? names[0] : undefined;
}

function providersOf(section: unknown): Record<string, Values> {
  if (!isRecord(section)) return {};
  const { provider, providers } = section;
  if (typeof provider !== "string" && !isRecord(providers)) {
    const own = pick(section, flat);
    return Object.keys(own).length > 0 ? { [flatProvider]: own } : {};
  }
  const named = Object.entries(isRecord(providers) ? providers : {});
  return Object.fromEntries(named.flatMap(([name, item]) => (isRecord(item) ? [[name.trim(), item]] : [])));
}

function pick(from: Values, keys: readonly string[]): Values {
  return Object.fromEntries(
    keys.flatMap((key) => (from[key] === undefined || from[key] === "" ? [] : [[key, from[key]]])),
  );
}
