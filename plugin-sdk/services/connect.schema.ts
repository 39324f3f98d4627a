import { Type } from "typebox";

const text = Type.String({ minLength: 1 });
const texts = Type.Array(text);
const closed = { additionalProperties: false };

/**
 * What `connect` carries: the union of every release of protocols 3 and 4. OpenClaw
 * lists the client ids it knows; we take any, so that a new app need not wait for us.
 * The mode decides how a client is treated (presence, Origin), so it stays a list.
 */
export const connectParams = Type.Object(
  {
    minProtocol: Type.Integer({ minimum: 1 }),
    maxProtocol: Type.Integer({ minimum: 1 }),
    client: Type.Object(
      {
        id: text,
        version: text,
        platform: text,
        mode: Type.Union([
          Type.Literal("webchat"),
          Type.Literal("cli"),
          Type.Literal("ui"),
          Type.Literal("backend"),
          Type.Literal("node"),
          Type.Literal("probe"),
          Type.Literal("test"),
          Type.Literal("worker"),
        ]),
        displayName: Type.Optional(text),
        deviceFamily: Type.Optional(text),
        modelIdentifier: Type.Optional(text),
        instanceId: Type.Optional(text),
        buildId: Type.Optional(Type.String()),
        timeZone: Type.Optional(Type.String()),
      },
      closed,
    ),
    caps: Type.Optional(texts),
    commands: Type.Optional(texts),
    permissions: Type.Optional(Type.Record(Type.String(), Type.Boolean())),
    pathEnv: Type.Optional(Type.String()),
    role: Type.Optional(text),
    scopes: Type.Optional(texts),
    device: Type.Optional(
      Type.Object(
        {
          id: text,
          publicKey: text,
          signature: text,
          signedAt: Type.Integer({ minimum: 0 }),
          nonce: Type.Optional(text),
        },
        closed,
      ),
    ),
    auth: Type.Optional(
      Type.Object(
        {
          token: Type.Optional(Type.String()),
          password: Type.Optional(Type.String()),
          deviceToken: Type.Optional(Type.String()),
          bootstrapToken: Type.Optional(Type.String()),
          approvalRuntimeToken: Type.Optional(Type.String()),
          agentRuntimeIdentityToken: Type.Optional(Type.String()),
        },
        closed,
      ),
    ),
    locale: Type.Optional(Type.String()),
    userAgent: Type.Optional(Type.String()),
  },
  closed,
);
