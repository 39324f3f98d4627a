import path from "node:path";
import type { Redirection, SyntaxNode, Word } from "unbash";
import { findStarts } from "./rules.ts";
import { isKnown } from "./scope.ts";

/** How the words and redirections of a command are read. */
export interface Reader {
  input(redirects: readonly Redirection[], stdin: string | undefined): string | undefined;
  words(word: Word): readonly string[];
  file(name: string): string | undefined;
  readonly cwd: string;
}

/** What a piece of a script prints. */
export function printedBy(node: SyntaxNode, stdin: string | undefined, reader: Reader): string | undefined {
  switch (node.type) {
    case "Command": {
      const input = reader.input(node.redirects, stdin);
      const words = [
        ...(node.name === undefined ? [] : [node.name]),
        ...node.args.filter((arg) => arg.type === "Word"),
      ];
      const argv = words.flatMap((word) => reader.words(word));
      return argv.every(isKnown) ? output(argv, input, reader) : undefined;
    }
    case "Pipeline":
      return node.commands.reduce<string | undefined>((input, part) => printedBy(part, input, reader), stdin);
    case "Redirected":
      return printedBy(node.command, reader.input(node.redirects, stdin), reader);
    case "Subshell":
    case "BraceGroup": {
      const texts = node.body.commands.map((statement) => printedBy(statement.command, stdin, reader));
      return texts.includes(undefined) ? undefined : texts.join("");
    }
    default:
      return undefined;
  }
}

/**
 * What a few harmless programs print, so that `$(echo rm)` and `echo ... | base64 -d | sh`
 * can be read without running anything. Undefined: not known.
 */
