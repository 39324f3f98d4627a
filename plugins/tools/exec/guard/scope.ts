import path from "node:path";
import type { ParsedScript, SyntaxNode } from "unbash";

/** Stands for a piece of text that only a running shell would know. */
export const unknown = "\uE000";

/** What is known of the shell at one point of a command. */
export interface Scope {
  readonly variables: Map<string, string>;
  readonly arrays: Map<string, readonly string[]>;
  readonly aliases: Map<string, string>;
  /** Symbolic links made earlier in the same command, by absolute path. */
  readonly links: Map<string, string>;
  /** Files copied earlier in the same command, and from where. */
  readonly copies: Map<string, string>;
  /** Files written earlier in the same command, and what is in them. */
  readonly files: Map<string, string>;
  readonly functions: Map<string, SyntaxNode>;
  /** What process substitutions print, by number. */
  readonly streams: (string | undefined)[];
  /** Scripts that read what is written to `>(...)`, by the word that stands for it. */
  readonly sinks: Map<string, ParsedScript>;
  positional: readonly string[] | undefined;
  /** Absolute, or `unknown`. */
  cwd: string;
}

/** Shell variables that have a value although nobody set them. */
const ownVariables =
  /^(RANDOM|SRANDOM|SECONDS|EPOCH\w*|LINENO|HOSTNAME|HOSTTYPE|MACHTYPE|OSTYPE|UID|EUID|PPID|GROUPS|BASH\w*|DIRSTACK|FUNCNAME|PIPESTATUS|REPLY|SHELL\w*|SHLVL|OLDPWD|OPTARG|OPTIND|_|COMP_\w*|READLINE_\w*|MAPFILE|COPROC|[-*@0-9])$/;

export function newScope(env: Readonly<Record<string, string>>, cwd: string): Scope {
  return {
    variables: new Map([
      ...Object.entries(env),
      ["IFS", " \t\n"],
      ["0", "bash"],
      ["?", "0"],
      ["#", "0"],
      ["$", "1"],
      ["!", "1"],
    ]),
    arrays: new Map(),
    aliases: new Map(),
    links: new Map(),
    copies: new Map(),
    files: new Map(),
    functions: new Map(),
    streams: [],
    sinks: new Map(),
    positional: undefined,
    cwd,
  };
}

/** A variable's value; one that nobody set is undefined, because commands get no environment but ours. */
export function valueOf(scope: Scope, name: string): string | undefined {
  if (name === "PWD") return scope.cwd;
  if (scope.positional !== undefined) {
    if (/^[1-9]\d*$/.test(name)) return scope.positional[Number(name) - 1];
    if (name === "@" || name === "*") return scope.positional.join(" ");
  }
  return scope.variables.get(name) ?? (ownVariables.test(name) ? unknown : undefined);
}

/** The absolute path of a word, links not followed. */
export function placed(scope: Scope, word: string): string | undefined {
  if (!isKnown(word) || !(word.startsWith("/") || isKnown(scope.cwd))) return undefined;
  return path.posix.resolve(scope.cwd, word);
}

/** What a file that the same command wrote holds. */
export function textIn(scope: Scope, file: string): string | undefined {
  const place = placed(scope, file);
  return place === undefined ? undefined : scope.files.get(place);
}

/** Longer values are not followed: doubled often enough, a variable would fill the memory. */
const maxValueLength = 2000;
const maxListLength = 256;

export function remember(scope: Scope, name: string, value: string): void {
  scope.variables.set(name, value.length > maxValueLength ? unknown : value);
}

/** A list of words that `"$@"` or an array stands for. */
export function listed(words: readonly string[]): readonly string[] {
  const fits = words.length <= maxListLength && words.every((word) => word.length <= maxValueLength);
  return fits ? words : [unknown];
}

const streamMark = "\uE001";

/** A word for what a process substitution prints. */
export function streamWord(scope: Scope, text: string | undefined): string {
  return `${streamMark}${scope.streams.push(text) - 1}${streamMark}`;
}

/** What is printed into the file a word stands for, if the word is a process substitution: `{ text }`, unknown inside. */
export function streamOf(scope: Scope, word: string): { readonly text: string | undefined } | undefined {
  const match = /^\uE001(\d+)\uE001$/.exec(word);
  return match === null ? undefined : { text: scope.streams[Number(match[1])] };
}

/** Nothing in it is left to a running shell. */
export function isKnown(text: string): boolean {
  return !text.includes(unknown) && !text.includes(streamMark);
}
