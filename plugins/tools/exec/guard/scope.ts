/** Stands for a piece of text that only a running shell would know. */
export const unknown = "\uE000";

/** What is known of the shell at one point of a command. */
export interface Scope {
  readonly variables: Map<string, string>;
  readonly arrays: Map<string, readonly string[]>;
  readonly aliases: Map<string, string>;
  /** Symbolic links made earlier in the same command, by absolute path. */
  readonly links: Map<string, string>;
  /** What process substitutions print, by number. */
  readonly streams: (string | undefined)[];
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
    streams: [],
    positional: undefined,
    cwd,
  };
}

/** A variable's value; one that nobody set is undefined, because commands get no environment but ours. */
export function valueOf(scope: Scope, name: string): string | undefined {
  if (name === "PWD") return scope.cwd;
  return scope.variables.get(name) ?? (ownVariables.test(name) ? unknown : undefined);
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
