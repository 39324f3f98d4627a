import { type Static, Type } from "typebox";

const strict = { additionalProperties: false } as const;
const text = Type.Optional(Type.String());
const name = Type.String({ minLength: 1 });
const flag = Type.Optional(Type.Boolean());
/** The last moment that a Date can hold. */
const time = Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 });
const whole = Type.Integer({ minimum: 0 });
const nullable = Type.Optional(Type.Union([name, Type.Null()]));

const schedule = Type.Union([
  Type.Object({ kind: Type.Literal("at"), at: name }, strict),
  Type.Object(
    {
      kind: Type.Literal("every"),
      everyMs: Type.Integer({ minimum: 1, maximum: 8_640_000_000_000_000 }),
      anchorMs: Type.Optional(time),
    },
    strict,
  ),
  Type.Object({ kind: Type.Literal("cron"), expr: name, tz: text, staggerMs: Type.Optional(whole) }, strict),
]);

const sessionTarget = Type.Union([
  Type.Literal("main"),
  Type.Literal("isolated"),
  Type.Literal("current"),
  Type.String({ pattern: "^session:.+" }),
]);
const wakeMode = Type.Union([Type.Literal("next-heartbeat"), Type.Literal("now")]);

const turnFields = {
  model: text,
  thinking: text,
  timeoutSeconds: Type.Optional(Type.Number({ minimum: 0 })),
  allowUnsafeExternalContent: flag,
  lightContext: flag,
  fallbacks: Type.Optional(Type.Array(Type.String())),
  /** Where February's clients said what `delivery` says now. */
  deliver: flag,
  channel: text,
  to: text,
  bestEffortDeliver: flag,
};
const allowed = Type.Array(Type.String());

const payload = Type.Union([
  Type.Object({ kind: Type.Literal("systemEvent"), text: name }, strict),
  Type.Object(
    { kind: Type.Literal("agentTurn"), message: name, ...turnFields, toolsAllow: Type.Optional(allowed) },
    strict,
  ),
]);
const payloadPatch = Type.Union([
  Type.Object({ kind: Type.Literal("systemEvent"), text: Type.Optional(name) }, strict),
  Type.Object(
    {
      kind: Type.Literal("agentTurn"),
      message: Type.Optional(name),
      ...turnFields,
      toolsAllow: Type.Optional(Type.Union([allowed, Type.Null()])),
    },
    strict,
  ),
]);

const channel = Type.Optional(Type.Union([Type.Literal("last"), name]));
const failureMode = Type.Optional(Type.Union([Type.Literal("announce"), Type.Literal("webhook")]));
const deliveryFields = {
  channel,
  threadId: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  accountId: Type.Optional(name),
  bestEffort: flag,
  failureDestination: Type.Optional(
    Type.Object({ channel, to: text, accountId: Type.Optional(name), mode: failureMode }, strict),
  ),
};
const delivery = Type.Union([
  Type.Object({ mode: Type.Literal("none"), ...deliveryFields, to: text }, strict),
  Type.Object({ mode: Type.Literal("announce"), ...deliveryFields, to: text }, strict),
  Type.Object({ mode: Type.Literal("webhook"), ...deliveryFields, to: name }, strict),
]);
const deliveryPatch = Type.Object(
  {
    mode: Type.Optional(
      Type.Union([Type.Literal("none"), Type.Literal("announce"), Type.Literal("webhook")]),
    ),
    ...deliveryFields,
    to: text,
  },
  strict,
);
const failureAlert = Type.Optional(
  Type.Union([
    Type.Literal(false),
    Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 1 })),
        channel,
        to: text,
        cooldownMs: Type.Optional(whole),
        includeSkipped: flag,
        mode: failureMode,
        accountId: Type.Optional(name),
      },
      strict,
    ),
  ]),
);

const runStatus = Type.Union([Type.Literal("ok"), Type.Literal("error"), Type.Literal("skipped")]);
const deliveryStatus = Type.Union([
  Type.Literal("delivered"),
  Type.Literal("not-delivered"),
  Type.Literal("unknown"),
  Type.Literal("not-requested"),
]);
const state = Type.Object(
  {
    nextRunAtMs: Type.Optional(time),
    runningAtMs: Type.Optional(time),
    lastRunAtMs: Type.Optional(time),
    lastRunStatus: Type.Optional(runStatus),
    lastStatus: Type.Optional(runStatus),
    lastError: text,
    lastErrorReason: text,
    lastDurationMs: Type.Optional(whole),
    consecutiveErrors: Type.Optional(whole),
    consecutiveSkipped: Type.Optional(whole),
    lastDelivered: flag,
    lastDeliveryStatus: Type.Optional(deliveryStatus),
    lastDeliveryError: text,
    lastFailureAlertAtMs: Type.Optional(time),
  },
  strict,
);

const common = { description: text, enabled: flag, deleteAfterRun: flag };

