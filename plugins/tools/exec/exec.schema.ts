import { Type } from "typebox";

export const execParams = Type.Object(
  {
    command: Type.String({ minLength: 1, maxLength: 100_000, description: "Shell command (bash)." }),
    workdir: Type.Optional(
      Type.String({ description: "Folder to run in, relative to the workspace. Default: the workspace." }),
    ),
    timeout: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 86_400,
        description: "Seconds before the command is stopped; 120 when not given and not configured.",
      }),
    ),
    env: Type.Optional(
      Type.Record(Type.String({ maxLength: 128 }), Type.String({ maxLength: 32_768 }), {
        description:
          "Variables to add. None that make programs load or run something: PATH, LD_*, GIT_SSH, ...",
      }),
    ),
  },
  { additionalProperties: false },
);
