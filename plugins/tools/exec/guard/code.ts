import { codeProblem } from "./rules.ts";

const inlineOptions: readonly (readonly [RegExp, RegExp])[] = [
  [/^(python|pypy)[\d.]*$/, /^-[a-zA-Z]*c|^-$/],
  [/^perl[\d.]*$/, /^-[a-zA-Z0-9]*[eEM]|^-$/],
  [/^ruby[\d.]*$/, /^-[a-zA-Z]*[er]|^-$/],
  [
    /^(node|nodejs|bun|deno)$/,
    /^(-e|-p|-pe|-r|-i|--eval.*|--print.*|--require.*|--import.*|--loader.*|--experimental-loader.*|eval|-)$/,
  ],
  [/^php[\d.]*$/, /^-[rRBE]/],
  [
    /^(lua|luajit|Rscript|osascript|tclsh|guile|julia|elixir|erl|ghc|scala|groovy)[\d.]*$/i,
    /^-(e|eval|-eval|-execute|E|l)/,
  ],
  [/^(g|m|n|o)?awk$/, /system|getline|\||>|@load/],
  [/^(g|gn)?sed$/, /(^|[;{}\n\d$/!]|-e)\s*[ewrR]($|\s)|[/|#,][gpimIM0-9]*[ew][gpimIM0-9]*($|[;}\n])/],
];

export const isInterpreter = (program: string) => inlineOptions.some(([name]) => name.test(program));

/** Programs that run a command hidden in an option. */
const opaque: readonly (readonly [RegExp, RegExp])[] = [
  [/^(g?tar|bsdtar)$/, /^--(checkpoint-action|to-command|use-compress|rsh|info-script|new-volume)|^-I|^-F/],
  [
    /^git$/,
    /^(-c|--config-env|--exec-path|--upload-pack|--receive-pack|--exec|-x|bisect|filter-branch|--ext-diff|-O|--open-files-in-pager|config)/,
  ],
  [/^(ssh|scp|sftp)$/, /^-[oFSD]/],
  [/^(vim?|nvim|view|ex|ed|emacs|nano|less|more|man)$/, /^[-+]|!/],
  [/^(g?make|ninja|just|cmake)$/, /^(-f|--file|--makefile|--eval|-C|SHELL=|-[ED])|\uE001/],
  [/^(docker|podman|nerdctl|tmux|screen|expect|tclsh|socat)$/, /./],
  [/^(nc|ncat)$/, /^-[ec]/],
  [/^(sqlite3|psql|mysql|mariadb|bc|dc)$/, /\\!|^\s*!|\.(shell|system)\b/],
  [/^sort$/, /^--comp/],
  [/^(rsync)$/, /^(-e|--rsh)/],
  [/^zip$/, /^(-TT|--unzip-command)/],
  [/^(curl|wget)$/, /^(-K|--config|--use-askpass)/],
  [/^(npm|pnpm|yarn)$/, /^(config|exec|--script-shell|--node-options)/],
  [/^(split)$/, /^--filter/],
  [/^(tcpdump)$/, /^-z/],
  [/^(cargo|go)$/, /^(--config|-exec|-toolexec)/],
];

/** The program is used in a way that makes it run something else. */
export function opaqueCode(program: string, args: readonly string[], stdin: string | undefined): boolean {
  const texts = stdin === undefined ? args : [...args, stdin];
  return opaque.some(([name, option]) => name.test(program) && texts.some((text) => option.test(text)));
}

interface Code {
  /** Code of another language stands on the command line or comes through a pipe. */
  readonly inline: boolean;
  /** All of it, as written. */
  readonly texts: readonly string[];
  /** Pieces of it that would be run as shell commands. */
  readonly commands: readonly string[];
}

/** What is wrong with code, and the texts in it that may be commands. */
export interface Reviewed {
  readonly inline: boolean;
  readonly problem?: string;
  readonly searches: readonly string[];
}

/** Everything that an interpreter, or a program that takes code in an option, would run. */
export function reviewed(
  program: string,
  args: readonly string[],
  {
    stdin,
    streams,
    file,
  }: {
    readonly stdin: string | undefined;
    /** What process substitutions among the arguments print. */
    readonly streams: readonly string[];
    /** What a file that it is given holds, where that is known. */
    file(name: string): string | undefined;
  },
): Reviewed {
  const { inline, texts, commands } = codeIn(program, args, stdin);
  const named = inline || !isInterpreter(program) ? undefined : args.find((arg) => !arg.startsWith("-"));
  const source = named === undefined ? undefined : file(named);
  const others = [...streams, ...(source === undefined ? [] : [source])];
  const problem = [...texts, ...others].map(codeProblem).find((found) => found !== undefined);
  return {
    inline,
    ...(problem !== undefined && { problem }),
    searches: [
      ...commands,
      ...others.flatMap((text) => codeIn(program, ["-"], text).commands),
      // The lines of a makefile are commands.
      ...streams.flatMap((text) => text.split("\n").map((line) => line.replace(/^\t[@-]*/, ""))),
    ],
  };
}

/** A file that is run by its name: its first line says what reads it. */
export function reviewedFile(text: string): Reviewed {
  const [line = ""] = text.split("\n", 1);
  const problem = codeProblem(text);
  const program =
    line
      .trim()
      .split(/[\s/]+/)
      .at(-1) ?? "";
  const isShell = !line.startsWith("#!") || /\b(ba|da|z|k)?sh\b/.test(line);
  return {
    inline: false,
    ...(problem !== undefined && { problem }),
    searches: isShell ? [text] : codeIn(program, ["-"], text).commands,
  };
}

/** The code that a program would run. */
function codeIn(program: string, args: readonly string[], stdin: string | undefined): Code {
  const option = inlineOptions.find(([name]) => name.test(program))?.[1];
  const hasFile = args.some((arg) => !arg.startsWith("-"));
  if (option !== undefined && hasFile && !args.some((arg) => option.test(arg)))
    return { inline: false, texts: [], commands: [] };
  const texts = [...args, ...(stdin === undefined ? [] : [stdin])];
  if (option === undefined) {
    const whole = args.filter((arg) => !arg.startsWith("-")).join(" ");
    // Editors and pagers run what follows an exclamation mark.
    const bangs = texts.flatMap((text) => [...text.matchAll(/!(.+)/g)].map((match) => match[1] ?? ""));
    return { inline: true, texts, commands: unique([whole, ...texts, ...texts.flatMap(pieces), ...bangs]) };
  }
  // The strings of a language are commands only where it starts programs.
  return {
    inline: true,
    texts,
    commands: texts.some((text) => starting.test(text)) ? unique(texts.flatMap(nested)) : [],
  };
}

const unique = (texts: readonly string[]) => [...new Set(texts)].slice(0, 200);

const starting =
  /\b(system|exec\w*|spawn\w*|fork\w*|popen\w*|subprocess|check_\w+|qx|passthru|shell_exec|proc_open|getline|Runtime|child_process|eval|Process|run|call)\b|`|\|&?\s*"|(^|=)\d*e\s|[;{}\n]\s*e\s|^s(\W).*\3\w*e/;

/** A string may hold code with strings in it. */
function nested(text: string): readonly string[] {
  const outer = pieces(text);
  const inner = outer
    .filter((piece) => /\\["']/.test(piece))
    .flatMap((piece) => pieces(piece.replaceAll(/\\(["'])/g, "$1")));
  return [...outer, ...inner];
}

function pieces(text: string): readonly string[] {
  const strings = [...text.matchAll(/(["'`])((?:\\.|(?!\1)[^\\])*)\1/gs)].map((match) => match[2] ?? "");
  const perl = [...text.matchAll(/\bq[qwx]?\s*[({[<]([^)}\]>]*)/g)].map((match) => match[1] ?? "");
  const replaced = [...text.matchAll(/^s(\W)(?:\\.|(?!\1)[^\\])*\1((?:\\.|(?!\1)[^\\])*)\1\w*e/gs)].map(
    (match) => (match[2] ?? "").replaceAll(/\\(.)/gs, "$1"),
  );
  const afterSigns = [...text.matchAll(/[=!:]/g)].map(({ index }) => text.slice(index + 1));
  const sed = [...text.matchAll(/(?:^|[;{}\n\d$/])e\s+([^\n;}]+)/g)].map((match) => match[1] ?? "");
  return [...strings, ...perl, ...replaced, ...afterSigns.slice(0, 20), ...sed].filter((piece) =>
    /\S\s+\S|\//.test(piece),
  );
}