/** What `cron.add` takes once its input has been tidied up. */
export const cronAddParams = Type.Object(
  {
    name,
    agentId: nullable,
    sessionKey: nullable,
    ...common,
    schedule,
    sessionTarget,
    wakeMode,
    payload,
    delivery: Type.Optional(delivery),
    failureAlert,
  },
  strict,
);

const cronJobPatch = Type.Object(
  {
    name: Type.Optional(name),
    agentId: nullable,
    sessionKey: nullable,
    ...common,
    schedule: Type.Optional(schedule),
    sessionTarget: Type.Optional(sessionTarget),
    wakeMode: Type.Optional(wakeMode),
    payload: Type.Optional(payloadPatch),
    delivery: Type.Optional(deliveryPatch),
    failureAlert,
    state: Type.Optional(state),
  },
  strict,
);

const byId = { id: name };
const byJobId = { jobId: name };
const patched = {
  patch: cronJobPatch,
  expectedConfigRevision: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
};
const runMode = Type.Optional(
  Type.Union([Type.Literal("due"), Type.Literal("force"), Type.Literal("if-enabled")]),
);

export const cronUpdateParams = Type.Union([
  Type.Object({ ...byId, ...patched }, strict),
  Type.Object({ ...byJobId, ...patched }, strict),
]);
export const cronIdParams = Type.Union([Type.Object(byId, strict), Type.Object(byJobId, strict)]);
export const cronRunParams = Type.Union([
  Type.Object({ ...byId, mode: runMode }, strict),
  Type.Object({ ...byJobId, mode: runMode }, strict),
]);

const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  offset: Type.Optional(whole),
  query: text,
  sortDir: Type.Optional(Type.Union([Type.Literal("asc"), Type.Literal("desc")])),
};
export const cronListParams = Type.Object(
  {
    ...page,
    includeDisabled: flag,
    enabled: Type.Optional(
      Type.Union([Type.Literal("all"), Type.Literal("enabled"), Type.Literal("disabled")]),
    ),
    sortBy: Type.Optional(
      Type.Union([Type.Literal("nextRunAtMs"), Type.Literal("updatedAtMs"), Type.Literal("name")]),
    ),
    /** The rest is asked by clients of protocol 4. */
    agentId: Type.Optional(name),
    sessionKey: Type.Optional(name),
    sessionAgentId: Type.Optional(name),
    scheduleKind: Type.Optional(name),
    lastRunStatus: Type.Optional(
      Type.Union([Type.Literal("all"), ...runStatus.anyOf, Type.Literal("unknown")]),
    ),
    trigger: Type.Optional(
      Type.Union([Type.Literal("all"), Type.Literal("conditional"), Type.Literal("unconditional")]),
    ),
    compact: flag,
    includeDeliveryPreviews: flag,
  },
  strict,
);

const logId = Type.Optional(Type.String({ minLength: 1, pattern: "^[^/\\\\]+$" }));
export const cronRunsParams = Type.Object(
  {
    ...page,
    scope: Type.Optional(Type.Union([Type.Literal("job"), Type.Literal("all")])),
    id: logId,
    jobId: logId,
    statuses: Type.Optional(Type.Array(runStatus, { minItems: 1, maxItems: 3 })),
    status: Type.Optional(Type.Union([Type.Literal("all"), ...runStatus.anyOf])),
    deliveryStatuses: Type.Optional(Type.Array(deliveryStatus, { minItems: 1, maxItems: 4 })),
    deliveryStatus: Type.Optional(deliveryStatus),
    agentId: Type.Optional(name),
    runId: Type.Optional(name),
  },
  strict,
);

export const noParams = Type.Object({}, strict);

/** A job as it is kept and as clients see it. */
const cronJob = Type.Object({
  id: name,
  agentId: Type.Optional(name),
  sessionKey: Type.Optional(name),
  name,
  description: text,
  enabled: Type.Boolean(),
  deleteAfterRun: flag,
  createdAtMs: time,
  updatedAtMs: time,
  schedule,
  sessionTarget,
  wakeMode,
  payload,
  delivery: Type.Optional(delivery),
  failureAlert,
  state,
});

/** One line of the log of runs. */
const runEntry = Type.Object({
  ts: time,
  jobId: name,
  action: Type.Literal("finished"),
  status: runStatus,
  error: text,
  summary: text,
  runAtMs: time,
  durationMs: whole,
  nextRunAtMs: Type.Optional(time),
  delivered: flag,
  deliveryStatus: Type.Optional(deliveryStatus),
  deliveryError: text,
  sessionId: text,
  sessionKey: text,
  runId: text,
  model: text,
  provider: text,
  usage: Type.Optional(Type.Object({ input_tokens: whole, output_tokens: whole, total_tokens: whole })),
});

export type CronJob = Static<typeof cronJob>;
export type CronSchedule = Static<typeof schedule>;
export type CronDelivery = Static<typeof delivery>;
export type CronAdd = Static<typeof cronAddParams>;
export type CronPatch = Static<typeof cronJobPatch>;
export type CronListQuery = Static<typeof cronListParams>;
export type CronRunsQuery = Static<typeof cronRunsParams>;
export type RunEntry = Static<typeof runEntry>;
