import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const text = Type.Optional(Type.String());

export const noParams = Type.Object({}, strict);

export const tailParams = Type.Object(
  {
    cursor: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 5_000 })),
    maxBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
  },
  strict,
);

export const updateStatusParams = Type.Object({ refreshCheckout: Type.Optional(Type.Boolean()) }, strict);

export const updateParams = Type.Object(
  {
    sessionKey: text,
    note: text,
    restartDelayMs: Type.Optional(Type.Integer({ minimum: 0 })),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    continuationMessage: text,
    deliveryContext: Type.Optional(
      Type.Object(
        {
          channel: text,
          to: text,
          accountId: text,
          threadId: Type.Optional(Type.Union([Type.String(), Type.Number()])),
        },
        strict,
      ),
    ),
    requester: Type.Optional(Type.Object({ channel: text, accountId: text, senderId: text }, strict)),
    target: Type.Optional(
      Type.Object(
        {
          kind: Type.Literal("git"),
          upstreamRef: Type.String({ minLength: 1 }),
          upstreamSha: Type.String({ pattern: "^[a-fA-F0-9]{40}$" }),
        },
        strict,
      ),
    ),
  },
  strict,
);

/** As OpenClaw's programs keep theirs; what else is in the file stays theirs. */
export const identityFile = Type.Object({
  version: Type.Literal(1),
  deviceId: Type.String({ pattern: "^[0-9a-f]{64}$" }),
  publicKeyPem: Type.String({ minLength: 1 }),
  privateKeyPem: Type.String({ minLength: 1 }),
  createdAtMs: Type.Optional(Type.Number()),
});
