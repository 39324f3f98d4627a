import { Type } from "typebox";

const closed = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const optional = Type.Optional(name);
const flag = Type.Optional(Type.Boolean());
const label = Type.Optional(Type.String({ minLength: 1, maxLength: 512 }));
const attachments = Type.Optional(Type.Array(Type.Unknown()));
const timeoutMs = Type.Optional(Type.Integer({ minimum: 0 }));
const runId = Type.Optional(Type.String({ minLength: 1, maxLength: 1_024 }));

/** The union of what the releases of protocol 3 and 4 send; what rclaw has no such thing for is refused by name. */
export const createParams = Type.Object(
  {
    key: optional,
    idempotencyKey: runId,
    agentId: optional,
    label,
    displayName: Type.Optional(Type.String({ minLength: 1, maxLength: 500 })),
    titleSource: Type.Optional(Type.String({ maxLength: 1_000 })),
    category: label,
    model: optional,
    thinkingLevel: optional,
    fastMode: Type.Optional(Type.Union([Type.Boolean(), Type.Literal("auto")])),
    visibility: Type.Optional(Type.String()),
    parentSessionKey: optional,
    emitCommandHooks: flag,
    succeedsParent: flag,
    timeoutMs,
    task: Type.Optional(Type.String()),
    message: Type.Optional(Type.String()),
    attachments,
    agentRuntime: optional,
    contextWindow: optional,
    permissionMode: optional,
    toolOverrides: Type.Optional(Type.Unknown()),
    incognito: flag,
    catalogId: optional,
    spawnDepth: Type.Optional(Type.Integer({ minimum: 1 })),
    fork: flag,
    forkFrom: optional,
    mentions: Type.Optional(Type.Array(Type.Unknown())),
    projectId: optional,
    projectGitUrl: optional,
    repository: Type.Optional(Type.Unknown()),
    worktree: flag,
    worktreeSource: optional,
    worktreeBaseRef: optional,
    worktreeName: optional,
    execNode: optional,
    cwd: optional,
  },
  closed,
);

export const sendParams = Type.Object(
  {
    key: name,
    agentId: optional,
    message: Type.String(),
    mentions: Type.Optional(Type.Array(Type.Unknown())),
    thinking: Type.Optional(Type.String()),
    attachments,
    timeoutMs,
    idempotencyKey: runId,
  },
  closed,
);

export const abortParams = Type.Object(
  { key: optional, runId, agentId: optional, clearQueued: flag },
  closed,
);

export const getParams = Type.Object(
  {
    key: optional,
    sessionKey: optional,
    agentId: optional,
    limit: Type.Optional(Type.Number()),
  },
  { additionalProperties: true },
);

/** Those of `sessions.list`, which judges them. */
export const subscribeParams = Type.Object({}, { additionalProperties: true });

export const followParams = Type.Object(
  { key: name, agentId: optional, includeApprovals: Type.Optional(Type.Literal(true)) },
  closed,
);

export const noParams = Type.Object({}, closed);

const scope = Type.Object({}, { additionalProperties: true });
export const searchParams = Type.Object(
  {
    query: Type.String({ minLength: 1, maxLength: 4_096 }),
    agentId: optional,
    sessionKeys: Type.Optional(Type.Array(name, { minItems: 1, maxItems: 200 })),
    /** Params of `sessions.list`, which judges them. */
    scope: Type.Optional(scope),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 25 })),
  },
  closed,
);

const group = Type.String({ minLength: 1, maxLength: 512 });
export const groupNameParams = Type.Object({ name: group }, closed);
export const groupRenameParams = Type.Object({ name: group, to: group }, closed);
export const groupsPutParams = Type.Object(
  {
    names: Type.Array(group, { maxItems: 1_000 }),
    sectionOrder: Type.Optional(Type.Array(group, { maxItems: 1_000 })),
  },
  closed,
);

const target = Type.Object(
  {
    key: name,
    agentId: optional,
    expectedSessionId: optional,
    expectedLifecycleRevision: optional,
    expectedSandboxMode: Type.Optional(Type.Null()),
    expectedPermissionMode: Type.Optional(Type.Null()),
    expectedNativeRuntimeConsent: Type.Optional(Type.Null()),
  },
  closed,
);
export const patchManyParams = Type.Object(
  {
    targets: Type.Array(target, { minItems: 1, maxItems: 100 }),
    /** Params of `sessions.patch`, which judges them. */
    patch: scope,
  },
  closed,
);
