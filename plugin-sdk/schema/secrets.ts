/** A secret that stands in the settings themselves rather than by its name. */
export interface PlainSecret {
  /** Dotted place. */
  readonly at: string;
  readonly value: string;
}

/** What a schema marks `writeOnly` and the settings hold in plain text. */
export function* plainSecrets(schema: unknown, value: unknown, at = ""): Generator<PlainSecret> {
  if (typeof schema !== "object" || schema === null) return;
  const {
    writeOnly,
    properties = {},
    additionalProperties,
    items,
  } = schema as Readonly<Record<string, unknown>>;
  if (writeOnly === true && typeof value === "string" && value !== "" && !value.startsWith("secret:"))
    yield { at, value };
  if (typeof value !== "object" || value === null) return;
  for (const [key, member] of Object.entries(value)) {
    const own = Array.isArray(value)
      ? items
      : ((properties as Readonly<Record<string, unknown>>)[key] ?? additionalProperties);
    yield* plainSecrets(own, member, at === "" ? key : `${at}.${key}`);
  }
}
