import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const flag = Type.Optional(Type.Boolean());
const text = Type.Optional(Type.String());
const textOrNull = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const source = {
  turnSourceChannel: textOrNull,
  turnSourceTo: textOrNull,
  turnSourceAccountId: textOrNull,
  turnSourceThreadId: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Null()])),
};
const decision = Type.Union([Type.Literal("allow-once"), Type.Literal("allow-always"), Type.Literal("deny")]);
/** What clients of protocol 4 say about how the question is to be delivered; here it goes to every approver. */
const delivery = {
  approvalReviewerDeviceIds: Type.Optional(Type.Array(Type.String())),
  requireDeliveryRoute: flag,
  suppressDelivery: flag,
  deliverToApprovalClientsOnly: flag,
};

const nullable = Type.Union([Type.String(), Type.Null()]);
const planV2 = Type.Object(
  {
    version: Type.Literal(2),
    argv: Type.Array(Type.String()),
    cwd: nullable,
    rawCommand: nullable,
    agentId: nullable,
    sessionKey: nullable,
  },
  strict,
);
const plan = Type.Object(
  {
    argv: Type.Array(Type.String()),
    cwd: nullable,
    commandText: Type.String(),
    commandPreview: textOrNull,
    agentId: nullable,
    sessionKey: nullable,
    policySnapshot: Type.Optional(Type.Unknown()),
    mutableFileOperand: Type.Optional(
      Type.Union([
        Type.Object(
          { argvIndex: Type.Integer({ minimum: 0 }), path: Type.String(), sha256: Type.String() },
          strict,
        ),
        Type.Null(),
      ]),
    ),
  },
  strict,
);

export const execRequestParams = Type.Object(
  {
    id: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    command: Type.Optional(name),
    commandArgv: Type.Optional(Type.Array(Type.String())),
    systemRunPlanV2: Type.Optional(planV2),
    systemRunPlan: Type.Optional(plan),
    env: Type.Optional(Type.Record(Type.String(), Type.String())),
    cwd: textOrNull,
    nodeId: Type.Optional(Type.Union([name, Type.Null()])),
    host: textOrNull,
    security: textOrNull,
    ask: textOrNull,
    warningText: textOrNull,
    unavailableDecisions: Type.Optional(Type.Array(Type.String())),
    commandSpans: Type.Optional(Type.Array(Type.Unknown())),
    scope: Type.Optional(Type.Unknown()),
    agentId: textOrNull,
    resolvedPath: textOrNull,
    sessionKey: textOrNull,
    sessionId: textOrNull,
    runId: textOrNull,
    toolCallId: textOrNull,
    ...source,
    ...delivery,
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    twoPhase: flag,
  },
  strict,
);

export const pluginRequestParams = Type.Object(
  {
    pluginId: Type.Optional(name),
    title: Type.String({ minLength: 1, maxLength: 80 }),
    description: Type.String({ minLength: 1, maxLength: 512 }),
    detail: textOrNull,
    severity: Type.Optional(
      Type.Union([Type.Literal("info"), Type.Literal("warning"), Type.Literal("critical")]),
    ),
    toolName: text,
    toolCallId: text,
    mcpTool: Type.Optional(Type.Unknown()),
    scope: Type.Optional(Type.Unknown()),
    allowedDecisions: Type.Optional(Type.Array(decision, { minItems: 1, maxItems: 3 })),
    agentId: text,
    sessionKey: text,
    ...source,
    ...delivery,
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
    twoPhase: flag,
  },
  strict,
);

/** The release that has these methods looks at no other member, and takes what is no text for none. */
export const waitParams = Type.Object({ id: Type.Optional(Type.Unknown()) });
export const resolveParams = Type.Object(
  {
    id: name,
    decision: name,
    grantExpiresInDays: Type.Optional(Type.Number()),
    reviewer: Type.Optional(Type.Unknown()),
  },
  strict,
);
export const getParams = Type.Object({ id: name }, strict);
export const listParams = Type.Object({});
export const noParams = Type.Object({}, strict);

const rules = {
  security: text,
  ask: text,
  askFallback: text,
  autoAllowSkills: flag,
};
const allowed = Type.Object(
  {
    id: Type.Optional(name),
    pattern: Type.String(),
    source: Type.Optional(Type.Literal("allow-always")),
    commandText: text,
    argPattern: text,
    lastUsedAt: Type.Optional(Type.Number({ minimum: 0 })),
    lastUsedCommand: text,
    lastResolvedPath: text,
  },
  strict,
);

/** The protocol's file of rules, as OpenClaw keeps it. */
export const approvalsFile = Type.Object(
  {
    version: Type.Literal(1),
    socket: Type.Optional(Type.Object({ path: text, token: text }, strict)),
    defaults: Type.Optional(Type.Object(rules, strict)),
    agents: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object({ ...rules, allowlist: Type.Optional(Type.Array(allowed)) }, strict),
      ),
    ),
  },
  strict,
);

export const setParams = Type.Object({ file: approvalsFile, baseHash: Type.Optional(name) }, strict);

export const systemRunParams = Type.Object(
  {
    nodeId: name,
    params: Type.Optional(Type.Unknown()),
    requester: Type.Object(
      { principal: name, deviceId: Type.Optional(name), connId: Type.Optional(name) },
      strict,
    ),
  },
  strict,
);
