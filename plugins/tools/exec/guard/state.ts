import path from "node:path";
import type { Redirection, Word } from "unbash";
import { output } from "./printed.ts";
import { readArgs } from "./rules.ts";
import { isKnown, listed, placed, remember, type Scope, textIn, unknown } from "./scope.ts";

/** What a builtin, or a program that makes files, leaves behind for the commands after it. */
export function leaveState(
  program: string,
  args: readonly string[],
  stdin: string | undefined,
  scope: Scope,
): void {
  switch (program) {
    case "alias":
      for (const [name, value] of args.map(assignment))
        if (value !== undefined) scope.aliases.set(name, value);
      return;
    case "hash":
      if (args[0] === "-p" && args[2] !== undefined) scope.aliases.set(args[2], args[1] ?? "");
      return;
    case "cd":
    case "pushd": {
      const target = args.find((arg) => !arg.startsWith("-"));
      scope.cwd =
        target === undefined ? (scope.variables.get("HOME") ?? unknown) : (placed(scope, target) ?? unknown);
      return;
    }
    case "set":
      if (args.includes("--")) scope.positional = listed(args.slice(args.indexOf("--") + 1));
      else if (args[0] !== undefined && !/^[-+]/.test(args[0])) scope.positional = listed(args);
      return;
    case "unset":
      for (const name of args) {
        scope.variables.delete(name);
        scope.arrays.delete(name);
      }
      return;
    case "declare":
    case "typeset":
    case "local":
      // The variable stands for another one from now on.
      if (args.some((arg) => /^-\w*n/.test(arg)))
        for (const [name] of args.map(assignment)) scope.variables.set(name, unknown);
      return;
    case "printf":
      if (args[0] === "-v" && args[1] !== undefined)
        remember(
          scope,
          args[1],
          output(["printf", ...args.slice(2)], undefined, { file: noFiles, cwd: scope.cwd }) ?? unknown,
        );
      return;
    case "read":
      return readInto(args, stdin, scope);
    case "mapfile":
    case "readarray":
      scope.arrays.set(
        namesIn(args, "dnOsuCc")[0] ?? "MAPFILE",
        stdin === undefined ? [unknown] : listed(stdin.replace(/\n$/, "").split("\n")),
      );
      return;
    case "ln":
    case "cp":
    case "install":
      return copied(program, args, scope);
    case "tee":
      for (const file of args.filter((arg) => !arg.startsWith("-"))) writeFile(scope, file, stdin);
      return;
    default:
  }
}

const noFiles = (): undefined => undefined;

function assignment(arg: string): readonly [string, string | undefined] {
  const at = arg.indexOf("=");
  return at === -1 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

/** Operands, the values of options among `withValue` left out. */
function namesIn(args: readonly string[], withValue: string): readonly string[] {
  return args.filter(
    (arg, index) =>
      !arg.startsWith("-") &&
      !(/^-\w$/.test(args[index - 1] ?? "") && withValue.includes(args[index - 1]?.[1] ?? "")),
  );
}

function readInto(args: readonly string[], stdin: string | undefined, scope: Scope): void {
  const line = stdin?.split("\n")[0];
  const array = args.findIndex((arg) => /^-\w*a$/.test(arg));
  const words = line?.split(/[ \t]+/).filter(Boolean);
  if (array !== -1) {
    scope.arrays.set(args[array + 1] ?? "", words === undefined ? [unknown] : listed(words));
    return;
  }
  const names = namesIn(args, "dinNptu");
  for (const [index, name] of (names.length > 0 ? names : ["REPLY"]).entries()) {
    const isLast = index >= names.length - 1;
    const value =
      words === undefined ? unknown : isLast ? words.slice(index).join(" ") : (words[index] ?? "");
    remember(scope, name, value);
  }
}

function copied(program: string, args: readonly string[], scope: Scope): void {
  const [target, name] = readArgs(args).operands;
  if (target === undefined || name === undefined) return;
  const from = placed(scope, name);
  if (from === undefined) return;
  if (program === "ln" && args.some((arg) => /^-\w*s|^--symbolic/.test(arg))) {
    scope.links.set(from, target);
    return;
  }
  scope.copies.set(from, target);
  const text = textIn(scope, target);
  if (text !== undefined) scope.files.set(from, text);
}

/** Remembers what a file holds now; `text` is undefined when that is not known. */
export function writeFile(scope: Scope, file: string, text: string | undefined, append = false): void {
  const place = isKnown(file) ? placed(scope, file) : undefined;
  if (place === undefined || path.posix.dirname(place) === "/dev") return;
  const before = append ? (scope.files.get(place) ?? "") : "";
  const whole = before + (text ?? unknown);
  scope.files.set(place, whole.length > maxFileLength ? unknown : whole);
}

const maxFileLength = 100_000;

/** Where the standard output goes. */
export function outputsOf(
  redirects: readonly Redirection[],
): readonly { readonly target: Word; readonly append: boolean }[] {
  return redirects.flatMap((redirect) => {
    if (redirect.type !== "Redirect" || redirect.target === undefined) return [];
    const { operator, target, descriptor } = redirect;
    const isOutput =
      descriptor === undefined || (descriptor.type === "FileDescriptor" && descriptor.value === 1);
    return isOutput && /^(&?>>?|>\|)$/.test(operator) ? [{ target, append: operator.endsWith(">>") }] : [];
  });
}
