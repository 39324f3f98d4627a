import { Type } from "typebox";

const name = Type.Optional(Type.String({ minLength: 1 }));
const day = Type.Optional(Type.String({ pattern: String.raw`^\d{4}-\d{2}-\d{2}$` }));

/** The union of what the releases of protocol 3 and 4 send. */
export const sessionsUsageParams = Type.Object(
  {
    key: name,
    startDate: day,
    endDate: day,
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    includeContextWeight: Type.Optional(Type.Boolean()),
    mode: Type.Optional(Type.Union([Type.Literal("utc"), Type.Literal("gateway"), Type.Literal("specific")])),
    utcOffset: Type.Optional(Type.String({ pattern: String.raw`^UTC[+-]\d{1,2}(?::[0-5]\d)?$` })),
    agentId: name,
    agentScope: Type.Optional(Type.Literal("all")),
    creatorKey: name,
    range: Type.Optional(
      Type.Union([
        Type.Literal("7d"),
        Type.Literal("30d"),
        Type.Literal("90d"),
        Type.Literal("1y"),
        Type.Literal("all"),
      ]),
    ),
    groupBy: Type.Optional(Type.Union([Type.Literal("instance"), Type.Literal("family")])),
    includeHistorical: Type.Optional(Type.Boolean()),
    timeZone: name,
  },
  { additionalProperties: false },
);

/** The protocol does not judge the params of these: what does not fit counts as not given. */
export const looseParams = Type.Object({}, { additionalProperties: true });
