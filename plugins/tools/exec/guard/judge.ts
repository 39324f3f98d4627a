import path from "node:path";
import {
  type Assignment,
  type Command,
  forEachChild,
  type ParsedScript,
  parse,
  type Redirection,
  type SyntaxNode,
} from "unbash";
import { bombName } from "./bomb.ts";
import { codeIn, isInterpreter, opaqueCode } from "./code.ts";
import { output } from "./printed.ts";
import { codeProblem, findStarts, isVital, notable, problemOf, readArgs, writeProblem } from "./rules.ts";
import { isKnown, listed, newScope, remember, type Scope, streamOf, unknown } from "./scope.ts";
import { isOutside, isStartFile, strictProblem } from "./strict.ts";
import { changesLoading } from "./variables.ts";
import { expand, expandJoined } from "./words.ts";
import { isWrapper, unwrap } from "./wrappers.ts";

export interface JudgeOptions {
  /** There is no sandbox: whatever cannot be known by reading is refused too. */
  readonly strict: boolean;
  readonly workspace: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The part of it that came with the call. */
  readonly given: Readonly<Record<string, string>>;
}

export interface Verdict {
  /** Why the command must not run. */
  readonly denied?: string;
  /** Every simple command found in it, quotes and wrappers taken off. */
  readonly commands: readonly string[];
}

const maxDepth = 16;
const maxCommands = 2000;
const maxScripts = 1000;
const maxPrinting = 4;
const maxNodes = 200;
const maxScriptLength = 200_000;
const shells = /^(ba|da|a|z|k|mk|fi|rba|tc|c)?sh(\d.*)?$/;

/**
 * Reads a command as a shell would, without running anything, and says whether the hard-deny
 * list forbids it. In a sandbox this only spares people accidents: the sandbox is the boundary.
 */
export function judge(command: string, options: JudgeOptions): Verdict {
  const reading = new Reading(options);
  try {
    readAll(reading, command, options);
  } catch {
    // Whatever the parser trips over, nobody has read the command.
    reading.deny("it cannot be read");
  }
  const denied = reading.denied ?? (options.strict ? reading.unclearReason : undefined);
  return { ...(denied !== undefined && { denied }), commands: reading.commands };
}

function readAll(reading: Reading, command: string, { given }: JudgeOptions): void {
  for (const [name, value] of Object.entries(given)) reading.prefixVariable(name, value);
  reading.script(command, undefined);
  // Letters that only look like others, or are not seen at all, must not hide a name.
  const plain = command.normalize("NFKC").replaceAll(/\p{Cf}/gu, "");
  if (plain === command) return;
  reading.script(plain, undefined);
  reading.unclear("it has invisible or look-alike characters");
}

class Reading {
  denied: string | undefined;
  unclearReason: string | undefined;
  readonly commands: string[] = [];
  readonly #options: JudgeOptions;
  readonly #scope: Scope;
  #depth = 0;
  #scripts = 0;
  #printing = 0;
  #nodes = 0;
  /** Text that may or may not be a command is only searched for what is never allowed. */
  #searching = false;

  constructor(options: JudgeOptions) {
    this.#options = options;
    // In the sandbox HOME is /tmp, but who writes ~ means a home.
    const env = options.strict ? options.env : { ...options.env, HOME: "/home/user" };
    this.#scope = newScope(env, options.cwd);
  }

  deny(reason: string): void {
    this.denied ??= reason;
  }

