import { parseArgs } from "node:util";
import { didYouMean } from "@rclaw/plugin-sdk/services/nearest";

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
