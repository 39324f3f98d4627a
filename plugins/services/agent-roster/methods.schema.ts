import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const name = Type.String({ minLength: 1 });
const text = Type.Optional(Type.String());

/** The union of what the releases of protocol 3 and 4 send; 4 leaves the workspace to the gateway. */
export const createParams = Type.Object(
  {
    name,
    workspace: Type.Optional(name),
    model: Type.Optional(name),
    emoji: text,
    avatar: text,
  },
  strict,
);

export const updateParams = Type.Object(
  {
    agentId: name,
    name: Type.Optional(name),
    workspace: Type.Optional(name),
    /** Null takes the agent's own model away. */
    model: Type.Optional(Type.Union([name, Type.Null()])),
    /** There is one runtime here. */
    agentRuntime: Type.Optional(name),
    emoji: text,
    avatar: text,
  },
  strict,
);

export const deleteParams = Type.Object(
  { agentId: name, deleteFiles: Type.Optional(Type.Boolean()) },
  strict,
);

export const filesParams = Type.Object({ agentId: name }, strict);
export const fileParams = Type.Object({ agentId: name, name }, strict);
export const setFileParams = Type.Object(
  {
    agentId: name,
    name,
    content: Type.String(),
    expectedHash: Type.Optional(Type.String({ pattern: "^[a-fA-F0-9]{64}$" })),
  },
  strict,
);

export const identityParams = Type.Object({ agentId: Type.Optional(name), sessionKey: text }, strict);

export const noParams = Type.Object({}, strict);
