import {
  type Caller,
  defineMethod,
  type Method,
  type PluginContext,
  RclawError,
  type Scope,
} from "@rclaw/plugin-sdk";
import type { MethodCall } from "@rclaw/plugin-sdk/gateway";
import { isRecord } from "@rclaw/plugin-sdk/services/record";
import { activeProvider, type TalkSection, talkPayload } from "./section.ts";
import {
  looseParams,
  talkCatalogParams,
  talkConfigParams,
  talkModeParams,
  talkSpeakParams,
} from "./voice.schema.ts";

const secretsScope: Scope = "operator.talk.secrets";

/** `talk.*`: what is set about talking, who is talking, and that nothing here speaks. */
export function talkMethods(context: PluginContext<TalkSection>): readonly Method[] {
  const { gateway, secrets } = context;

  async function config({
    params,
    caller,
    signal,
  }: MethodCall<{ includeSecrets?: boolean }>): Promise<unknown> {
    const withSecrets = params.includeSecrets === true;
    if (withSecrets && !mayReadSecrets(caller))
      throw new RclawError("INVALID_REQUEST", `missing scope: ${secretsScope}`);
    // As the file says it, without what is filled in, and with its secrets hidden.
    const { resolved } = (await context.methods.call("config.get", {}, { as: caller, signal })) as {
      resolved: { talk?: unknown; session?: unknown; ui?: unknown };
    };
    const talk = talkPayload(withSecrets ? await lookedUp(context.config) : resolved.talk);
    const mainKey = textIn(resolved.session, "mainKey");
    const seamColor = textIn(resolved.ui, "seamColor");
    return {
      config: {
        ...(talk && { talk }),
        ...(mainKey !== undefined && { session: { mainKey } }),
        ...(seamColor !== undefined && { ui: { seamColor } }),
      },
    };
  }

  /** An app cannot look up a secret's name. */
  async function lookedUp(value: unknown): Promise<unknown> {
    if (typeof value === "string") return secrets.resolve(value);
    if (!isRecord(value)) return value;
    const items = Object.entries(value).map(async ([key, item]) => [key, await lookedUp(item)] as const);
    return Object.fromEntries(await Promise.all(items));
  }

  async function mode({
    params,
    caller,
  }: MethodCall<{ enabled: boolean; phase?: string }>): Promise<unknown> {
    if (isWebChat(caller) && !hasMobileNode())
      throw new RclawError("UNAVAILABLE", "talk disabled: no connected iOS/Android nodes");
    const payload = { enabled: params.enabled, phase: params.phase ?? null, ts: Date.now() };
    gateway.broadcast("talk.mode", payload, { dropIfSlow: true, toNodes: true });
    return payload;
  }

  const hasMobileNode = (): boolean =>
    gateway
      .clients()
      .some(({ node }) => node && /^(?:ios|ipados|android)/i.test(node.client.platform.trim()));

  async function speak({ params }: MethodCall<{ text: string }>): Promise<never> {
    if (params.text.trim() === "") throw new RclawError("INVALID_REQUEST", "talk.speak requires text");
    const provider = activeProvider(context.config);
    throw provider === undefined
      ? cannotSpeak("talk_unconfigured", "talk.speak unavailable: talk provider not configured")
      : cannotSpeak(
          "talk_provider_unsupported",
          `talk.speak unavailable: speech provider "${provider}" does not support Talk mode`,
        );
  }

  return [
    defineMethod({
      name: "talk.config",
      since: "2026.2.17",
      params: talkConfigParams,
      handle: config,
    }),
    defineMethod({ name: "talk.mode", since: "2026.2.17", params: talkModeParams, handle: mode }),
    defineMethod({ name: "talk.speak", since: "2026.5.7", params: talkSpeakParams, handle: speak }),
    defineMethod({
      name: "talk.catalog",
      since: "2026.9",
      params: talkCatalogParams,
      handle: async () => ({
        modes: ["realtime", "stt-tts", "transcription"],
        transports: ["webrtc", "provider-websocket", "gateway-relay", "managed-room"],
        brains: ["agent-consult", "direct-tools", "none"],
        speech: { providers: [] },
        transcription: { providers: [] },
        realtime: { providers: [] },
      }),
    }),
    ...["talk.session.create", "talk.client.create"].map((name) =>
      defineMethod({ name, since: "2026.9", params: looseParams, handle: noSession }),
    ),
  ];
}

/** The app then speaks with the voice of its own system. */
function cannotSpeak(reason: string, message: string): RclawError {
  return new RclawError("UNAVAILABLE", message, { details: { reason, fallbackEligible: true } });
}

async function noSession(): Promise<never> {
  const message = "No realtime voice provider registered";
  throw new RclawError("UNAVAILABLE", message, {
    details: { talkIssue: { code: "realtime_unavailable", message, phase: "request" } },
  });
}

function mayReadSecrets({ scopes }: Caller): boolean {
  return scopes.includes("operator.admin") || scopes.includes(secretsScope);
}

/** A page has no microphone of its own in this: it switches a phone's on. */
function isWebChat({ client }: Caller): boolean {
  return client?.mode === "webchat" || client?.id === "webchat-ui";
}

function textIn(section: unknown, key: string): string | undefined {
  const value = isRecord(section) ? section[key] : undefined;
  return typeof value === "string" ? value : undefined;
}
