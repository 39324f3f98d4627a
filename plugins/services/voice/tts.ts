import { homedir } from "node:os";
import path from "node:path";
import { defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import {
  convertParams,
  looseParams,
  setPersonaParams,
  setProviderParams,
  speakParams,
} from "./voice.schema.ts";

const openaiVoices = "alloy ash ballad cedar coral echo fable juniper marin onyx nova sage shimmer verse";

/** OpenClaw's three. None is configured, because none can be asked yet: a key alone would make no sound. */
const providers = [
  {
    id: "openai",
    name: "OpenAI",
    configured: false,
    models: ["gpt-4o-mini-tts", "tts-1", "tts-1-hd"],
    voices: openaiVoices.split(" "),
    missing: "no API key",
  },
  {
    id: "elevenlabs",
    name: "ElevenLabs",
    configured: false,
    models: ["eleven_multilingual_v2", "eleven_turbo_v2_5", "eleven_monolingual_v1"],
    missing: "no API key",
  },
  { id: "edge", name: "Edge TTS", configured: false, models: [], missing: "disabled" },
] as const;

const maxLength = 4_096;

/** `tts.*`: whether answers should be spoken and by whom, which is kept, and that nothing can speak them. */
export function ttsMethods({ storage, env }: Pick<PluginContext, "storage" | "env">): readonly Method[] {
  const isEnabled = async (): Promise<boolean> => (await storage.get("tts.enabled")) === true;
  async function chosen(): Promise<string> {
    const kept = await storage.get("tts.provider");
    return typeof kept === "string" ? kept : "edge";
  }

  async function status(): Promise<unknown> {
    const enabled = await isEnabled();
    return {
      enabled,
      auto: enabled ? "always" : "off",
      provider: await chosen(),
      persona: null,
      personas: [],
      fallbackProvider: null,
      fallbackProviders: [],
      prefsPath: path.join(
        env("RUSTY_CLAW_STATE_DIR") ?? path.join(homedir(), ".rusty_claw"),
        "plugins/voice/storage.json",
      ),
      providerStates: providers.map(({ id, name, configured }) => ({ id, label: name, configured })),
      hasOpenAIKey: false,
      hasElevenLabsKey: false,
      edgeEnabled: false,
    };
  }

  /** What each provider lacks, the chosen one first. */
  async function fail(text: string): Promise<never> {
    if (text.length > maxLength)
      throw new RclawError("UNAVAILABLE", `Text too long (${text.length} chars, max ${maxLength})`);
    const first = await chosen();
    const inOrder = [...providers].sort((a, b) => Number(b.id === first) - Number(a.id === first));
    const reasons = inOrder.map(({ id, missing }) => `${id}: ${missing}`).join("; ");
    throw new RclawError("UNAVAILABLE", `TTS conversion failed: ${reasons}`);
  }

  const enable = (enabled: boolean): Method =>
    defineMethod({
      name: enabled ? "tts.enable" : "tts.disable",
      since: "2026.2.17",
      params: looseParams,
      async handle() {
        await storage.set("tts.enabled", enabled);
        return { enabled };
      },
    });

  return [
    defineMethod({ name: "tts.status", since: "2026.2.17", params: looseParams, handle: status }),
    defineMethod({
      name: "tts.providers",
      since: "2026.2.17",
      params: looseParams,
      handle: async () => ({
        providers: providers.map(({ missing: _missing, ...provider }) => provider),
        active: await chosen(),
      }),
    }),
    enable(true),
    enable(false),
    defineMethod({
      name: "tts.setProvider",
      since: "2026.2.17",
      params: setProviderParams,
      async handle({ params }) {
        const provider = textOf(params.provider);
        if (!providers.some(({ id }) => id === provider)) {
          throw new RclawError("INVALID_REQUEST", "Invalid provider. Use openai, elevenlabs, or edge.");
        }
        await storage.set("tts.provider", provider);
        return { provider };
      },
    }),
    defineMethod({
      name: "tts.convert",
      since: "2026.2.17",
      params: convertParams,
      async handle({ params }) {
        const text = textOf(params.text);
        if (text === "") throw new RclawError("INVALID_REQUEST", "tts.convert requires text");
        return fail(text);
      },
    }),
    defineMethod({
      name: "tts.speak",
      since: "2026.9",
      params: speakParams,
      async handle({ params }) {
        const text = params.text.trim();
        if (text === "") throw new RclawError("INVALID_REQUEST", "tts.speak requires text");
        return fail(text);
      },
    }),
    defineMethod({
      name: "tts.personas",
      since: "2026.9",
      params: looseParams,
      handle: async () => ({ active: null, personas: [] }),
    }),
    defineMethod({
      name: "tts.setPersona",
      since: "2026.9",
      params: setPersonaParams,
      async handle({ params }) {
        const persona = textOf(params.persona).toLowerCase();
        if (["", "off", "none", "default"].includes(persona)) return { persona: null };
        throw new RclawError("INVALID_REQUEST", "Invalid persona. Use a configured TTS persona id.");
      },
    }),
  ];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}
