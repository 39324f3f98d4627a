import { findStarts } from "./rules.ts";
import { isKnown, type Scope, streamOf, textIn, unknown } from "./scope.ts";
import { isWrapper, unwrap } from "./wrappers.ts";

/** Something that a program would run: words, or text that a shell reads. */
type Start = {
  readonly stdin?: string | undefined;
  /** Folder it runs in, when that is another one. */
  readonly cwd?: string;
} & ({ readonly argv: readonly string[] } | { readonly script: string });

export interface Started {
  readonly starts: readonly Start[];
  /** NAME=value words before it. */
  readonly assignments?: readonly string[];
  /** Why not all of it can be known. */
  readonly unclear?: string;
}

const none: Started = { starts: [] };

/** What a program runs that is told so by its arguments or its input. */
export function startsOf(
  program: string,
  args: readonly string[],
  stdin: string | undefined,
  scope: Scope,
): Started {
  const fed = stdin === undefined ? {} : { stdin };
  switch (program) {
    case "eval":
      return { starts: [{ script: args.join(" "), ...fed }] };
    case "trap":
      return { starts: [{ script: args.find((arg) => !arg.startsWith("-")) ?? "" }] };
    case "jobs":
      return args[0] === "-x" ? { starts: [{ argv: args.slice(1) }] } : none;
    case "compgen":
    case "complete":
    case "mapfile":
    case "readarray":
      return scripts(valuesOf(args, "-C"));
    case "at":
    case "batch":
      return stdin === undefined ? none : scripts([stdin]);
    case "ssh":
      return scripts([remoteCommand(args)]);
    case "git":
      return gitStarts(args);
    case "npm":
    case "pnpm":
    case "yarn":
      return /^(exec|x|dlx)$/.test(args[0] ?? "")
        ? { starts: [{ argv: args.slice(1).filter((arg) => !/^(-y|--yes|--)$/.test(arg)) }] }
        : none;
    case "find":
      return { starts: findCommands(args) };
    case "xargs":
      return xargsStarts(args, stdin, scope);
    default:
      return isWrapper(program) ? wrapperStarts(program, args, fed) : none;
  }
}

const scripts = (texts: readonly string[]): Started => ({ starts: texts.map((script) => ({ script })) });

function valuesOf(args: readonly string[], option: string): readonly string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ""] : []));
}

/** What stands after the host, joined as ssh does it. */
function remoteCommand(args: readonly string[]): string {
  let index = 0;
  while (index < args.length && args[index]?.startsWith("-") === true)
    index += /^-[bcDEeFIiJLlmOopQRSWw]$/.test(args[index] ?? "") ? 2 : 1;
  return args.slice(index + 1).join(" ");
}

function gitStarts(args: readonly string[]): Started {
  const [verb, second] = args.filter((arg) => !arg.startsWith("-"));
  if (verb === "bisect" && second === "run")
    return { starts: [{ argv: args.slice(args.indexOf("run") + 1) }] };
  if (verb === "submodule" && second === "foreach")
    return scripts([
      args
        .slice(args.indexOf("foreach") + 1)
        .filter((arg) => arg !== "--recursive")
        .join(" "),
    ]);
  return verb === "rebase" ? scripts([...valuesOf(args, "-x"), ...valuesOf(args, "--exec")]) : none;
}

function findCommands(args: readonly string[]): readonly Start[] {
  return args.flatMap((arg, index) => {
    if (!/^-(exec|execdir|ok|okdir)$/.test(arg)) return [];
    const rest = args.slice(index + 1);
    const end = rest.findIndex((word) => word === ";" || word === "+");
    const inner = end === -1 ? rest : rest.slice(0, end);
    const starts = findStarts(args);
    return [
      {
        argv: inner.flatMap((word) => (word === "{}" ? starts : [word.replaceAll("{}", starts[0] ?? ".")])),
      },
    ];
  });
}

function wrapperStarts(program: string, args: readonly string[], fed: { stdin?: string }): Started {
  const { argv, assignments, script } = unwrap(program, args);
  const cwd = folderOf(program, args);
  const where = cwd === undefined ? fed : { ...fed, cwd };
  const joined = ["watch", "parallel", "sem", "sg"].includes(program) ? [argv.join(" ")] : [];
  const texts = [...(script === undefined ? [] : [script]), ...joined];
  return {
    assignments,
    starts: [
      ...texts.map((text) => ({ script: text, ...where })),
      ...(argv.length > 0 ? [{ argv, ...where }] : []),
    ],
  };
}