export function output(
  argv: readonly string[],
  stdin: string | undefined,
  { file, cwd }: Pick<Reader, "file" | "cwd">,
): string | undefined {
  const [program = "", ...args] = argv;
  switch (program.replace(/^.*\//, "")) {
    case "echo":
      return echo(args);
    case "printf":
      return printf(args);
    case "cat": {
      const texts = args.map((name) => file(name));
      return args.length === 0 ? stdin : texts.includes(undefined) ? undefined : texts.join("");
    }
    case "tee":
      return stdin;
    case "head":
    case "tail":
      return args.length === 0 ? stdin : undefined;
    case "tr":
      return args.length === 2 ? translated(stdin, args[0] ?? "", args[1] ?? "") : undefined;
    case "sed":
      return args.length === 1 ? substituted(stdin, args[0] ?? "") : undefined;
    case "openssl":
      return args.includes("-d") && /base64/.test(args.join(" ")) ? decode(stdin, "base64") : undefined;
    case "find":
      return found(args);
    case "pwd":
      return isKnown(cwd) ? cwd : undefined;
    case "which":
      return args.map((name) => `/usr/bin/${name}\n`).join("");
    case "realpath":
    case "readlink":
    case "dirname":
    case "basename":
      return pathOf(program, args, cwd);
    case "base64":
      return args.some((arg) => /^(-d|-D|-di|--decode|--d.*)$/.test(arg))
        ? decode(stdin, "base64")
        : undefined;
    case "xxd":
      return args.includes("-r") ? decode(stdin?.replaceAll(/\s/g, ""), "hex") : undefined;
    case "rev":
      return stdin === undefined
        ? undefined
        : stdin
            .split("\n")
            .map((line) => Array.from(line).reverse().join(""))
            .join("\n");
    case "true":
    case ":":
      return "";
    default:
      return undefined;
  }
}

function pathOf(program: string, args: readonly string[], cwd: string): string | undefined {
  const [name, ...more] = args.filter((arg) => !arg.startsWith("-"));
  if (name === undefined || more.length > 0 || !isKnown(cwd)) return undefined;
  if (program.endsWith("dirname")) return path.posix.dirname(name);
  return program.endsWith("basename") ? path.posix.basename(name) : path.posix.resolve(cwd, name);
}

/** Only what is found first, and only when nothing is left out: that is where it starts. */
function found(args: readonly string[]): string | undefined {
  const starts = findStarts(args);
  const rest = args.slice(starts.length).filter((arg) => !/^-(print0?|depth|xdev|mount)$/.test(arg));
  if (args.slice(0, starts.length).join() !== starts.join() || rest.length > 0) return undefined;
  return starts.join(args.includes("-print0") ? "\0" : "\n");
}

function translated(text: string | undefined, from: string, to: string): string | undefined {
  const [source, target] = [from, to].map(characters);
  if (text === undefined || source === undefined || target === undefined) return undefined;
  if (target.length === 0 || source.length > maxSet) return undefined;
  const at = (char: string) => source.lastIndexOf(char);
  return Array.from(text, (char) =>
    at(char) === -1 ? char : (target[Math.min(at(char), target.length - 1)] ?? char),
  ).join("");
}

const maxSet = 300;

/** The characters of a set such as `a-z\\n`; classes are not read. */
function characters(set: string): readonly string[] | undefined {
  if (set.includes("[:")) return undefined;
  const list = Array.from(escapes(set));
  return list.flatMap((char, index) => {
    const [before, after] = [list[index - 1], list[index + 1]];
    if (char !== "-" || before === undefined || after === undefined) return [char];
    const [start, end] = [before.codePointAt(0) ?? 0, after.codePointAt(0) ?? 0];
    return Array.from({ length: Math.max(0, Math.min(end - start - 1, 256)) }, (_, step) =>
      String.fromCodePoint(start + 1 + step),
    );
  });
}

/** `s/x/m/` and `y/abc/xyz/` with plain text in them. */
function substituted(text: string | undefined, script: string): string | undefined {
  const match = /^([sy])([/|,#:])((?:(?!\2)[^\\.*[\]^$&])*)\2((?:(?!\2)[^\\&])*)\2(g?)$/.exec(script);
  if (text === undefined || match === null) return undefined;
  const [, kind, , from = "", to = "", all] = match;
  if (kind === "y") return translated(text, from, to);
  return text
    .split("\n")
    .map((line) => (all === "g" ? line.replaceAll(from, () => to) : line.replace(from, () => to)))
    .join("\n");
}

const decode = (text: string | undefined, encoding: "base64" | "hex") =>
  text === undefined ? undefined : Buffer.from(text, encoding).toString();

function echo(args: readonly string[]): string {
  const options = args.findIndex((arg) => !/^-[neE]+$/.test(arg));
  const flags = (options === -1 ? args : args.slice(0, options)).join("");
  const text = (options === -1 ? [] : args.slice(options)).join(" ");
  return (flags.includes("e") ? escapes(text) : text) + (flags.includes("n") ? "" : "\n");
}

function printf(args: readonly string[]): string | undefined {
  if (args[0] === "-v") return "";
  const [format = "", ...values] = args[0] === "--" ? args.slice(1) : args;
  if (/%[^sbd%]/.test(format)) return undefined;
  const decoded = escapes(format);
  const holes = (decoded.match(/%[sbd]/g) ?? []).length;
  const rounds = holes === 0 ? 1 : Math.max(1, Math.ceil(values.length / holes));
  if (decoded.length * rounds > 100_000) return undefined;
  let used = 0;
  return decoded.repeat(rounds).replaceAll(/%([sbd%])/g, (_, kind: string) => {
    if (kind === "%") return "%";
    const value = values[used] ?? "";
    used += 1;
    return kind === "b" ? escapes(value) : value;
  });
}

const letters: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\u0007",
  b: "\b",
  e: "\u001B",
  f: "\f",
  v: "\v",
  "\\": "\\",
};

function escapes(text: string): string {
  return text.replaceAll(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|0?([0-7]{1,3})|(.))/gs,
    (whole, x, u, wide, octal, letter) => {
      const hex: string | undefined = x ?? u ?? wide;
      const code =
        hex !== undefined
          ? Number.parseInt(hex, 16)
          : octal !== undefined
            ? Number.parseInt(octal, 8)
            : undefined;
      if (code !== undefined) return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
      return letters[letter] ?? whole;
    },
  );
}
