import { Type } from "typebox";

const strict = { additionalProperties: false } as const;
const hash = Type.String({ pattern: "^sha512-[A-Za-z0-9+/]{86}==$" });
const signer = Type.Object(
  {
    key: Type.String({ pattern: "^[A-Za-z0-9+/]{43}=$" }),
    fingerprint: Type.String({ pattern: "^SHA256:[A-Za-z0-9+/]{43}$" }),
  },
  strict,
);
const version = {
  version: Type.String({ minLength: 1, maxLength: 128 }),
  source: Type.String({ minLength: 1, maxLength: 2_048 }),
  digest: hash,
  files: Type.Record(Type.String(), hash),
  signer: Type.Optional(signer),
  grants: Type.Record(Type.String(), Type.Unknown()),
};

export const lockSchema = Type.Object(
  {
    lockVersion: Type.Literal(1),
    plugins: Type.Record(
      Type.String({ pattern: "^[a-z][a-z0-9-]{0,63}$" }),
      Type.Object(
        {
          ...version,
          previous: Type.Optional(Type.Object(version, strict)),
          earlier: Type.Optional(Type.Object(version, strict)),
        },
        strict,
      ),
    ),
  },
  strict,
);

export const signatureSchema = Type.Object(
  {
    algorithm: Type.Literal("ed25519"),
    key: Type.String({ pattern: "^[A-Za-z0-9+/]{43}=$" }),
    signature: Type.String({ pattern: "^[A-Za-z0-9+/]{86}==$" }),
    rotatedFrom: Type.Optional(
      Type.Object(
        {
          key: Type.String({ pattern: "^[A-Za-z0-9+/]{43}=$" }),
          signature: Type.String({ pattern: "^[A-Za-z0-9+/]{86}==$" }),
        },
        strict,
      ),
    ),
  },
  strict,
);

const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });

export const indexSchema = Type.Object(
  {
    indexVersion: Type.Literal(1),
    plugins: Type.Array(
      Type.Object(
        {
          id: Type.String({ pattern: "^[a-z][a-z0-9-]{0,63}$" }),
          name: text(64),
          description: text(200),
          source: text(2_048),
          version: text(128),
          digest: Type.Optional(hash),
          signer: Type.Optional(Type.String({ pattern: "^SHA256:[A-Za-z0-9+/]{43}$" })),
          keywords: Type.Array(text(64), { maxItems: 32 }),
          contributes: Type.Array(text(128), { maxItems: 64 }),
        },
        strict,
      ),
      { maxItems: 10_000 },
    ),
  },
  strict,
);
