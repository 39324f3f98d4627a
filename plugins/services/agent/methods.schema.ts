import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const text = Type.Optional(Type.String());
const name = Type.Optional(Type.String({ minLength: 1 }));
const flag = Type.Optional(Type.Boolean());
/** The idempotency key becomes the run's id: it stands in every event, and in the ledger. */
const runId = Type.String({ minLength: 1, maxLength: 1_024 });
const attachments = Type.Optional(Type.Array(Type.Unknown()));

const provenance = Type.Optional(
  Type.Object(
    {
      kind: Type.String({ enum: ["external_user", "inter_session", "internal_system"] }),
      sourceSessionKey: text,
      sourceChannel: text,
      sourceTool: text,
      originSessionId: text,
    },
    strict,
  ),
);

/** The union of what the releases of protocol 3 and 4 send. */
export const agentParams = Type.Object(
  {
    message: Type.String({ minLength: 1 }),
    agentId: name,
    to: text,
    replyTo: text,
    sessionId: text,
    sessionKey: text,
    thinking: text,
    deliver: flag,
    attachments,
    channel: text,
    replyChannel: text,
    accountId: text,
    replyAccountId: text,
    threadId: text,
    groupId: text,
    groupChannel: text,
    groupSpace: text,
    /** Ours: who wrote on a channel. Heeded only when it comes from the channel's own plugin. */
    sender: Type.Optional(Type.Object({ id: Type.String({ minLength: 1 }), name: text }, strict)),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
    lane: text,
    extraSystemPrompt: text,
    inputProvenance: provenance,
    idempotencyKey: runId,
    label: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
    spawnedBy: text,
    bestEffortDeliver: flag,
    provider: text,
    model: text,
    cleanupBundleMcpOnRunEnd: flag,
    modelRun: flag,
    promptMode: Type.Optional(
      Type.Union([Type.Literal("full"), Type.Literal("minimal"), Type.Literal("none")]),
    ),
    bootstrapContextMode: Type.Optional(Type.Union([Type.Literal("full"), Type.Literal("lightweight")])),
    bootstrapContextRunKind: Type.Optional(
      Type.Union([Type.Literal("default"), Type.Literal("heartbeat"), Type.Literal("cron")]),
    ),
    acpTurnSource: Type.Optional(Type.Literal("manual_spawn")),
    internalEvents: Type.Optional(Type.Array(Type.Unknown())),
    voiceWakeTrigger: text,
  },
  strict,
);

export const agentWaitParams = Type.Object(
  { runId, timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })) },
  strict,
);

export const chatSendParams = Type.Object(
  {
    sessionKey: Type.String({ minLength: 1, maxLength: 512 }),
    message: Type.String(),
    thinking: text,
    deliver: flag,
    attachments,
    timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
    idempotencyKey: runId,
    sessionId: name,
    originatingChannel: text,
    originatingTo: text,
    originatingAccountId: text,
    originatingThreadId: text,
    systemInputProvenance: provenance,
    systemProvenanceReceipt: text,
    // Of 2026.9. Whom a message mentions, and which one it answers, is for its people alone.
    agentId: name,
    mentions: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 10 })),
    replyToId: name,
    queueMode: Type.Optional(Type.String({ enum: ["steer", "followup", "collect", "interrupt"] })),
  },
  strict,
);

export const chatHistoryParams = Type.Object(
  {
    sessionKey: Type.String({ minLength: 1 }),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    maxChars: Type.Optional(Type.Integer({ minimum: 1, maximum: 500_000 })),
    // Of 2026.9; what is not heeded changes nothing about the page that is answered.
    agentId: name,
    cursor: text,
    maxBytes: Type.Optional(Type.Integer({ minimum: 1_024 })),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    pendingBefore: Type.Optional(Type.Integer({ minimum: 1 })),
    inputRunIds: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: 50 })),
    messageId: name,
    sessionId: name,
  },
  strict,
);

export const chatAbortParams = Type.Object(
  {
    sessionKey: Type.String({ minLength: 1 }),
    runId: Type.Optional(runId),
    // Of 2026.9; there are no runs beside the conversation that could be preserved.
    agentId: name,
    preserveSideRuns: flag,
  },
  strict,
);

export const chatInjectParams = Type.Object(
  {
    sessionKey: Type.String({ minLength: 1 }),
    agentId: name,
    message: Type.String({ minLength: 1 }),
    label: Type.Optional(Type.String({ maxLength: 100 })),
  },
  strict,
);

export const wakeParams = Type.Object(
  {
    mode: Type.Union([Type.Literal("now"), Type.Literal("next-heartbeat")]),
    text: Type.String({ minLength: 1 }),
    sessionKey: name,
    agentId: name,
  },
  // OpenClaw's clients send more than its gateway reads here.
  { additionalProperties: true },
);

/** There is one list of models for all agents and sessions: what newer clients name changes nothing about it. */
export const modelsListParams = Type.Object(
  {
    agentId: name,
    sessionKey: name,
    authProfileId: name,
    provider: name,
    includeDetails: flag,
    includeProviderCapabilities: flag,
    includeDefaultModels: flag,
    preparedOnly: flag,
    refresh: flag,
    view: Type.Optional(
      Type.Union([
        Type.Literal("default"),
        Type.Literal("configured"),
        Type.Literal("provider-config"),
        Type.Literal("all"),
      ]),
    ),
  },
  strict,
);

export const commandsListParams = Type.Object(
  {
    agentId: name,
    sessionKey: name,
    provider: name,
    scope: Type.Optional(Type.Union([Type.Literal("text"), Type.Literal("native"), Type.Literal("both")])),
    includeArgs: flag,
  },
  strict,
);

export const noParams = Type.Object({}, strict);
