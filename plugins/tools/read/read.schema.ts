import { Type } from "typebox";

/** `path` is required, under either of its names; which one was used is checked when the tool runs. */
export const readParams = Type.Object(
  {
    path: Type.Optional(Type.String({ description: "Required. File or folder, relative to the workspace." })),
    file_path: Type.Optional(Type.String({ description: "Another name for path." })),
    offset: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: "First line (or entry of a folder) to return, counted from 1.",
      }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, description: "Lines to return at most (2,000 are, without it)." }),
    ),
  },
  { additionalProperties: false },
);
