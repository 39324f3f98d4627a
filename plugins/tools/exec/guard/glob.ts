/** A shell's pattern as a regular expression for a whole text. */
export function globOf(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^$(){}|\\]/g, "\\$&")
    .replaceAll(/\*+/g, ".*")
    .replaceAll("?", ".")
    .replaceAll("[!", "[^");
  return new RegExp(`^${source}$`, "s");
}

const maxText = 300;
const maxStars = 1;

/** What `${x#pattern}` and its sisters leave; undefined when that would take too long. */
export function withoutMatch(text: string, operator: string, pattern: string): string | undefined {
  if (text.length > maxText || pattern.split("*").length - 1 > maxStars) return undefined;
  try {
    const glob = globOf(pattern);
    const fromStart = operator.startsWith("#");
    const lengths = Array.from({ length: text.length + 1 }, (_, length) => length);
    const ordered = operator.length === 2 ? lengths.reverse() : lengths;
    const taken = ordered.find((length) =>
      glob.test(fromStart ? text.slice(0, length) : text.slice(text.length - length)),
    );
    if (taken === undefined) return text;
    return fromStart ? text.slice(taken) : text.slice(0, text.length - taken);
  } catch {
    return undefined;
  }
}
