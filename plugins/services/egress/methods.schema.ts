import { Type } from "typebox";

export const noParams = Type.Object({}, { additionalProperties: false });
export const resolveParams = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: 64 }),
    answer: Type.Union([Type.Literal("once"), Type.Literal("always"), Type.Literal("deny")]),
  },
  { additionalProperties: false },
);
