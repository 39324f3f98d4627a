import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const agentId = Type.Optional(name);

export const noParams = Type.Object({}, strict);

const page = {
  agentId,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
  maxBytes: Type.Optional(Type.Integer({ minimum: 1_024 })),
};

export const startupParams = Type.Object(
  {
    ...page,
    sessionKey: Type.Optional(name),
    shortId: Type.Optional(name),
    slugHint: Type.Optional(name),
    cursor: Type.Optional(Type.String()),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    pendingBefore: Type.Optional(Type.Integer({ minimum: 1 })),
    inputRunIds: Type.Optional(Type.Array(name, { maxItems: 50 })),
    messageId: Type.Optional(name),
    sessionId: Type.Optional(name),
    maxChars: Type.Optional(Type.Integer({ minimum: 1, maximum: 500_000 })),
  },
  strict,
);

export const metadataParams = Type.Object(
  { agentId, sessionKey: Type.Optional(name), authProfileId: Type.Optional(name) },
  strict,
);

export const sessionParams = Type.Object({ sessionKey: name, agentId }, strict);

export const visibilityParams = Type.Object({ visible: Type.Boolean() }, strict);

const status = Type.Enum(["queued", "running", "completed", "failed", "cancelled", "timed_out"]);
export const tasksParams = Type.Object(
  {
    agentId,
    status: Type.Optional(Type.Union([status, Type.Array(status, { maxItems: 16 })])),
    sessionKey: Type.Optional(name),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    cursor: Type.Optional(Type.String({ maxLength: 512 })),
    sortBy: Type.Optional(Type.Enum(["updatedAt", "endedAt"])),
  },
  strict,
);
