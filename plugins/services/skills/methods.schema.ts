import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const flag = Type.Optional(Type.Boolean());
const agentId = Type.Optional(name);
const timeoutMs = Type.Optional(Type.Integer({ minimum: 1_000 }));

/** The union of what the releases of protocol 3 and 4 send. */
export const statusParams = Type.Object({ agentId, sessionKey: Type.Optional(name) }, strict);

export const noParams = Type.Object({}, strict);

/** From a hub, or by one of the skill's own installers: which members are needed depends on `source`. */
const hub = Type.Optional(Type.Literal("clawhub"));

export const installParams = Type.Object(
  {
    agentId,
    name: Type.Optional(name),
    installId: Type.Optional(name),
    dangerouslyForceUnsafeInstall: flag,
    source: hub,
    slug: Type.Optional(name),
    version: Type.Optional(name),
    force: flag,
    timeoutMs,
  },
  strict,
);

export const updateParams = Type.Object(
  {
    skillKey: Type.Optional(name),
    enabled: flag,
    apiKey: Type.Optional(Type.String()),
    env: Type.Optional(Type.Record(Type.String(), Type.String(), { maxProperties: 64 })),
    agentId,
    source: hub,
    slug: Type.Optional(name),
    all: flag,
    force: flag,
  },
  strict,
);

export const searchParams = Type.Object(
  { query: Type.Optional(name), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })) },
  strict,
);

export const detailParams = Type.Object({ slug: name }, strict);
