/** What looks like nothing, or reorders the rest: it must not hide a part of what a person allows. */
const hidden =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u115f\u1160\u3164\uffa0]/gu;

/** Text as a person has to see it before they allow it: on one line, with nothing in it that cannot be seen. */
export const plainly = (text: string): string =>
  text.replaceAll(
    hidden,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`,
  );

/** Trimmed; undefined for what is no text, or none that says anything. */
export function said(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
}

export const plainlyOrNull = (value: unknown): string | null => {
  const text = said(value);
  return text === undefined ? null : plainly(text);
};
