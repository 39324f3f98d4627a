import { Type } from "typebox";

/** A frame a client sends. `traceparent` and `expectedProfileId` come from protocol 4 and are ignored. */
export const requestFrame = Type.Object(
  {
    type: Type.Literal("req"),
    // Echoed in every answer and written to logs, so not unbounded.
    id: Type.String({ minLength: 1, maxLength: 256 }),
    method: Type.String({ minLength: 1, maxLength: 256 }),
    params: Type.Optional(Type.Unknown()),
    traceparent: Type.Optional(Type.String()),
    expectedProfileId: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);
