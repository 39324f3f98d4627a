import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const channel = Type.String({ minLength: 1, maxLength: 64 });

export const pairingListParams = Type.Object({ channel: Type.Optional(channel) }, strict);

export const pairingApproveParams = Type.Object(
  {
    channel,
    code: Type.String({ minLength: 1, maxLength: 64 }),
    notify: Type.Optional(Type.Boolean({ description: "Tell the sender that they may talk now." })),
  },
  strict,
);

export const pairingRevokeParams = Type.Object(
  { channel, id: Type.String({ minLength: 1, maxLength: 256 }) },
  strict,
);
