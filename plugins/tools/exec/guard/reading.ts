import {
  type Assignment,
  type Command,
  forEachChild,
  type ParsedScript,
  parse,
  type Redirection,
  type SyntaxNode,
} from "unbash";
import { bombName, copiesIn, hasCompactBomb, isEndlessSpawn } from "./bomb.ts";
import { isInterpreter, opaqueCode, type Reviewed, reviewed, reviewedFile } from "./code.ts";
import { printedBy } from "./printed.ts";
import { programsOf, quoted, reevaluating, shells } from "./programs.ts";
import { isVital, problemOf, readArgs, writeProblem } from "./rules.ts";
import {
  isKnown,
  listed,
  newScope,
  placed,
  remember,
  type Scope,
  streamOf,
  textIn,
  unknown,
} from "./scope.ts";
import { hiddenCommands, readShell, startsOf } from "./starts.ts";
import { leaveState, outputsOf, writeFile } from "./state.ts";
import { isOutside, isStartFile, strictProblem } from "./strict.ts";
import { changesLoading } from "./variables.ts";
import { expand, expandJoined } from "./words.ts";

export interface ReadingOptions {
  /** There is no sandbox: whatever cannot be known by reading is refused too. */
  readonly strict: boolean;
  readonly workspace: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The part of it that came with the call. */
  readonly given: Readonly<Record<string, string>>;
  /** What a file of the workspace holds, if it may be a script. */
  source?(file: string): string | undefined;
}

const maxDepth = 16;
const maxCommands = 4000;
const maxScripts = 1000;
const maxPrinting = 4;
const maxNodes = 200;
const maxCalls = 300;
/** Rounds of a loop that are read: fewer of a loop in a loop, and few below that. */
const maxRounds = [32, 8, 4];
const maxScriptLength = 200_000;

/** Reads a command as a shell would, and remembers what is wrong with it. */
export class Reading {
  denied: string | undefined;
  unclearReason: string | undefined;
  readonly commands: string[] = [];
  readonly #options: ReadingOptions;
  readonly #scope: Scope;
  #depth = 0;
  #scripts = 0;
  #printing = 0;
  #nodes = 0;
  #calls = 0;
  #loops = 0;
  /** How many copies of what is read now run side by side. */
  #spawning = 0;
  /** Functions at work, and what `#spawning` was when they were called. */
  readonly #working = new Map<string, number>();
  /** Text that may or may not be a command is only searched for what is never allowed. */
  #searching = false;

