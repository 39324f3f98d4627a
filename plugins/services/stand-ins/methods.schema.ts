import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const text = Type.Optional(Type.String());
const name = Type.Optional(Type.String({ minLength: 1 }));
const milliseconds = Type.Optional(Type.Integer({ minimum: 0 }));

/** Early releases looked at nothing here. */
export const memoryParams = Type.Object({ agentId: text });

export const pushParams = Type.Object(
  {
    nodeId: Type.String({ minLength: 1, maxLength: 256 }),
    title: text,
    body: text,
    environment: Type.Optional(Type.String({ enum: ["sandbox", "production"] })),
  },
  strict,
);

export const loginStartParams = Type.Object(
  {
    channel: name,
    force: Type.Optional(Type.Boolean()),
    timeoutMs: milliseconds,
    verbose: Type.Optional(Type.Boolean()),
    accountId: text,
  },
  strict,
);

export const loginWaitParams = Type.Object(
  {
    channel: name,
    sessionKey: name,
    timeoutMs: milliseconds,
    accountId: text,
    currentQrDataUrl: Type.Optional(Type.String({ maxLength: 16_384, pattern: "^data:image/png;base64," })),
  },
  strict,
);
