import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const raw = Type.String({ minLength: 1 });
const baseHash = Type.Optional(Type.String({ minLength: 1 }));

export const getParams = Type.Object({}, strict);
export const setParams = Type.Object({ raw, baseHash }, strict);
export const patchParams = Type.Object(
  {
    raw,
    baseHash,
    sessionKey: Type.Optional(Type.String()),
    note: Type.Optional(Type.String()),
    restartDelayMs: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  strict,
);

export const editParams = Type.Object(
  {
    values: Type.Array(
      Type.Object(
        { path: Type.String({ minLength: 1, maxLength: 512 }), value: Type.Optional(Type.Unknown()) },
        strict,
      ),
      { minItems: 1, maxItems: 64 },
    ),
  },
  strict,
);
