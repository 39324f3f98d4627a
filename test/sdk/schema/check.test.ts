import { Ajv, type ErrorObject } from "ajv";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compile, describeIssues } from "@rclaw/plugin-sdk/schema/check";

const leaf = fc.oneof(
  fc.record({ type: fc.constant("string"), minLength: fc.nat(3), maxLength: fc.integer({ min: 3, max: 6 }) }),
  fc.record({ type: fc.constant("string"), pattern: fc.constantFrom("^a", "b$", "^[a-c]+$") }),
  fc.record({
    type: fc.constant("integer"),
    minimum: fc.integer({ min: -5, max: 0 }),
    maximum: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ type: fc.constant("number"), exclusiveMinimum: fc.integer({ min: -3, max: 3 }) }),
  fc.record({ type: fc.constantFrom("boolean", "null", "object", "array") }),
  fc.record({ enum: fc.uniqueArray(fc.constantFrom("a", "b", 1, null, true), { minLength: 1 }) }),
  fc.record({ const: fc.constantFrom("a", 1, null) }),
  fc.constant({}),
);
const { schema } = fc.letrec<{ schema: Record<string, unknown> }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.record({
      type: fc.constant("object"),
      properties: fc.dictionary(fc.constantFrom("a", "b", "c/d"), tie("schema"), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
      required: fc.uniqueArray(fc.constantFrom("a", "b"), { maxLength: 2 }),
      additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
    }),
    fc.record({ type: fc.constant("array"), items: tie("schema"), minItems: fc.nat(2) }),
    fc.record({ anyOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ oneOf: fc.array(tie("schema"), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie("schema"), { minLength: 1, maxLength: 2 }) }),
    fc.record({ not: tie("schema") }),
  ),
}));
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom("a", "b", "abc", "", 0, 1, -2, 2.5, true, null, "\u{1F600}"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c/d", "e"), tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
}));

/** OpenClaw words two of ajv's keywords in its own way. */
function asProtocol({ keyword, instancePath, message = "", params }: ErrorObject): string {
  const text =
    keyword === "additionalProperties"
      ? `unexpected property '${String(params["additionalProperty"])}'`
      : message;
  return `${instancePath} ${text}`;
}

test("valid() and issues() agree with ajv, in verdict and wording, on random schemas and values", () => {
  fc.assert(
    fc.property(schema, value, (shape, given) => {
      const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false, addUsedSchema: false });
      const theirs = ajv.compile(shape);
      const ours = compile(shape);
      const expected = theirs(given);
      expect(ours.valid(given)).toBe(expected);
      const words = (theirs.errors ?? []).map(asProtocol);
      const mine = ours.issues(given).map(({ path, message }) => `${path} ${message}`);
      expect(new Set(mine)).toEqual(new Set(words));
    }),
    { numRuns: 3_000 },
  );
  // Three thousand compilations by ajv, which is what takes the time.
}, 180_000);

test("a refusal reads as OpenClaw's does", () => {
  const check = compile({
    type: "object",
    additionalProperties: false,
    required: ["key"],
    properties: {
      key: { type: "string" },
      limit: { type: "integer", maximum: 1_000 },
      mode: { anyOf: [{ const: "a" }, { const: "b" }] },
    },
  });
  const say = (given: unknown): string => describeIssues(check.issues(given));
  expect(say({ key: "x", nope: 1 })).toBe("at root: unexpected property 'nope'");
  expect(say({})).toBe("must have required property 'key'");
  expect(say({ key: "x", limit: 5_000 })).toBe("at /limit: must be <= 1000");
  expect(say({ key: "x", mode: "c" })).toBe(
    "at /mode: must be equal to constant; at /mode: must match a schema in anyOf",
  );
});

test("duplicate items are found by value", () => {
  const check = compile({ type: "array", uniqueItems: true });
  expect(check.valid([{ a: 1 }, { a: 2 }])).toBe(true);
  expect(check.issues([{ a: 1 }, "x", { a: 1 }])).toMatchObject([
    { message: "must NOT have duplicate items (items ## 0 and 2 are identical)" },
  ]);
});

test("references inside a schema are followed, also round in circles", () => {
  const tree = {
    $ref: "#/$defs/node",
    $defs: {
      node: { type: "object", properties: { next: { $ref: "#/$defs/node" } }, additionalProperties: false },
    },
  };
  expect(compile(tree).valid({ next: { next: {} } })).toBe(true);
  expect(compile(tree).valid({ next: { other: 1 } })).toBe(false);
});

test("an inherited property does not count as given", () => {
  const check = compile({ type: "object", required: ["toString"], additionalProperties: false });
  expect(check.valid({})).toBe(false);
});

test("what is wrong in a million places is told in few words, and in the first of them", () => {
  const check = compile({ type: "object", additionalProperties: false });
  const many = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`k${i}`, 1]));
  expect(check.issues(many)).toHaveLength(100);
  const text = describeIssues(check.issues(many));
  expect(text).toHaveLength(2_000);
  expect(text).toMatch(/^at root: unexpected property 'k0'; at root: unexpected property 'k1'; .*…$/);
  expect(describeIssues(check.issues({ ["x".repeat(1_000_000)]: 1 }))).toHaveLength(2_000);
});
