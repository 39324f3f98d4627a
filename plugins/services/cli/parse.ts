import { parseArgs } from "node:util";

/** The command was not understood: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** By name, because every command is bundled with a copy of this class of its own. */
export const isUsageError = (error: unknown): error is UsageError =>
  error instanceof Error && error.name === "UsageError";

export interface FlagTypes {
  readonly [name: string]: {
    readonly type: "string" | "boolean";
    readonly short?: string;
    readonly multiple?: boolean;
  };
}

export interface Parsed {
  readonly words: readonly string[];
  flag(name: string): boolean;
  value(name: string): string | undefined;
  values(name: string): readonly string[];
}

/** Edits between two words; two letters the wrong way round are one edit, as it is one slip. */
function distance(a: string, b: string): number {
  const cost = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_unused, j) => (i === 0 ? j : i)),
  );
  const at = (i: number, j: number): number => cost[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i += 1) {
    const row = cost[i] ?? [];
    for (let j = 1; j <= b.length; j += 1) {
      row[j] = Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j] ?? 0, at(i - 2, j - 2) + 1);
    }
  }
  return at(a.length, b.length);
}

/** `; did you mean "x"?` for the nearest of the known words, or nothing when none is near. */
export function didYouMean(given: string, known: readonly string[]): string {
  const ranked = known
    .map((word) => ({
      word,
      far: word.startsWith(given) ? 0.5 : distance(given.toLowerCase(), word.toLowerCase()),
    }))
    .sort((a, b) => a.far - b.far);
  const best = ranked[0];
  return best && best.far <= Math.max(1, Math.floor(given.length / 3))
    ? `; did you mean "${best.word}"?`
    : "";
}

/** Ends a message so that another sentence can follow. */
export const sentence = (message: string): string => (/[.?!]$/.test(message) ? message : `${message}.`);

/** Reads flags and words; anything unknown is a `UsageError` that says what was meant. */
export function parse(args: readonly string[], types: FlagTypes): Parsed {
  const { tokens } = parseArgs({
    args: [...args],
    options: types,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const words: string[] = [];
  const given = new Map<string, string[]>();
  const spelled = Object.keys(types).map((name) => `--${name}`);
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const type = Object.hasOwn(types, token.name) ? types[token.name] : undefined;
    if (!type) throw new UsageError(`unknown flag ${token.rawName}${didYouMean(token.rawName, spelled)}`);
    if (type.type === "boolean" && token.value !== undefined)
      throw new UsageError(`${token.rawName} takes no value`);
    if (
      type.type === "string" &&
      (token.value === undefined || (!token.inlineValue && spelled.includes(token.value)))
    ) {
      throw new UsageError(`${token.rawName} needs a value`);
    }
    const earlier = given.get(token.name) ?? [];
    if (earlier.length > 0 && !type.multiple) throw new UsageError(`${token.rawName} was given twice`);
    given.set(token.name, [...earlier, token.value ?? ""]);
  }
  return {
    words,
    flag: (name) => given.has(name),
    value: (name) => given.get(name)?.[0],
    values: (name) => given.get(name) ?? [],
  };
}

/** The words a subcommand takes, by name: too few or too many is a `UsageError`. */
export function named<const Names extends readonly string[]>(
  words: readonly string[],
  names: Names,
  what: string,
): { readonly [Name in Names[number]]: string } {
  const missing = names[words.length];
  if (missing !== undefined) throw new UsageError(`${what} needs <${missing}>`);
  const extra = words[names.length];
  if (extra !== undefined) throw new UsageError(`${what} takes no further word, and "${extra}" is one`);
  const pairs = names.map((name, index) => [name, words[index] ?? ""]);
  return Object.fromEntries(pairs) as { readonly [Name in Names[number]]: string };
}

/** A count given as a flag. */
export function count(flags: Parsed, name: string, otherwise: number): number {
  const given = flags.value(name);
  if (given === undefined) return otherwise;
  if (!/^[1-9]\d{0,3}$/.test(given))
    throw new UsageError(`--${name} needs a number from 1 to 9999, and "${given}" is none`);
  return Number(given);
}

/** The subcommand a line starts with, and the rest; `otherwise` when it starts with none. */
export function subcommand<const Name extends string>(
  args: readonly string[],
  known: readonly Name[],
  otherwise: Name,
): { readonly name: Name; readonly rest: readonly string[] } {
  const [first, ...rest] = args;
  if (first === undefined || first.startsWith("-")) return { name: otherwise, rest: args };
  const name = known.find((candidate) => candidate === first);
  if (name === undefined) throw new UsageError(`unknown subcommand "${first}"${didYouMean(first, known)}`);
  return { name, rest };
}
