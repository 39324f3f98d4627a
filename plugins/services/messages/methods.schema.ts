import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const text = Type.Optional(Type.String());
const flag = Type.Optional(Type.Boolean());
const name = Type.String({ minLength: 1 });
/** It is the answer's `runId`. */
const idempotencyKey = Type.String({ minLength: 1, maxLength: 1_024 });

/** The union of what the releases of protocol 3 and 4 send. */
export const sendParams = Type.Object(
  {
    to: name,
    message: Type.Optional(Type.String({ maxLength: 200_000 })),
    mediaUrl: text,
    mediaUrls: Type.Optional(Type.Array(Type.String(), { maxItems: 32 })),
    buffer: text,
    filename: text,
    contentType: text,
    asVoice: flag,
    gifPlayback: flag,
    channel: text,
    accountId: text,
    agentId: text,
    replyToId: text,
    threadId: text,
    forceDocument: flag,
    silent: flag,
    parseMode: Type.Optional(Type.Literal("HTML")),
    sessionKey: text,
    idempotencyKey,
  },
  strict,
);

export const pollParams = Type.Object(
  {
    to: name,
    question: name,
    options: Type.Array(name, { minItems: 2, maxItems: 12 }),
    maxSelections: Type.Optional(Type.Integer({ minimum: 1, maximum: 12 })),
    durationSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 604_800 })),
    durationHours: Type.Optional(Type.Integer({ minimum: 1 })),
    silent: flag,
    isAnonymous: flag,
    threadId: text,
    channel: text,
    accountId: text,
    idempotencyKey,
  },
  strict,
);

/** What it goes on to say concerns platforms that have such actions, and is theirs to check. */
export const messageActionParams = Type.Object(
  {
    channel: name,
    action: name,
    params: Type.Record(Type.String(), Type.Unknown()),
    idempotencyKey,
  },
  { additionalProperties: true },
);
