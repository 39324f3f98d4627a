export type WakeMode = "now" | "next-heartbeat";

export interface Mapping {
  readonly id?: string;
  readonly match?: { readonly path?: string; readonly source?: string };
  readonly action?: "agent" | "wake";
  readonly wakeMode?: WakeMode;
  readonly name?: string;
  readonly agentId?: string;
  readonly sessionKey?: string;
  readonly messageTemplate?: string;
  readonly textTemplate?: string;
  readonly deliver?: boolean;
  readonly allowUnsafeExternalContent?: boolean;
  readonly channel?: string;
  readonly to?: string;
  readonly model?: string;
  readonly thinking?: string;
  readonly timeoutSeconds?: number;
  readonly transform?: unknown;
}

export interface HooksConfig {
  readonly token?: string;
  readonly maxBodyBytes?: number;
  readonly defaultSessionKey?: string;
  readonly allowRequestSessionKey?: boolean;
  readonly allowedSessionKeyPrefixes?: readonly string[];
  readonly allowedAgentIds?: readonly string[];
  readonly presets?: readonly string[];
  readonly mappings?: readonly Mapping[];
  readonly gmail?: { readonly allowUnsafeExternalContent?: boolean };
}

/** What Gmail's push notifications become, as OpenClaw's preset of that name says it. */
function gmail({ gmail: own }: HooksConfig): Mapping {
  return {
    id: "gmail",
    match: { path: "gmail" },
    action: "agent",
    wakeMode: "now",
    name: "Gmail",
    sessionKey: "hook:gmail:{{messages[0].id}}",
    messageTemplate:
      "New email from {{messages[0].from}}\nSubject: {{messages[0].subject}}\n{{messages[0].snippet}}\n{{messages[0].body}}",
    ...(own?.allowUnsafeExternalContent !== undefined && {
      allowUnsafeExternalContent: own.allowUnsafeExternalContent,
    }),
  };
}

/** The owner's own come first. */
export function mappingsOf(config: HooksConfig): readonly Mapping[] {
  return [...(config.mappings ?? []), ...(config.presets?.includes("gmail") ? [gmail(config)] : [])];
}
