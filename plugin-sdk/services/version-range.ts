/** The version of this contract: what `engines.sdk` of a manifest is compared with. */
export const sdkVersion = "0.1.0";

type Version = readonly [number, number, number];

const part = /^(?:[xX*]|0|[1-9]\d{0,8})$/;
const isWild = (text: string): boolean => /^[xX*]$/.test(text);

/**
 * Does the range, written as npm writes them, hold the version? Undefined when it is no range
 * that is understood here: pre-releases and `1.0 - 2.0` are not.
 */
export function isInRange(version: string, range: string): boolean | undefined {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const alternatives = range.split("||").map((text) => comparators(text, [major, minor, patch]));
  if (alternatives.includes(undefined)) return undefined;
  return alternatives.includes(true);
}

/** All comparators of one alternative, which a space joins. */
function comparators(text: string, version: Version): boolean | undefined {
  const words = text
    .trim()
    .replaceAll(/([<>=^~])\s+/g, "$1")
    .split(/\s+/);
  const verdicts = words.map((word) => {
    const interval = intervalOf(word);
    return interval && !isBefore(version, interval.from) && (!interval.to || isBefore(version, interval.to));
  });
  return verdicts.includes(undefined) ? undefined : !verdicts.includes(false);
}

/** Every comparator is an interval: `from` is in it, `to` no longer. */
function intervalOf(word: string): { from: Version; to?: Version } | undefined {
  const [, operator, text = ""] = /^(\^|~|>=|>|<=|<|=|)(.*)$/.exec(word) ?? [];
  const parts = text.split(".");
  const wildFrom = parts.findIndex(isWild);
  const given = parts.slice(0, wildFrom === -1 ? 3 : wildFrom).map(Number);
  if (parts.length > 3 || !parts.every((item) => part.test(item))) return undefined;
  if (!parts.slice(given.length).every(isWild)) return undefined;
  const zero: Version = [0, 0, 0];
  const from = bump(given, -1);
  // `>x` and `<x` hold nothing: there is no version beyond all of them.
  const after = given.length === 0 ? undefined : bump(given, given.length - 1);
  const first = given.findIndex((value) => value > 0);
  switch (operator) {
    case ">=":
      return { from };
    case ">":
      return after ? { from: after } : { from: zero, to: zero };
    case "<":
      return { from: zero, to: from };
    case "<=":
      return { from: zero, ...(after && { to: after }) };
    case "~":
      return { from, ...(after && { to: bump(given, Math.min(given.length - 1, 1)) }) };
    case "^":
      return { from, ...(after && { to: bump(given, first === -1 ? given.length - 1 : first) }) };
    default:
      return { from, ...(after && { to: after }) };
  }
}

/** The version with the part at `index` raised and what follows it zero; -1 raises none. */
function bump(given: readonly number[], index: number): Version {
  const raised = (at: number): number => {
    if (index === -1 || at < index) return given[at] ?? 0;
    return at === index ? (given[at] ?? 0) + 1 : 0;
  };
  return [raised(0), raised(1), raised(2)];
}

function isBefore(a: Version, b: Version): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at !== -1 && (a[at] ?? 0) < (b[at] ?? 0);
}
