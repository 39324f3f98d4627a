import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const nameOrNone = Type.Optional(name);
const text = Type.Optional(Type.String());
const names = Type.Optional(Type.Array(name, { maxItems: 1_000 }));
const timeoutMs = Type.Optional(Type.Integer({ minimum: 0 }));

export const noParams = Type.Object({}, strict);
export const nodeParams = Type.Object({ nodeId: name }, strict);
export const requestIdParams = Type.Object({ requestId: name }, strict);
export const renameParams = Type.Object({ nodeId: name, displayName: name }, strict);
export const verifyParams = Type.Object({ nodeId: name, token: name }, strict);

export const pairRequestParams = Type.Object(
  {
    nodeId: Type.String({ minLength: 1, maxLength: 256 }),
    displayName: nameOrNone,
    platform: nameOrNone,
    version: nameOrNone,
    coreVersion: nameOrNone,
    uiVersion: nameOrNone,
    deviceFamily: nameOrNone,
    modelIdentifier: nameOrNone,
    caps: names,
    commands: names,
    remoteIp: nameOrNone,
    silent: Type.Optional(Type.Boolean()),
  },
  strict,
);

export const invokeParams = Type.Object(
  {
    nodeId: name,
    command: name,
    params: Type.Optional(Type.Unknown()),
    timeoutMs,
    idempotencyKey: name,
    sessionKey: nameOrNone,
    turnSourceChannel: text,
    turnSourceTo: text,
    turnSourceAccountId: text,
    turnSourceThreadId: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  },
  strict,
);

/** Nodes send null, or an object, where the protocol wants text or nothing; OpenClaw takes it. */
export const invokeResultParams = Type.Object(
  {
    id: name,
    nodeId: name,
    ok: Type.Boolean(),
    payload: Type.Optional(Type.Unknown()),
    payloadJSON: Type.Optional(Type.Unknown()),
    error: Type.Optional(
      Type.Union([Type.Object({ code: nameOrNone, message: nameOrNone }, strict), Type.Null()]),
    ),
  },
  strict,
);

export const invokeProgressParams = Type.Object(
  {
    invokeId: name,
    nodeId: name,
    seq: Type.Integer({ minimum: 0 }),
    chunk: Type.String({ maxLength: 16_384 }),
  },
  strict,
);

const offers = Type.Array(Type.Object({ name: Type.String({ maxLength: 64 }) }), { maxItems: 1_024 });
export const skillsUpdateParams = Type.Object({ skills: offers }, strict);
export const toolsUpdateParams = Type.Object({ tools: offers }, strict);

export const eventParams = Type.Object(
  { event: name, payload: Type.Optional(Type.Unknown()), payloadJSON: text },
  strict,
);

const file = Type.Object(
  { version: Type.Literal(1) },
  // The node looks at the rest itself: it may be of another release than this gateway.
  { additionalProperties: true },
);
export const approvalsSetParams = Type.Object({ nodeId: name, file, baseHash: nameOrNone }, strict);

/** `browser.request` takes whatever it is given and looks at what it knows. */
export const browserParams = Type.Object({});

export const drainParams = Type.Object(
  { maxItems: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })) },
  strict,
);
export const enqueueParams = Type.Object(
  {
    nodeId: name,
    type: Type.Union([Type.Literal("status.request"), Type.Literal("location.request")]),
    priority: Type.Optional(Type.Union([Type.Literal("normal"), Type.Literal("high")])),
    expiresInMs: Type.Optional(Type.Integer({ minimum: 1_000, maximum: 86_400_000 })),
    wake: Type.Optional(Type.Boolean()),
  },
  strict,
);
export const ackParams = Type.Object({ ids: Type.Array(name, { minItems: 1, maxItems: 1_000 }) }, strict);
export const surfaceParams = Type.Object({ surface: Type.Optional(Type.Unknown()) });