  unclear(reason: string): void {
    if (!this.#searching) this.unclearReason ??= `without a sandbox it is refused, because ${reason}`;
  }

  script(text: string, stdin: string | undefined): void {
    if (this.denied !== undefined) return;
    if (this.#depth >= maxDepth) return this.deny("it is nested too deeply to be read");
    this.#scripts += 1;
    if (text.length > maxScriptLength) return this.deny("it is too long to be read");
    if (this.#scripts > maxScripts) return this.deny("it has too many scripts in scripts to be read");
    this.#depth += 1;
    this.#enter(parse(text), stdin);
    this.#depth -= 1;
  }

  #search(text: string): void {
    const before = this.#searching;
    this.#searching = true;
    this.script(text, undefined);
    this.#searching = before;
  }

  readonly #printed = (script: ParsedScript | undefined): string | undefined => {
    // Each level is read once for what it runs and once for what it prints.
    if (script === undefined || this.#printing >= maxPrinting) return undefined;
    this.#printing += 1;
    const texts = script.commands.map((statement) => this.#outputOf(statement.command, undefined));
    this.#printing -= 1;
    return texts.includes(undefined) ? undefined : texts.join("");
  };

  #enter(node: SyntaxNode, stdin: string | undefined): void {
    if (this.denied !== undefined) return;
    if (this.#nodes >= maxNodes) return this.deny("it is nested too deeply to be read");
    this.#nodes += 1;
    this.#visit(node, stdin);
    this.#nodes -= 1;
  }

  #visit(node: SyntaxNode, stdin: string | undefined): void {
    switch (node.type) {
      case "Script": {
        const { errors = [] } = node;
        if (errors[0] !== undefined) this.unclear(`it cannot be parsed (${errors[0].message})`);
        break;
      }
      case "Command":
        return this.#command(node, stdin);
      case "Pipeline": {
        let input = stdin;
        for (const part of node.commands) {
          this.#enter(part, input);
          input = this.#outputOf(part, input);
        }
        return;
      }
      case "Redirected":
        return this.#enter(node.command, this.#redirects(node.redirects, stdin));
      case "For": {
        const words = (node.wordlist ?? []).flatMap((word) => expand(word, this.#scope, this.#printed));
        for (const word of words.length > 0 ? words.slice(0, 64) : [unknown]) {
          this.#scope.variables.set(node.name.value, word);
          this.#enter(node.body, stdin);
        }
        break;
      }
      case "Function":
        if (bombName(node) !== undefined)
          return this.deny(`the function "${node.name.value}" starts itself without end (a fork bomb)`);
        break;
      default:
    }
    forEachChild(node, (child) => this.#enter(child, stdin));
  }

  #command(node: Command, stdin: string | undefined): void {
    // What is substituted into a command runs before it.
    forEachChild(node, (child) => this.#enter(child, undefined));
    const assigned = node.prefix.flatMap((part) =>
      part.type === "Assignment" ? [this.#assignment(part, node.name === undefined)] : [],
    );
    for (const [name, value] of assigned) if (node.name !== undefined) this.prefixVariable(name, value);
    const input = this.#redirects(node.redirects, stdin);
    const words = [...(node.name === undefined ? [] : [node.name]), ...node.args];
    const argv = words.flatMap((word) =>
      word.type === "Word"
        ? expand(word, this.#scope, this.#printed)
        : [`${word.name}=${this.#assignment(word, true)[1]}`],
    );
    this.#argv(argv, input);
  }

  #assignment(part: Assignment, keep: boolean): readonly [string, string] {
    const { name, value } = part;
    if (value.type === "ArrayValue") {
      const before = part.append === true ? (this.#scope.arrays.get(name) ?? []) : [];
      const words = value.elements.flatMap((word) => expand(word, this.#scope, this.#printed));
      if (keep) this.#scope.arrays.set(name, listed([...before, ...words]));
      return [name, unknown];
    }
    const before = part.append === true ? (this.#scope.variables.get(name) ?? "") : "";
    const text = before + expandJoined(value, this.#scope, this.#printed);
    if (keep) {
      const known = this.#scope.variables.get(name);
      if (known !== undefined && known !== text && part.append !== true) {
        this.unclear(`"${name}" has several values`);
      }
      if (changesLoading(name)) this.unclear(`it sets ${name}`);
      remember(this.#scope, name, text);
    }
    return [name, text];
  }

  /** `GIT_SSH_COMMAND='rm -rf /' git fetch` hands a program something to run. */
  prefixVariable(name: string, value: string): void {
    if (!changesLoading(name)) return;
    this.unclear(`it sets ${name}, which can make a program run something else`);
    if (isKnown(value) && /\s/.test(value)) this.#search(value);
  }

  #redirects(list: readonly Redirection[], stdin: string | undefined): string | undefined {
    let input = stdin;
    for (const redirect of list) {
      if (redirect.type === "HereDoc") {
        const { parts, text } = redirect.body;
        input = redirect.delimiter?.quoted === true || parts === undefined ? text : unknown;
        if (input === unknown && parts?.every((part) => part.type === "Literal") === true) input = text;
        continue;
      }
      if (redirect.target === undefined) continue;
      const target = expandJoined(redirect.target, this.#scope, this.#printed);
      if (redirect.type === "HereString") input = `${target}\n`;
      else input = this.#redirect(redirect.operator, target, input);
    }
    return input;
  }

  #redirect(operator: string, target: string, input: string | undefined): string | undefined {
    if (/^\/dev\/(tcp|udp)\//.test(target)) this.unclear("it opens a network connection through /dev/tcp");
    if (operator === "<") return streamOf(this.#scope, target)?.text;
    if (/^[<>]&$/.test(operator) && /^(\d*-?|-)$/.test(target)) return input;
    const problem = writeProblem(target);
    if (problem !== undefined) this.deny(problem);
    if (!isKnown(target)) this.unclear("it writes to a file whose name is computed");
    else if (isOutside(target, { workspace: this.#options.workspace, scope: this.#scope }))
      this.unclear(`it writes to ${target}, outside of the workspace`);
    else if (isStartFile(target)) this.unclear(`it writes to ${target}, which other programs run or trust`);
    return input;
  }

  #argv(argv: readonly string[], stdin: string | undefined): void {
    if (this.denied !== undefined || argv.length === 0) return;
    if (this.#depth >= maxDepth) return this.deny("it is nested too deeply to be read");
    if (this.commands.push(argv.join(" ")) > maxCommands)
      return this.deny("it has too many commands to be read");
    this.#depth += 1;
    const [word = "", ...args] = argv;
    this.#known(word, argv);
    const alias = this.#scope.aliases.get(word);
    if (alias !== undefined) this.script([alias, ...args.map(quoted)].join(" "), stdin);
    for (const program of programsOf(word)) this.#program(program, args, stdin);
    this.#depth -= 1;
  }

  #known(word: string, argv: readonly string[]): void {
    if (isKnown(word)) {
      if (/[*?[]/.test(word) && word !== "[" && word !== "[[") this.unclear("the program is a pattern");
      if (!argv.every(isKnown)) this.unclear("a part of it is only known when it runs");
      return;
    }
    this.unclear("the program is only known when it runs");
    const { short, operands } = readArgs(argv.slice(1));
    const target = operands.find((operand) => isVital(operand, this.#scope));
    if (/r/i.test(short) && /f/.test(short) && target !== undefined)
      this.deny(`an unknown program gets -rf ${target}`);
  }

  #program(program: string, args: readonly string[], stdin: string | undefined): void {
    const problem = problemOf(program, args, this.#scope);
    if (problem !== undefined) return this.deny(problem);
    const strict = strictProblem(program, args, { workspace: this.#options.workspace, scope: this.#scope });
    if (strict !== undefined) this.unclear(strict);
    if (shells.test(program)) return this.#shell(program, args, stdin);
    if (isWrapper(program)) return this.#wrapped(program, args, stdin);
    if (isInterpreter(program) || opaqueCode(program, args)) return this.#code(program, args, stdin);
    this.#builtin(program, args, stdin);
  }

  #builtin(program: string, args: readonly string[], stdin: string | undefined): void {
    const [first] = args;
    switch (program) {
      case "eval":
        return this.script(args.join(" "), stdin);
      case "trap":
        return this.script(args.find((arg) => !arg.startsWith("-")) ?? "", undefined);
      case "let":
      case "declare":
      case "typeset":
      case "local":
      case "export":
      case "readonly":
      case "unset":
      case "read":
      case "printf":
      case "test":
      case "[":
        // An index in a name, or a number, is evaluated a second time: quotes do not protect it.
        for (const arg of args.filter((text) => /\[.*(\$\(|`)/s.test(text))) {
          this.unclear(`${program} evaluates its argument`);
          this.#search(arg);
        }
        return;
      case "alias":
        for (const arg of args) {
          const [name = "", ...value] = arg.split("=");
          if (value.length > 0) this.#scope.aliases.set(name, value.join("="));
        }
        return;
      case ".":
      case "source":
        return first === undefined ? undefined : this.#scriptFile(first, stdin);
      case "cd":
      case "pushd": {
        const target = args.find((arg) => !arg.startsWith("-"));
        this.#scope.cwd =
          target === undefined
            ? (this.#scope.variables.get("HOME") ?? unknown)
            : (this.#resolved(target) ?? unknown);
        return;
      }
      case "set":
        if (args.includes("--")) this.#scope.positional = listed(args.slice(args.indexOf("--") + 1));
        return;
      case "ln": {
        const [target, name] = readArgs(args).operands;
        const from = name === undefined ? undefined : this.#resolved(name);
        if (from !== undefined && target !== undefined && args.some((arg) => /^-\w*s|^--symbolic/.test(arg)))
          this.#scope.links.set(from, target);
        return;
      }
      case "find":
        return this.#find(args);
      default:
    }
  }

  #resolved(word: string): string | undefined {
    return isKnown(word) && isKnown(this.#scope.cwd) ? path.posix.resolve(this.#scope.cwd, word) : undefined;
  }

  #find(args: readonly string[]): void {
    for (const [index, arg] of args.entries()) {
      if (!/^-(exec|execdir|ok|okdir)$/.test(arg)) continue;
      const rest = args.slice(index + 1);
      const end = rest.findIndex((word) => word === ";" || word === "+");
      const inner = end === -1 ? rest : rest.slice(0, end);
      const starts = findStarts(args);
      this.#argv(
        inner.flatMap((word) => (word === "{}" ? starts : [word.replaceAll("{}", starts[0] ?? ".")])),
        undefined,
      );
    }
  }

  #wrapped(program: string, args: readonly string[], stdin: string | undefined): void {
    const { argv, assignments, script } = unwrap(program, args);
    for (const assignment of assignments)
      this.prefixVariable(assignment.replace(/=.*/s, ""), assignment.replace(/^[^=]*=/, ""));
    if (script !== undefined) this.script(script, stdin);
    if (program === "watch" || program === "parallel") this.script(argv.join(" "), undefined);
    if (program === "xargs") return this.#xargs(args, argv, stdin);
    if (argv.length > 0) this.#argv(argv, stdin);
  }

  #xargs(args: readonly string[], argv: readonly string[], stdin: string | undefined): void {
    if (argv.length === 0) return;
    if (stdin === undefined) this.unclear("xargs gets arguments that are only known when it runs");
    const words = stdin === undefined ? [unknown] : stdin.split(/\s+/).filter(Boolean);
    const option = args.findIndex((arg) => /^-I|^--replace/.test(arg));
    const hole =
      option === -1
        ? undefined
        : args[option] === "-I"
          ? args[option + 1]
          : args[option]?.replace(/^(-I|--replace=?)/, "") || "{}";
    const filled =
      hole === undefined
        ? [[...argv, ...words]]
        : words.map((word) => argv.map((arg) => arg.replaceAll(hole, word)));
    for (const command of filled.slice(0, 64)) this.#argv(command, undefined);
  }

  #shell(program: string, args: readonly string[], stdin: string | undefined): void {
    const option = args.findIndex((arg) => /^-[a-z]*c[a-z]*$/i.test(arg));
    if (option !== -1) {
      const script = args.slice(option + 1).find((arg) => !arg.startsWith("-"));
      if (script === undefined) return;
      if (!isKnown(script)) this.unclear("it runs a script that is only known when it runs");
      return this.script(script, stdin);
    }
    const file = args.find(
      (arg, index) => !/^[-+]/.test(arg) && !/^[-+]o$|^--(rc|init)-?file$/.test(args[index - 1] ?? ""),
    );
    if (file !== undefined) return this.#scriptFile(file, stdin);
    if (stdin === undefined || !isKnown(stdin))
      this.unclear(`${program} reads its commands from somewhere else`);
    if (stdin !== undefined) this.script(stdin, undefined);
  }

  /** A file of the workspace is the owner's own; what is printed into a shell must be readable here. */
  #scriptFile(file: string, stdin: string | undefined): void {
    const stream = file === "/dev/stdin" || file === "-" ? { text: stdin } : streamOf(this.#scope, file);
    if (stream === undefined) {
      if (isOutside(file, { workspace: this.#options.workspace, scope: this.#scope }))
        this.unclear(`it runs the script ${file}, outside of the workspace`);
      return;
    }
    if (stream.text === undefined || !isKnown(stream.text))
      this.unclear("it runs a script that is only known when it runs");
    if (stream.text !== undefined) this.script(stream.text, undefined);
  }

  #code(program: string, args: readonly string[], stdin: string | undefined): void {
    const { inline, texts, commands } = codeIn(program, args, stdin);
    if (inline) this.unclear(`${program} runs code given on its command line`);
    for (const text of texts) {
      const problem = codeProblem(text);
      if (problem !== undefined) return this.deny(problem);
    }
    for (const text of commands) this.#search(text);
    const streams = args.flatMap((arg) => streamOf(this.#scope, arg)?.text?.split("\n") ?? []);
    for (const line of streams) this.#search(line.replace(/^\t[@-]*/, ""));
  }

  #outputOf(node: SyntaxNode, stdin: string | undefined): string | undefined {
    switch (node.type) {
      case "Command": {
        const input = this.#redirects(node.redirects, stdin);
        const words = [
          ...(node.name === undefined ? [] : [node.name]),
          ...node.args.filter((arg) => arg.type === "Word"),
        ];
        const argv = words.flatMap((word) => expand(word, this.#scope, this.#printed));
        return argv.every(isKnown) ? output(argv, input) : undefined;
      }
      case "Pipeline":
        return node.commands.reduce<string | undefined>((input, part) => this.#outputOf(part, input), stdin);
      case "Redirected":
        return this.#outputOf(node.command, this.#redirects(node.redirects, stdin));
      case "Subshell":
      case "BraceGroup": {
        const texts = node.body.commands.map((statement) => this.#outputOf(statement.command, stdin));
        return texts.includes(undefined) ? undefined : texts.join("");
      }
      default:
        return undefined;
    }
  }
}

/** A name may be a pattern: then it stands for every notable program that it matches. */
function programsOf(word: string): readonly string[] {
  const name = (word.split("/").at(-1) ?? "").toLowerCase();
  if (!/[*?[]/.test(name) || name === "[" || name === "[[") return [name];
  const pattern = name
    .replaceAll(/[.+^$(){}|\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".")
    .replaceAll("[!", "[^");
  try {
    const regex = new RegExp(`^${pattern}$`);
    return notable.filter((program) => regex.test(program));
  } catch {
    return [name];
  }
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
