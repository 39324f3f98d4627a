import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const raw = Type.String({ minLength: 1 });
const baseHash = Type.Optional(Type.String({ minLength: 1 }));

export const getParams = Type.Object({}, strict);
export const setParams = Type.Object({ raw, baseHash }, strict);
const text = Type.Optional(Type.String());
const applyLike = {
  raw,
  baseHash,
  sessionKey: text,
  note: text,
  restartDelayMs: Type.Optional(Type.Integer({ minimum: 0 })),
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
};
export const applyParams = Type.Object(applyLike, strict);
export const patchParams = Type.Object(
  {
    ...applyLike,
    /** Lists that a patch may shorten, in later releases; here every patch may. */
    replacePaths: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: 256 })),
  },
  strict,
);
export const noParams = Type.Object({}, strict);
export const lookupParams = Type.Object(
  { path: Type.String({ minLength: 1, maxLength: 1_024, pattern: "^[A-Za-z0-9_./\\[\\]\\-*]+$" }) },
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
    baseHash,
  },
  strict,
);
