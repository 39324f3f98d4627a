/**
 * What plugins use of typebox to write down their schemas. In a component typebox itself would be two thirds of
 * its memory, for builders that are done once the component is built.
 */
type Schema = Readonly<Record<string, unknown>>;
type Options = Readonly<Record<string, unknown>>;

const optional = Symbol("optional");
const isOptional = (schema: Schema): boolean => optional in schema;

function mark(schema: Schema): Schema {
  return Object.defineProperty({ ...schema }, optional, { value: true });
}

function object(properties: Readonly<Record<string, Schema>>, options: Options = {}): Schema {
  const required = Object.keys(properties).filter((key) => !isOptional(properties[key] as Schema));
  return { type: "object", ...(required.length > 0 && { required }), properties, ...options };
}

const plain =
  (type: string) =>
  (options: Options = {}): Schema => ({ type, ...options });

const propertiesOf = (schema: Schema): Record<string, Schema> =>
  schema["properties"] as Record<string, Schema>;

function chosen(schema: Schema, keys: readonly string[], take: boolean, options: Options): Schema {
  const kept = Object.entries(propertiesOf(schema)).filter(([key]) => keys.includes(key) === take);
  return object(Object.fromEntries(kept), options);
}

const builders = {
  Object: object,
  String: plain("string"),
  Number: plain("number"),
  Integer: plain("integer"),
  Boolean: plain("boolean"),
  Null: plain("null"),
  Unknown: (options: Options = {}): Schema => ({ ...options }),
  Any: (options: Options = {}): Schema => ({ ...options }),
  Optional: mark,
  Readonly: (schema: Schema): Schema => schema,
  Unsafe: (schema: Schema): Schema => schema,
  Array: (items: Schema, options: Options = {}): Schema => ({ type: "array", items, ...options }),
  Literal: (value: string | number | boolean, options: Options = {}): Schema => ({
    type: typeof value,
    const: value,
    ...options,
  }),
  Union: (anyOf: readonly Schema[], options: Options = {}): Schema => ({ anyOf, ...options }),
  Intersect: (allOf: readonly Schema[], options: Options = {}): Schema => ({ allOf, ...options }),
  Enum: (values: readonly unknown[] | Readonly<Record<string, unknown>>, options: Options = {}): Schema => ({
    enum: Array.isArray(values) ? values : Object.values(values),
    ...options,
  }),
  Tuple: (items: readonly Schema[], options: Options = {}): Schema => ({
    type: "array",
    additionalItems: false,
    items,
    minItems: items.length,
    ...options,
  }),
  Record: (key: Schema, value: Schema, options: Options = {}): Schema => ({
    type: "object",
    patternProperties: { [(key["pattern"] as string | undefined) ?? "^.*$"]: value },
    ...options,
  }),
  Partial: (schema: Schema, options: Options = {}): Schema =>
    object(
      Object.fromEntries(Object.entries(propertiesOf(schema)).map(([key, value]) => [key, mark(value)])),
      options,
    ),
  Pick: (schema: Schema, keys: readonly string[], options: Options = {}): Schema =>
    chosen(schema, keys, true, options),
  Omit: (schema: Schema, keys: readonly string[], options: Options = {}): Schema =>
    chosen(schema, keys, false, options),
};

type Builders = Readonly<Record<string, (...args: never[]) => Schema>>;

/** `Type` of typebox. A builder that is not there is named while the component is built. */
export const Type: Builders = new Proxy<Builders>(builders, {
  get(target, name: string) {
    if (Object.hasOwn(target, name)) return target[name];
    throw new Error(
      `Type.${name} cannot be used inside a component: put the schema into a file of its own that ends in .schema.ts, which is turned into plain data when the component is built`,
    );
  },
});
