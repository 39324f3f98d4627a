import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const id = Type.String({ minLength: 1, maxLength: 64 });

export const noParams = Type.Object({}, strict);
export const idParams = Type.Object({ id }, strict);
export const reloadParams = Type.Object({ id: Type.Optional(id) }, strict);
export const addParams = Type.Object(
  {
    id,
    account: Type.Optional(Type.String({ pattern: "^[a-z0-9][a-z0-9_-]{0,63}$" })),
    values: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 65_536 }))),
  },
  strict,
);
export const runtimeParams = Type.Object(
  {
    id,
    runtime: Type.Union([Type.Literal("wasm"), Type.Literal("worker"), Type.Literal("in-process")]),
    /** More freedom than it would have without being told is given knowingly or not at all. */
    widen: Type.Optional(Type.Boolean()),
  },
  strict,
);
export const logoutParams = Type.Object(
  { channel: id, account: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })) },
  strict,
);
