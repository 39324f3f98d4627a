import { Type } from "typebox";

const text = (description: string) => Type.Optional(Type.String({ description }));
const ms = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 3_600_000, description }));

export const nodesParams = Type.Object(
  {
    action: Type.Enum(
      ["status", "describe", "notify", "camera_snap", "screen_record", "location_get", "run", "invoke"],
      { description: "status lists the nodes, describe tells what one can do, the others do it." },
    ),
    node: text("Id, start of the id, or name. Needed for all but status, unless only one node is connected."),
    invokeCommand: text('For invoke: a command from describe, such as "canvas.present".'),
    invokeParams: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: "For invoke: the command's params." }),
    ),
    timeoutMs: ms("How long the node may take. Default 30000."),
    title: text("For notify."),
    body: text("For notify."),
    priority: Type.Optional(
      Type.Enum(["passive", "active", "timeSensitive"], { description: "For notify." }),
    ),
    facing: Type.Optional(Type.Enum(["front", "back"], { description: "For camera_snap. Default front." })),
    maxWidth: Type.Optional(
      Type.Integer({ minimum: 16, maximum: 8_192, description: "For camera_snap, in pixels. Default 1600." }),
    ),
    durationMs: Type.Optional(
      Type.Integer({ minimum: 250, maximum: 300_000, description: "For screen_record. Default 10000." }),
    ),
    screenIndex: Type.Optional(Type.Integer({ minimum: 0, maximum: 64, description: "For screen_record." })),
    includeAudio: Type.Optional(Type.Boolean({ description: "For screen_record." })),
    desiredAccuracy: Type.Optional(
      Type.Enum(["coarse", "balanced", "precise"], { description: "For location_get." }),
    ),
    command: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        maxItems: 1_000,
        description: 'For run: the program and its arguments, such as ["git", "status"].',
      }),
    ),
    cwd: text("For run: the folder on the node."),
    env: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: "For run: variables to set." }),
    ),
  },
  { additionalProperties: false },
);
