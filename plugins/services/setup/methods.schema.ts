import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const sessionId = Type.String({ minLength: 1 });

export const startParams = Type.Object(
  {
    mode: Type.Optional(Type.Union([Type.Literal("local"), Type.Literal("remote")])),
    workspace: Type.Optional(Type.String({ maxLength: 4_096 })),
    installDaemon: Type.Optional(Type.Boolean()),
    flow: Type.Optional(Type.Union([Type.Literal("setup"), Type.Literal("channels")])),
    channel: Type.Optional(Type.String({ minLength: 1 })),
  },
  strict,
);

export const nextParams = Type.Object(
  {
    sessionId,
    answer: Type.Optional(
      Type.Object({ stepId: Type.String({ minLength: 1 }), value: Type.Optional(Type.Unknown()) }, strict),
    ),
  },
  strict,
);

export const cancelParams = Type.Object({ sessionId, closeInput: Type.Optional(Type.Boolean()) }, strict);

export const statusParams = Type.Object({ sessionId }, strict);

export const authStatusParams = Type.Object(
  {
    refresh: Type.Optional(Type.Boolean()),
    agentId: Type.Optional(Type.String()),
  },
  strict,
);

const filled = Type.String({ pattern: "\\S", maxLength: 8_192 });
export const authLogoutParams = Type.Object(
  {
    provider: filled,
    agentId: Type.Optional(Type.String()),
    credentialType: Type.Optional(Type.Literal("api_key")),
    profileIds: Type.Optional(Type.Array(filled, { maxItems: 256 })),
  },
  strict,
);

/** The protocol takes others as well. */
export const authKeyParams = Type.Object({
  provider: filled,
  apiKey: filled,
  agentId: Type.Optional(Type.String()),
});
