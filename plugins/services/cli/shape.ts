/** What came over the protocol is anybody's; these read it without believing it. */
export type Fields = Readonly<Record<string, unknown>>;

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const fields = (value: unknown): Fields => (isFields(value) ? value : {});

export const rows = (value: unknown): readonly Fields[] =>
  Array.isArray(value) ? value.filter(isFields) : [];

export const text = (value: unknown, otherwise = ""): string =>
  typeof value === "string" ? value : otherwise;

export const number = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

export const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
