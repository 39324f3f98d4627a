import type { HooksConfig, Mapping, WakeMode } from "./config.ts";
import { Refusal } from "./answers.ts";
import { filled, isTemplate, type Source } from "./template.ts";

export interface Wake {
  readonly kind: "wake";
  readonly text: string;
  readonly mode: WakeMode;
}

export interface AgentWork {
  readonly kind: "agent";
  readonly message: string;
  readonly name: string;
  readonly agentId?: string | undefined;
  readonly wakeMode: WakeMode;
  /** Checked against the owner's rules; undefined for one of the hook's own. */
  readonly sessionKey: string | undefined;
  readonly deliver: boolean;
  readonly channel: string;
  readonly to?: string | undefined;
  readonly model?: string | undefined;
  readonly thinking?: string | undefined;
  readonly timeoutSeconds?: number | undefined;
  readonly isTrusted: boolean;
}

type Payload = Readonly<Record<string, unknown>>;

/** The body of /hooks/wake. */
export function wakeFrom({ text, mode }: Payload): Wake {
  const words = trimmed(text);
  if (words === undefined) throw new Refusal("text required");
  return { kind: "wake", text: words, mode: wakeMode(mode) };
}

/** The body of /hooks/agent. */
export function agentFrom(payload: Payload, config: HooksConfig): AgentWork {
  const message = trimmed(payload["message"]);
  if (message === undefined) throw new Refusal("message required");
  const { model, timeoutSeconds: seconds } = payload;
  if (model !== undefined && trimmed(model) === undefined) throw new Refusal("model required");
  const asked = trimmed(payload["sessionKey"]);
  if (asked !== undefined && !config.allowRequestSessionKey)
    throw new Refusal(
      "sessionKey is disabled for external /hooks/agent payloads; set hooks.allowRequestSessionKey=true to enable",
    );
  return {
    kind: "agent",
    message,
    name: trimmed(payload["name"]) ?? "Hook",
    agentId: trimmed(payload["agentId"]),
    wakeMode: wakeMode(payload["wakeMode"]),
    sessionKey: permitted(asked, config),
    deliver: payload["deliver"] !== false,
    channel: payload["channel"] === undefined ? "last" : (trimmed(payload["channel"]) ?? ""),
    to: trimmed(payload["to"]),
    model: trimmed(model),
    thinking: trimmed(payload["thinking"]),
    timeoutSeconds: typeof seconds === "number" && seconds >= 1 ? Math.floor(seconds) : undefined,
    isTrusted: false,
  };
}

/** What the first mapping that matches makes of a payload. */
export function mappedFrom(
  mappings: readonly Mapping[],
  source: Source,
  config: HooksConfig,
): Wake | AgentWork | undefined {
  const mapping = mappings.find((item) => matches(item, source));
  if (!mapping) return undefined;
  if (mapping.transform !== undefined)
    throw new Refusal("hook mapping transforms are not supported; use messageTemplate or textTemplate", 501);
  const fill = (template: string | undefined): string | undefined => trimmed(filled(template, source));
  if (mapping.action === "wake") {
    const text = fill(mapping.textTemplate);
    if (text === undefined) throw new Refusal("hook mapping requires text");
    return { kind: "wake", text, mode: mapping.wakeMode ?? "now" };
  }
  const message = fill(mapping.messageTemplate);
  if (message === undefined) throw new Refusal("hook mapping requires message");
  return {
    kind: "agent",
    message,
    name: fill(mapping.name) ?? "Hook",
    agentId: trimmed(mapping.agentId),
    wakeMode: mapping.wakeMode ?? "now",
    sessionKey: mappedKey(mapping.sessionKey, fill(mapping.sessionKey), config),
    deliver: mapping.deliver !== false,
    channel: mapping.channel ?? "last",
    to: fill(mapping.to),
    model: fill(mapping.model),
    thinking: fill(mapping.thinking),
    timeoutSeconds: mapping.timeoutSeconds,
    isTrusted: mapping.allowUnsafeExternalContent === true,
  };
}

function matches({ match }: Mapping, { path, payload }: Source): boolean {
  const wanted = match?.path?.trim().replaceAll(/^\/+|\/+$/g, "");
  if (wanted && wanted !== path) return false;
  const from = match?.source?.trim();
  return !from || payload["source"] === from;
}

/** A payload that chose the beginning of a key could choose any session, so then the owner has to say which ones. */
function mappedKey(
  template: string | undefined,
  key: string | undefined,
  config: HooksConfig,
): string | undefined {
  const [fixed = ""] = (template ?? "").trim().split("{{");
  const isOpen =
    template !== undefined && isTemplate(template) && !/^(?:agent:[^:]+:)?(?!agent:)[^:]+:/i.test(fixed);
  if (isOpen && !config.allowedSessionKeyPrefixes)
    throw new Refusal("a sessionKey that begins with a template needs hooks.allowedSessionKeyPrefixes");
  return permitted(key, config);
}

/** Folded as keys are, before anything is compared. */
function permitted(key: string | undefined, { allowedSessionKeyPrefixes, defaultSessionKey }: HooksConfig) {
  if (key === undefined) return trimmed(defaultSessionKey);
  const prefixes = (allowedSessionKeyPrefixes ?? []).map(folded).filter(Boolean);
  if (prefixes.length > 0 && !prefixes.some((prefix) => folded(key).startsWith(prefix)))
    throw new Refusal(`sessionKey must start with one of: ${prefixes.join(", ")}`);
  return key;
}

const folded = (text: string): string => text.normalize("NFKC").toLowerCase().trim();

const wakeMode = (value: unknown): WakeMode => (value === "next-heartbeat" ? "next-heartbeat" : "now");

function trimmed(value: unknown): string | undefined {
  const text = typeof value === "string" ? value.trim() : "";
  return text === "" ? undefined : text;
}
