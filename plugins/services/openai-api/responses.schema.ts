import { Type } from "typebox";

const text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const item = Type.Object({ type: Type.Optional(Type.String()) }, { additionalProperties: true });

/** What is read of a request; what clients send on top is theirs. */
export const responseBody = Type.Object(
  {
    model: Type.String(),
    input: Type.Union([Type.String(), Type.Array(item, { maxItems: 10_000 })]),
    instructions: text,
    stream: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    user: text,
    previous_response_id: text,
  },
  { additionalProperties: true },
);
