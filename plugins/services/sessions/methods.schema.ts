import { Type } from "typebox";

const name = Type.String({ minLength: 1 });
const nameOrNull = Type.Union([name, Type.Null()]);
const closed = { additionalProperties: false };

export const listParams = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    activeMinutes: Type.Optional(Type.Integer({ minimum: 1 })),
    includeGlobal: Type.Optional(Type.Boolean()),
    includeUnknown: Type.Optional(Type.Boolean()),
    includeDerivedTitles: Type.Optional(Type.Boolean()),
    includeLastMessage: Type.Optional(Type.Boolean()),
    label: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    spawnedBy: Type.Optional(name),
    agentId: Type.Optional(name),
    search: Type.Optional(Type.String()),
  },
  closed,
);

export const previewParams = Type.Object(
  {
    keys: Type.Array(name, { minItems: 1 }),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    maxChars: Type.Optional(Type.Integer({ minimum: 20 })),
  },
  closed,
);

export const patchParams = Type.Object(
  {
    key: name,
    label: Type.Optional(Type.Union([Type.String({ minLength: 1, maxLength: 512 }), Type.Null()])),
    thinkingLevel: Type.Optional(nameOrNull),
    verboseLevel: Type.Optional(nameOrNull),
    reasoningLevel: Type.Optional(nameOrNull),
    responseUsage: Type.Optional(
      Type.Union([
        Type.Literal("off"),
        Type.Literal("tokens"),
        Type.Literal("full"),
        Type.Literal("on"),
        Type.Null(),
      ]),
    ),
    elevatedLevel: Type.Optional(nameOrNull),
    execHost: Type.Optional(nameOrNull),
    execSecurity: Type.Optional(nameOrNull),
    execAsk: Type.Optional(nameOrNull),
    execNode: Type.Optional(nameOrNull),
    model: Type.Optional(nameOrNull),
    spawnedBy: Type.Optional(nameOrNull),
    spawnDepth: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
    sendPolicy: Type.Optional(Type.Union([Type.Literal("allow"), Type.Literal("deny"), Type.Null()])),
    groupActivation: Type.Optional(
      Type.Union([Type.Literal("mention"), Type.Literal("always"), Type.Null()]),
    ),
    fastMode: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    traceLevel: Type.Optional(nameOrNull),
    spawnedWorkspaceDir: Type.Optional(nameOrNull),
    subagentRole: Type.Optional(
      Type.Union([Type.Literal("orchestrator"), Type.Literal("leaf"), Type.Null()]),
    ),
    subagentControlScope: Type.Optional(
      Type.Union([Type.Literal("children"), Type.Literal("none"), Type.Null()]),
    ),
  },
  closed,
);

export const resetParams = Type.Object(
  {
    key: name,
    reason: Type.Optional(Type.Union([Type.Literal("new"), Type.Literal("reset")])),
  },
  closed,
);

export const deleteParams = Type.Object(
  {
    key: name,
    deleteTranscript: Type.Optional(Type.Boolean()),
    emitLifecycleHooks: Type.Optional(Type.Boolean()),
  },
  closed,
);
