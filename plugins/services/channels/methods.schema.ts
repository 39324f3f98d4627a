import { Type } from "typebox";

const strict = { additionalProperties: false } as const;

export const channelsStatusParams = Type.Object(
  {
    probe: Type.Optional(Type.Boolean()),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 0 })),
    channel: Type.Optional(Type.String({ minLength: 1 })),
  },
  strict,
);

export const channelParams = Type.Object(
  { channel: Type.String({ minLength: 1 }), accountId: Type.Optional(Type.String()) },
  strict,
);