  constructor(options: ReadingOptions) {
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
    const script = parse(text);
    if (script.errors !== undefined && script.errors.length > 0 && hasCompactBomb(text))
      this.deny("it is a fork bomb");
    this.#enter(script, stdin);
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
        const beside = copiesIn(node, this.#scope.functions) > 1 ? 1 : 0;
        let input = stdin;
        this.#spawning += beside;
        for (const part of node.commands) {
          this.#enter(part, input);
          input = this.#outputOf(part, input);
        }
        this.#spawning -= beside;
        return;
      }
      case "Statement": {
        const beside = node.background === true ? 1 : 0;
        this.#spawning += beside;
        forEachChild(node, (child) => this.#enter(child, stdin));
        this.#spawning -= beside;
        return;
      }
      case "Redirected":
        this.#enter(node.command, this.#redirects(node.redirects, stdin));
        return this.#written(node.redirects, () => this.#outputOf(node.command, stdin));
      case "While":
      case "ArithmeticFor":
        if (isEndlessSpawn(node)) return this.deny("it starts programs without end (a fork bomb)");
        if (node.type === "While" && stdin?.includes("\n") === true) return this.#lines(node, stdin);
        break;
      case "For": {
        const words = (node.wordlist ?? []).flatMap((word) => expand(word, this.#scope, this.#printed));
        this.#rounds(words.length > 0 ? words : [unknown], (word) => {
          this.#scope.variables.set(node.name.value, word);
          this.#enter(node.body, stdin);
        });
        break;
      }
      case "Function":
        this.#scope.functions.set(node.name.value, node.body);
        if (bombName(node) !== undefined)
          return this.deny(`the function "${node.name.value}" starts itself without end (a fork bomb)`);
        break;
      default:
    }
    forEachChild(node, (child) => this.#enter(child, stdin));
  }

  /** `while read line; do ...; done` sees one line after the other. */
  #lines(node: Extract<SyntaxNode, { type: "While" }>, stdin: string): void {
    this.#rounds(stdin.split("\n").filter(Boolean), (line) => {
      this.#enter(node.clause, line);
      this.#enter(node.body, stdin);
    });
  }

  #rounds(values: readonly string[], read: (value: string) => void): void {
    this.#loops += 1;
    for (const value of values.slice(0, maxRounds[this.#loops - 1] ?? 2)) read(value);
    this.#loops -= 1;
  }

  #command(node: Command, stdin: string | undefined): void {
    // What is substituted into a command runs before it.
    forEachChild(node, (child) => this.#enter(child, undefined));
    const isKept = node.name === undefined || node.name.value === "eval";
    const assigned = node.prefix.flatMap((part) =>
      part.type === "Assignment" ? [this.#assignment(part, isKept)] : [],
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
    this.#written(node.redirects, () => this.#outputOf(node, stdin));
  }

  /** What goes into a file may be run by what follows. */
  #written(redirects: readonly Redirection[], print: () => string | undefined): void {
    for (const { target, append } of outputsOf(redirects)) {
      const word = expandJoined(target, this.#scope, this.#printed);
      const text = print();
      this.#fill(word, text);
      writeFile(this.#scope, word, text, append);
    }
  }

  /** Text that goes into `>(sh)` is what that shell reads. */
  #fill(word: string, text: string | undefined): void {
    const script = this.#scope.sinks.get(word);
    if (script !== undefined) this.#enter(script, text);
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
    const stream = streamOf(this.#scope, value)?.text;
    if (stream !== undefined) this.#search(stream);
    else if (isKnown(value) && /\s/.test(value)) this.#search(value);
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
    if (operator === "<") return streamOf(this.#scope, target)?.text ?? textIn(this.#scope, target);
    if (/^[<>]&$/.test(operator) && /^(\d*-?|-)$/.test(target)) return input;
    const problem = writeProblem(target, this.#scope);
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
    // A long file is nothing wrong; only its beginning is searched.
    if (this.#searching && this.commands.length > maxCommands / 2) return;
    if (this.commands.push(argv.join(" ")) > maxCommands)
      return this.deny("it has too many commands to be read");
    this.#depth += 1;
    const [word = "", ...args] = argv;
    this.#known(word, argv);
    const alias = this.#scope.aliases.get(word);
    if (alias !== undefined) this.script([alias, ...args.map(quoted)].join(" "), stdin);
    const body = this.#scope.functions.get(word);
    if (body !== undefined) this.#call(word, body, { args, stdin });
    else {
      for (const program of programsOf(word)) this.#program(program, args, stdin);
      if (word.includes("/")) this.#file(word, args, stdin);
    }
    this.#depth -= 1;
  }

  #call(
    name: string,
    body: SyntaxNode,
    { args, stdin }: { args: readonly string[]; stdin: string | undefined },
  ): void {
    const before = this.#working.get(name);
    if (before !== undefined) {
      if (this.#spawning > before)
        this.deny(`the function "${name}" starts itself without end (a fork bomb)`);
      return;
    }
    this.#calls += 1;
    if (this.#calls > maxCalls) return this.unclear("it calls functions too often to be read");
    const { positional } = this.#scope;
    this.#scope.positional = listed(args);
    this.#working.set(name, this.#spawning);
    this.#enter(body, stdin);
    this.#working.delete(name);
    this.#scope.positional = positional;
  }

  /** A program by its path: a copy of another one, a link to it, or a script. */
  #file(word: string, args: readonly string[], stdin: string | undefined): void {
    const place = placed(this.#scope, word);
    if (place === undefined) return;
    const original = this.#scope.copies.get(place) ?? this.#scope.links.get(place);
    if (original !== undefined)
      for (const program of programsOf(original)) this.#program(program, args, stdin);
    this.#sourceOf(place);
  }

  /** Reads a script that the same command wrote, or that was there before. */
  #sourceOf(place: string): void {
    const text = this.#textOf(place);
    if (text !== undefined && isKnown(text)) this.#review(reviewedFile(text));
  }

  #textOf(place: string): string | undefined {
    return this.#scope.files.get(place) ?? this.#options.source?.(place);
  }

  #review({ problem, searches }: Reviewed): void {
    if (problem !== undefined) return this.deny(problem);
    for (const text of searches) this.#search(text);
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
    for (const [name = "", ...rest] of hiddenCommands(program, args)) {
      const hidden = problemOf(name, rest, this.#scope);
      if (hidden !== undefined) return this.deny(hidden);
    }
    if (shells.test(program)) return this.#shell(program, args, stdin);
    this.#starts(program, args, stdin);
    if (isInterpreter(program) || opaqueCode(program, args, stdin)) return this.#code(program, args, stdin);
    this.#builtin(program, args, stdin);
  }

  #starts(program: string, args: readonly string[], stdin: string | undefined): void {
    const { starts, assignments = [], unclear } = startsOf(program, args, stdin, this.#scope);
    if (unclear !== undefined) this.unclear(unclear);
    for (const assignment of assignments)
      this.prefixVariable(assignment.replace(/=.*/s, ""), assignment.replace(/^[^=]*=/, ""));
    const { cwd } = this.#scope;
    for (const start of starts) {
      this.#scope.cwd = start.cwd === undefined ? cwd : (placed(this.#scope, start.cwd) ?? unknown);
      if ("script" in start) this.script(start.script, start.stdin);
      else this.#argv(start.argv, start.stdin);
      if (start.cwd !== undefined) this.#scope.cwd = cwd;
    }
  }

  #builtin(program: string, args: readonly string[], stdin: string | undefined): void {
    const [first] = args;
    leaveState(program, args, stdin, this.#scope);
    switch (program) {
      case ".":
      case "source":
        return first === undefined ? undefined : this.#scriptFile(first, stdin);
      case "tee":
        for (const arg of args) this.#fill(arg, stdin);
        return;
      default:
    }
    if (!reevaluating.test(program)) return;
    // An index in a name, or a number, is evaluated a second time: quotes do not protect it.
    for (const arg of args.filter((text) => /\[.*(\$\(|`)/s.test(text))) {
      this.unclear(`${program} evaluates its argument`);
      this.#search(arg);
    }
  }

  #shell(program: string, args: readonly string[], stdin: string | undefined): void {
    const { script, name, positional, startFile, file } = readShell(program, args);
    if (script !== undefined) {
      if (!isKnown(script)) this.unclear("it runs a script that is only known when it runs");
      return this.#with({ name, positional }, () => this.script(script, stdin));
    }
    if (startFile !== undefined) this.#scriptFile(startFile, undefined);
    if (file !== undefined) return this.#scriptFile(file, stdin);
    if (stdin === undefined || !isKnown(stdin))
      this.unclear(`${program} reads its commands from somewhere else`);
    if (stdin !== undefined) this.script(stdin, undefined);
  }

  /** A shell of its own has its own name and arguments. */
  #with({ name, positional }: { name: string; positional: readonly string[] }, read: () => void): void {
    const before = { name: this.#scope.variables.get("0") ?? unknown, positional: this.#scope.positional };
    this.#scope.variables.set("0", name);
    if (positional.length > 0) this.#scope.positional = listed(positional);
    read();
    this.#scope.variables.set("0", before.name);
    this.#scope.positional = before.positional;
  }

  /** A file of the workspace is the owner's own; what is printed into a shell must be readable here. */
  #scriptFile(file: string, stdin: string | undefined): void {
    const isInput = /^(-|\/dev\/(stdin|fd\/0)|\/proc\/self\/fd\/0)$/.test(file);
    const stream = isInput ? { text: stdin } : streamOf(this.#scope, file);
    if (stream === undefined) {
      const place = placed(this.#scope, file);
      if (place !== undefined) this.#sourceOf(place);
      if (isOutside(file, { workspace: this.#options.workspace, scope: this.#scope }))
        this.unclear(`it runs the script ${file}, outside of the workspace`);
      return;
    }
    if (stream.text === undefined || !isKnown(stream.text))
      this.unclear("it runs a script that is only known when it runs");
    if (stream.text !== undefined) this.script(stream.text, undefined);
  }

  #code(program: string, args: readonly string[], stdin: string | undefined): void {
    const review = reviewed(program, args, {
      stdin,
      streams: args.flatMap((arg) => streamOf(this.#scope, arg)?.text ?? []),
      file: (name) => {
        const place = placed(this.#scope, name);
        return place === undefined ? undefined : this.#textOf(place);
      },
    });
    if (review.inline) this.unclear(`${program} runs code given on its command line`);
    this.#review(review);
  }

  #outputOf(node: SyntaxNode, stdin: string | undefined): string | undefined {
    return printedBy(node, stdin, {
      input: (redirects, before) => this.#redirects(redirects, before),
      words: (word) => expand(word, this.#scope, this.#printed),
      file: (name) => textIn(this.#scope, name),
      cwd: this.#scope.cwd,
    });
  }
}
