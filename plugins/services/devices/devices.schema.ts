import { Type } from "typebox";

const text = Type.String({ minLength: 1 });
const strict = { additionalProperties: false } as const;
const scopes = Type.Array(text);

/** What a device says of itself; the names are those of the protocol and of OpenClaw's files. */
const about = {
  deviceId: text,
  publicKey: text,
  displayName: Type.Optional(text),
  platform: Type.Optional(text),
  deviceFamily: Type.Optional(text),
  clientId: Type.Optional(text),
  clientMode: Type.Optional(text),
  role: Type.Optional(text),
  roles: Type.Optional(Type.Array(text)),
  scopes: Type.Optional(scopes),
  remoteIp: Type.Optional(text),
};
const time = Type.Number({ minimum: 0 });

/** Files of other releases may have more; it is kept. */
export const pendingFile = Type.Record(
  Type.String(),
  Type.Object({
    ...about,
    requestId: text,
    silent: Type.Optional(Type.Boolean()),
    isRepair: Type.Optional(Type.Boolean()),
    ts: time,
  }),
);

export const pairedFile = Type.Record(
  Type.String(),
  Type.Object({
    ...about,
    approvedScopes: Type.Optional(scopes),
    operatorLabel: Type.Optional(text),
    tokens: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Object({
          token: text,
          role: text,
          scopes,
          createdAtMs: time,
          rotatedAtMs: Type.Optional(time),
          revokedAtMs: Type.Optional(time),
          lastUsedAtMs: Type.Optional(time),
        }),
      ),
    ),
    createdAtMs: time,
    approvedAtMs: time,
    lastSeenAtMs: Type.Optional(time),
  }),
);

export const noParams = Type.Object({}, strict);
export const requestParams = Type.Object({ requestId: text }, strict);
export const deviceParams = Type.Object({ deviceId: text }, strict);
export const renameParams = Type.Object(
  { deviceId: text, label: Type.String({ minLength: 1, maxLength: 64 }) },
  strict,
);
export const revokeParams = Type.Object({ deviceId: text, role: text }, strict);
export const rotateParams = Type.Object(
  { deviceId: text, role: text, scopes: Type.Optional(scopes) },
  strict,
);
