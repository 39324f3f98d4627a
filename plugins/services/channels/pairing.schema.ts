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

const account = Type.String({ minLength: 1, maxLength: 256 });

export const accessListParams = Type.Object(
  { channel: Type.Optional(channel), accountId: Type.Optional(account) },
  strict,
);

const request = { channel, accountId: account, requestId: Type.String({ minLength: 1, maxLength: 64 }) };
export const accessParams = Type.Object(request, strict);

export const accessApproveParams = Type.Object(
  {
    ...request,
    notify: Type.Optional(Type.Boolean()),
    bootstrapCommandOwner: Type.Optional(Type.Boolean()),
  },
  strict,
);
