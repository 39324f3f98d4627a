import { Type } from "typebox";

/** Each of the three is required, under either of its names; that is checked when the tool runs. */
export const editParams = Type.Object(
  {
    path: Type.Optional(Type.String({ description: "Required. File to change, relative to the workspace." })),
    file_path: Type.Optional(Type.String({ description: "Another name for path." })),
    oldText: Type.Optional(
      Type.String({
        description:
          "Required. Text to replace, exactly as it stands in the file, spaces included; it must occur once.",
      }),
    ),
    old_string: Type.Optional(Type.String({ description: "Another name for oldText." })),
    newText: Type.Optional(Type.String({ description: "Required. What to put in its place." })),
    new_string: Type.Optional(Type.String({ description: "Another name for newText." })),
  },
  { additionalProperties: false },
);
