import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const agentId = Type.Optional(Type.String({ minLength: 1 }));

export const catalogParams = Type.Object({ agentId, includePlugins: Type.Optional(Type.Boolean()) }, strict);

export const effectiveParams = Type.Object({ agentId, sessionKey: Type.String({ minLength: 1 }) }, strict);