/** `env -C / rm -rf .` */
function folderOf(program: string, args: readonly string[]): string | undefined {
  const short = { env: "-C", sudo: "-D" }[program];
  if (short === undefined) return undefined;
  const index = args.findIndex((arg) => arg === short || arg === "--chdir");
  return index === -1
    ? args.find((arg) => arg.startsWith("--chdir="))?.slice("--chdir=".length)
    : args[index + 1];
}

const maxFilled = 64;

function xargsStarts(args: readonly string[], stdin: string | undefined, scope: Scope): Started {
  const { argv } = unwrap("xargs", args);
  if (argv.length === 0) return none;
  const file = valueOf(args, /^-a$|^--arg-file$/, /^(-a|--arg-file=)(?=.)/);
  const input = file === undefined ? stdin : (streamOf(scope, file)?.text ?? textIn(scope, file));
  const hole = valueOf(args, /^-I$/, /^(-I|-i|--replace=?)/);
  const words =
    input === undefined ? [unknown] : input.split(separatorOf(args, hole !== undefined)).filter(Boolean);
  const mark = hole === "" ? "{}" : hole;
  const filled =
    mark === undefined
      ? [[...argv, ...words]]
      : words.slice(0, maxFilled).map((word) => argv.map((arg) => arg.replaceAll(mark, () => word)));
  return {
    starts: filled.map((command) => ({ argv: command })),
    ...(input === undefined || !isKnown(input)
      ? { unclear: "xargs gets arguments that are only known when it runs" }
      : {}),
  };
}

/** With a hole in the command each line is one argument, unless something else is said. */
function separatorOf(args: readonly string[], byLine: boolean): RegExp | string {
  if (args.some((arg) => arg === "-0" || arg === "--null" || /^-[rtx]*0[rtx]*$/.test(arg))) return "\0";
  const given = valueOf(args, /^-d$|^--delimiter$/, /^(-d|--delimiter=)(?=.)/);
  if (given === undefined) return byLine ? "\n" : /\s+/;
  return ({ "\\n": "\n", "\\t": "\t", "\\0": "\0" } as Record<string, string>)[given] ?? given;
}

function valueOf(args: readonly string[], alone: RegExp, joined: RegExp): string | undefined {
  const index = args.findIndex((arg) => alone.test(arg) || joined.test(arg));
  const arg = args[index];
  if (arg === undefined) return undefined;
  return alone.test(arg) ? args[index + 1] : arg.replace(joined, "");
}

/** What a shell is told to run by its own arguments. */
export interface ShellCall {
  readonly script: string | undefined;
  /** `$0` and `$1`, `$2`, ... of that script. */
  readonly name: string;
  readonly positional: readonly string[];
  readonly startFile: string | undefined;
  readonly file: string | undefined;
}

export function readShell(program: string, args: readonly string[]): ShellCall {
  const option = args.findIndex((arg) => /^-[a-z]*c[a-z]*$/i.test(arg));
  const at = option === -1 ? -1 : args.findIndex((arg, index) => index > option && !arg.startsWith("-"));
  const [name = program, ...positional] = at === -1 ? [] : args.slice(at + 1);
  const isFile = (arg: string, index: number) =>
    !/^[-+]/.test(arg) && !/^[-+]o$|^--(rc|init)-?file$/.test(args[index - 1] ?? "");
  const readsInput = args.some((arg) => /^-[a-z]*s[a-z]*$/.test(arg));
  return {
    script: option === -1 ? undefined : (args[at] ?? ""),
    name,
    positional,
    startFile: args[args.findIndex((arg) => /^--(rc|init)-?file$/.test(arg)) + 1 || args.length],
    file: readsInput ? undefined : args.find(isFile),
  };
}

const dangerous = /^(rm|srm|chmod|chown|chgrp|dd|mv)$/;
/** Programs whose arguments are words, not commands. */
const talking =
  /^(echo|printf|[ef]?grep|rg|ag|ack|git|man|info|tldr|which|type|whereis|whatis|apropos|help|logger|notify-send|say|expr|test|\[|:|true|false|set|read|let|declare|export|local|typeset|readonly|alias|unset|for|case)$/;

/**
 * Commands among the arguments of a program that nobody here knows: it may well run them, as
 * `fakeroot rm -rf /` does.
 */
export function hiddenCommands(program: string, args: readonly string[]): readonly (readonly string[])[] {
  if (talking.test(program)) return [];
  return args.flatMap((word, index) => {
    const name = word.split("/").at(-1) ?? "";
    if (!dangerous.test(name)) return [];
    const rest = args.slice(index + 1);
    return [[name, ...(rest[0] === "--" ? rest.slice(1) : rest)]];
  });
}
