import { Type as guestType } from "@rclaw/plugin-sdk/guest/type";
import { Type as realType } from "typebox";
import { expect, test } from "vitest";

/** Schemas of all kinds that plugins write, by whichever builders. */
function schemas(Type: typeof realType): unknown[] {
  const person = Type.Object(
    { name: Type.String({ minLength: 1 }), age: Type.Optional(Type.Integer({ minimum: 0 })) },
    { additionalProperties: false },
  );
  return [
    person,
    Type.Object({}),
    Type.Array(person, { maxItems: 3, description: "People." }),
    Type.Union([Type.Literal("a"), Type.Literal(1), Type.Literal(true), Type.Null()]),
    Type.Tuple([Type.Number(), Type.Boolean()]),
    Type.Record(Type.String(), Type.Unknown()),
    Type.Record(Type.String({ pattern: "^x" }), Type.Any()),
    Type.Intersect([person, Type.Object({ more: Type.String() })]),
    Type.Partial(person),
    Type.Pick(person, ["name"]),
    Type.Omit(person, ["name"]),
    Type.Enum(["a", "b"]),
    Type.Unsafe({ type: "string", format: "x" }),
  ];
}

test("schemas are the same as typebox makes them", () => {
  const ours = schemas(guestType as unknown as typeof realType);
  const theirs = schemas(realType);
  for (const [index, schema] of theirs.entries())
    expect(JSON.parse(JSON.stringify(ours[index]))).toEqual(JSON.parse(JSON.stringify(schema)));
});

test("a builder that is not there says what to do", () => {
  expect(() => guestType["Cyclic"]).toThrow(/\.schema\.ts/);
});
