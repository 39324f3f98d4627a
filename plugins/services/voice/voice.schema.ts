import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
/** OpenClaw looks at no more than it needs here, and its clients send what they like. */
const loose = { additionalProperties: true } as const;
const text = Type.Optional(Type.String());
const number = Type.Optional(Type.Number());
const anything = Type.Optional(Type.Unknown());

export const talkConfigParams = Type.Object({ includeSecrets: Type.Optional(Type.Boolean()) }, strict);

export const talkModeParams = Type.Object({ enabled: Type.Boolean(), phase: text }, strict);

export const talkSpeakParams = Type.Object(
  {
    text: Type.String({ minLength: 1 }),
    voiceId: text,
    modelId: text,
    outputFormat: text,
    speed: number,
    rateWpm: Type.Optional(Type.Integer({ minimum: 1 })),
    stability: number,
    similarity: number,
    style: number,
    speakerBoost: Type.Optional(Type.Boolean()),
    seed: Type.Optional(Type.Integer({ minimum: 0 })),
    normalize: text,
    language: text,
    latencyTier: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  strict,
);

export const talkCatalogParams = Type.Object({ provider: text, model: text }, strict);

export const convertParams = Type.Object({ text: anything, channel: anything }, loose);
export const speakParams = Type.Object({ text: Type.String({ minLength: 1 }) }, strict);
export const setProviderParams = Type.Object({ provider: anything }, loose);
export const setPersonaParams = Type.Object({ persona: anything }, loose);
export const setTriggersParams = Type.Object({ triggers: anything }, loose);
export const looseParams = Type.Object({}, loose);
