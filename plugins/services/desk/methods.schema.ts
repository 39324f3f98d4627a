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

export const artifactsParams = Type.Object(
  {
    sessionKey: Type.Optional(name),
    runId: Type.Optional(name),
    taskId: Type.Optional(name),
    agentId,
    messageRole: Type.Optional(Type.Literal("assistant")),
    type: Type.Optional(Type.Literal("image")),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 4 })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  },
  strict,
);

const moment = Type.Optional(Type.String({ maxLength: 64 }));
export const transcriptsParams = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 1_048_576 })),
    query: Type.Optional(Type.String({ maxLength: 256 })),
    providerId: Type.Optional(name),
    accountId: Type.Optional(name),
    agentId,
    startedAfter: moment,
    startedBefore: moment,
  },
  strict,
);

export const libraryParams = Type.Object(
  { scope: Type.Optional(Type.Enum(["all", "mine", "team"])), sessionKey: Type.Optional(name) },
  strict,
);

export const agentParams = Type.Object({ agentId }, strict);

export const memoryPlanParams = Type.Object(
  { agentId: name, overwrite: Type.Optional(Type.Boolean()) },
  strict,
);

export const catalogParams = Type.Object(
  {
    query: Type.Optional(Type.String({ maxLength: 200 })),
    searchSource: Type.Optional(Type.Literal("openclaw-control-ui")),
    intent: Type.Optional(Type.Enum(["all", "bundled", "trending", "official", "featured"])),
    category: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 4_096 })),
    pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  },
  strict,
);

export const historyParams = Type.Object(
  {
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    kind: Type.Optional(Type.Enum(["exec", "plugin", "system-agent"])),
  },
  strict,
);

export const environmentsParams = Type.Object(
  {
    runtimeId: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    projection: Type.Optional(Type.Literal("profiles")),
    includeDesktopSetup: Type.Optional(Type.Boolean()),
  },
  strict,
);

export const webSearchParams = Type.Object(
  { agentId, modelProvider: Type.Optional(name), modelId: Type.Optional(name) },
  strict,
);

export const githubParams = Type.Object(
  { agentId: name, selectedScope: Type.Enum(["system", "agent"]) },
  strict,
);

export const setupCodeParams = Type.Object(
  {
    publicUrl: Type.Optional(name),
    preferRemoteUrl: Type.Optional(Type.Boolean()),
    includeQr: Type.Optional(Type.Boolean()),
    bootstrapProfile: Type.Optional(Type.Enum(["limited", "node", "voice-node"])),
    joinUrl: Type.Optional(Type.Literal(true)),
  },
  strict,
);
