import { Type } from "typebox";

const name = Type.String({ minLength: 1 });
const nameOrNull = Type.Union([name, Type.Null()]);
const closed = { additionalProperties: false };

const flag = Type.Optional(Type.Boolean());
const label = Type.String({ minLength: 1, maxLength: 512 });

/** The union of what the releases of protocol 3 and 4 send. */
export const listParams = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    activeMinutes: Type.Optional(Type.Integer({ minimum: 1 })),
    includeGlobal: flag,
    includeUnknown: flag,
    includeDerivedTitles: flag,
    includeLastMessage: flag,
    label: Type.Optional(label),
    spawnedBy: Type.Optional(name),
    agentId: Type.Optional(name),
    search: Type.Optional(Type.String()),
    sortBy: Type.Optional(
      Type.Union([Type.Literal("updatedAt"), Type.Literal("lastInteractionAt"), Type.Literal("activity")]),
    ),
    activeOnly: flag,
    requireLastInteraction: flag,
    excludeSubagents: flag,
    excludeCron: flag,
    excludeSystem: flag,
    configuredAgentsOnly: flag,
    includeActivitySummary: flag,
    projectId: Type.Optional(name),
    workspaceDir: Type.Optional(name),
    group: Type.Optional(Type.String()),
    pinned: flag,
    boardFace: Type.Optional(Type.Union([Type.Literal("chat"), Type.Literal("dashboard")])),
    hasBoard: flag,
    creatorId: Type.Optional(name),
    ownerId: Type.Optional(name),
    ownerFirst: flag,
    involvingMe: flag,
    profileRelation: Type.Optional(
      Type.Object(
        {
          profileId: name,
          relationship: Type.Union([
            Type.Literal("owned"),
            Type.Literal("created"),
            Type.Literal("involving"),
          ]),
        },
        closed,
      ),
    ),
    involvingProfileId: Type.Optional(name),
    includePeople: flag,
    archived: Type.Optional(Type.Union([Type.Boolean(), Type.Literal("all")])),
  },
  closed,
);

export const describeParams = Type.Object(
  {
    key: name,
    agentId: Type.Optional(name),
    includeDerivedTitles: flag,
    includeLastMessage: flag,
  },
  closed,
);

export const resolveParams = Type.Object(
  {
    key: Type.Optional(name),
    sessionId: Type.Optional(name),
    label: Type.Optional(label),
    agentId: Type.Optional(name),
    spawnedBy: Type.Optional(name),
    includeGlobal: flag,
    includeUnknown: flag,
    reference: Type.Optional(Type.Object({ key: name, slug: Type.Optional(name) }, closed)),
    shortId: Type.Optional(name),
    slugHint: Type.Optional(name),
    allowMissing: flag,
  },
  closed,
);

export const compactParams = Type.Object(
  {
    key: name,
    agentId: Type.Optional(name),
    maxLines: Type.Optional(Type.Integer({ minimum: 1 })),
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
    agentId: Type.Optional(name),
    expectedSessionId: Type.Optional(name),
    label: Type.Optional(Type.Union([label, Type.Null()])),
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
    fastMode: Type.Optional(Type.Union([Type.Boolean(), Type.Literal("auto"), Type.Null()])),
    traceLevel: Type.Optional(nameOrNull),
    spawnedWorkspaceDir: Type.Optional(nameOrNull),
    subagentRole: Type.Optional(
      Type.Union([Type.Literal("orchestrator"), Type.Literal("leaf"), Type.Null()]),
    ),
    subagentControlScope: Type.Optional(
      Type.Union([Type.Literal("children"), Type.Literal("none"), Type.Null()]),
    ),
    category: Type.Optional(Type.Union([label, Type.Null()])),
    icon: Type.Optional(Type.Union([Type.String({ maxLength: 512 }), Type.Null()])),
    color: Type.Optional(Type.Union([Type.String({ maxLength: 64 }), Type.Null()])),
    pinned: flag,
    archived: flag,
    unread: flag,
    expectedMarkedUnreadAt: Type.Optional(Type.Union([Type.Number({ minimum: 0 }), Type.Null()])),
    permissionMode: Type.Optional(nameOrNull),
    expectedPermissionMode: Type.Optional(nameOrNull),
  },
  closed,
);

export const resetParams = Type.Object(
  {
    key: name,
    agentId: Type.Optional(name),
    expectedSessionId: Type.Optional(name),
    reason: Type.Optional(Type.Union([Type.Literal("new"), Type.Literal("reset")])),
  },
  closed,
);

export const deleteParams = Type.Object(
  {
    key: name,
    agentId: Type.Optional(name),
    expectedSessionId: Type.Optional(name),
    deleteTranscript: flag,
    emitLifecycleHooks: flag,
    archivedOnly: flag,
  },
  closed,
);
