import { Type } from "typebox";

export const weatherParams = Type.Object(
  {
    place: Type.String({
      minLength: 2,
      maxLength: 100,
      description:
        'A town, such as "Vienna", or with its country when the name is not unique: "Paris, Texas".',
    }),
    days: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 7,
        description: "Days of forecast, today included. 3 when not given.",
      }),
    ),
    units: Type.Optional(
      Type.Union([Type.Literal("metric"), Type.Literal("imperial")], {
        description: "The person's own; leave it out when you do not know.",
      }),
    ),
  },
  { additionalProperties: false },
);
