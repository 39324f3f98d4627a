import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const id = Type.String({ minLength: 1, maxLength: 64 });

export const noParams = Type.Object({}, strict);
/** Early releases looked at nothing here. */
export const anyParams = Type.Object({});
export const idParams = Type.Object({ id }, strict);
export const reloadParams = Type.Object({ id: Type.Optional(id) }, strict);
export const addParams = Type.Object(
  {
    id,
    account: Type.Optional(Type.String({ pattern: "^[a-z0-9][a-z0-9_-]{0,63}$" })),
    values: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 65_536 }))),
  },
  strict,
);
export const runtimeParams = Type.Object(
  {
    id,
    runtime: Type.Union([Type.Literal("wasm"), Type.Literal("worker"), Type.Literal("in-process")]),
    /** More freedom than it would have without being told is given knowingly or not at all. */
    widen: Type.Optional(Type.Boolean()),
  },
  strict,
);
export const logoutParams = Type.Object(
  {
    channel: Type.Optional(id),
    provider: Type.Optional(id),
    account: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  strict,
);

const file = Type.String({ minLength: 1, maxLength: 4_096 });
const word = Type.String({ maxLength: 4_096 });
const token = Type.String({ minLength: 1, maxLength: 64 });

export const stageParams = Type.Object(
  { source: Type.Optional(file), update: Type.Optional(id), baseDir: Type.Optional(file) },
  strict,
);
export const tokenParams = Type.Object({ token }, strict);
const digest = Type.String({ maxLength: 256 });
export const commitParams = Type.Object(
  {
    token,
    digest,
    /** A build of `plugin dev`: it is started at once, and a rollback leads to what was there before the first one. */
    trial: Type.Optional(Type.Object({ since: digest }, strict)),
    accepts: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Literal("permissions"),
          Type.Literal("widened"),
          Type.Literal("confusable"),
          Type.Literal("signer"),
        ]),
      ),
    ),
  },
  strict,
);
export const verifyParams = Type.Object({ id: Type.Optional(id) }, strict);
export const ciParams = Type.Object({ lock: Type.Optional(file), baseDir: Type.Optional(file) }, strict);
export const searchParams = Type.Object(
  { query: word, index: Type.Optional(file), baseDir: Type.Optional(file) },
  strict,
);
export const packParams = Type.Object(
  { folder: file, sign: Type.Optional(Type.Boolean()), out: Type.Optional(file) },
  strict,
);

const absolute = Type.String({ minLength: 1, maxLength: 4_096, pattern: "^(/|[A-Za-z]:[\\\\/])" });
export const linkParams = Type.Object({ folder: absolute }, strict);
export const checkParams = Type.Object(
  { folder: absolute, runtime: Type.Optional(Type.Union([Type.Literal("wasm"), Type.Literal("worker")])) },
  strict,
);
export const logsParams = Type.Object(
  {
    id,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500 })),
    /** Only what came after an earlier answer. */
    cursor: Type.Optional(Type.String({ pattern: "^\\d{1,20}:\\d{1,16}$" })),
  },
  strict,
);

/** `cases.json` of a plugin: calls of its tools and what they have to answer. */
export const casesSchema = Type.Array(
  Type.Object(
    {
      tool: Type.String(),
      params: Type.Unknown(),
      config: Type.Optional(Type.Unknown()),
      expect: Type.Optional(
        Type.Object(
          {
            content: Type.Optional(Type.String()),
            contentMatches: Type.Optional(Type.String()),
            isError: Type.Optional(Type.Boolean()),
          },
          strict,
        ),
      ),
    },
    strict,
  ),
  { maxItems: 1_000 },
);
