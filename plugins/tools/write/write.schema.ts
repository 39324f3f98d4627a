import { Type } from "typebox";

/** `path` is required, under either of its names; which one was used is checked when the tool runs. */
export const writeParams = Type.Object(
  {
    path: Type.Optional(
      Type.String({
        description: "Required. File to write, relative to the workspace; missing folders are made.",
      }),
    ),
    file_path: Type.Optional(Type.String({ description: "Another name for path." })),
    content: Type.String({ description: "The whole new content of the file." }),
  },
  { additionalProperties: false },
);
