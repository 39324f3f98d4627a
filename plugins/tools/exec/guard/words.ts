import type { ParameterExpansionPart, ParsedScript, ProcessSubstitutionPart, Word, WordPart } from "unbash";
import { parse } from "unbash";
import { withoutMatch } from "./glob.ts";
import { isKnown, remember, type Scope, streamWord, unknown, valueOf } from "./scope.ts";

/** Says what a script prints, or undefined when only running it would tell. */
export type Printed = (script: ParsedScript | undefined) => string | undefined;

const maxWords = 256;
const maxLength = 100_000;

/** The words that a shell makes of one word: quotes gone, variables filled in, braces and white space split. */
export function expand(word: Word, scope: Scope, printed: Printed): readonly string[] {
  const { parts } = word;
  if (parts === undefined) return [tilde(word.text, word.value, scope)];
  if (parts.some((part) => part.type === "BraceExpansion")) return braces(word, scope, printed);
  const list = listOf(word, scope);
  if (list !== undefined) return list;
  const fields = [""];
  let quoted = false;
  let length = 0;
  const append = (text: string) => void (fields[fields.length - 1] += text);
  for (const [index, part] of parts.entries()) {
    if (
      part.type === "SingleQuoted" ||
      part.type === "AnsiCQuoted" ||
      part.type === "DoubleQuoted" ||
      part.type === "LocaleString"
    )
      quoted = true;
    const text = textOf(part, scope, printed);
    length += text.length;
    if (length > maxLength) return [unknown];
    if (!isExpansion(part))
      append(index === 0 && part.type === "Literal" ? tilde(part.text, text, scope) : text);
    else splitInto(fields, text, valueOf(scope, "IFS") ?? " \t\n");
  }
  // A word that is nothing but empty expansions disappears.
  return fields.filter((field) => field !== "" || quoted).slice(0, maxWords);
}

/** The same as one string, as in an assignment or between double quotes. */
export function expandJoined(word: Word, scope: Scope, printed: Printed): string {
  if (word.parts === undefined) return tilde(word.text, word.value, scope);
  let joined = "";
  for (const part of word.parts) {
    joined += textOf(part, scope, printed);
    if (joined.length > maxLength) return unknown;
  }
  return joined;
}

function isExpansion(part: WordPart): boolean {
  return (
    part.type === "SimpleExpansion" || part.type === "ParameterExpansion" || part.type === "CommandExpansion"
  );
}

function splitInto(fields: string[], text: string, separators: string): void {
  let inField = true;
  for (const char of text) {
    if (separators.includes(char)) inField = false;
    else {
      if (!inField && fields.at(-1) !== "") fields.push("");
      inField = true;
      fields[fields.length - 1] += char;
    }
  }
  if (!inField && fields.at(-1) !== "") fields.push("");
}

function tilde(text: string, value: string, scope: Scope): string {
  if (!text.startsWith("~")) return value;
  const [, user = ""] = /^~([^/]*)/.exec(value) ?? [];
  const home =
    user === ""
      ? valueOf(scope, "HOME")
      : user === "+"
        ? scope.cwd
        : user === "root"
          ? "/root"
          : `/home/${user}`;
  return (home ?? unknown) + value.slice(user.length + 1);
}

/** `$@`, `"$@"`, `"${a[@]}"`: several words from one. */
function listOf(word: Word, scope: Scope): readonly string[] | undefined {
  const name = /^"?\$\{?(?:([@*])|([A-Za-z_]\w*)\[[@*]\])\}?"?$/.exec(word.text);
  if (name === null) return undefined;
  if (name[2] === undefined) return scope.positional ?? [unknown];
  return scope.arrays.get(name[2]) ?? [unknown];
}

/** `{rm,-rf,/}`: written out as text and read again, since each alternative may hold quotes and variables. */
function braces(word: Word, scope: Scope, printed: Printed): readonly string[] {
  const texts = writeOut(word.text);
  if (texts === undefined) return [unknown];
  return texts.flatMap((text) => {
    const [statement] = parse(`: ${text}`).commands;
    if (statement?.command.type !== "Command") return [unknown];
    return statement.command.args.flatMap((arg) => {
      if (arg.type !== "Word" || arg.parts?.some((part) => part.type === "BraceExpansion") === true)
        return [unknown];
      return expand(arg, scope, printed);
    });
  });
}

function writeOut(text: string): readonly string[] | undefined {
  const group = innermost(text);
  if (group === undefined) return [text];
  const { start, end, commas } = group;
  const inside = text.slice(start + 1, end);
  const cuts = [start, ...commas, end];
  const pieces =
    commas.length > 0
      ? cuts.slice(1).map((cut, index) => text.slice((cuts[index] ?? 0) + 1, cut))
      : range(inside);
  if (pieces === undefined) return undefined;
  const out: string[] = [];
  for (const piece of pieces) {
    const rest = writeOut(text.slice(0, start) + piece + text.slice(end + 1));
    if (rest === undefined || out.length + rest.length > maxWords) return undefined;
    out.push(...rest);
  }
  return out;
}

/** The first group without another inside it, quotes and `${` left alone. */
function innermost(text: string): { start: number; end: number; commas: number[] } | undefined {
  let open: { start: number; commas: number[] } | undefined;
  let quote = "";
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index] ?? "";
    if (char === "\\" && quote !== "'") index += 1;
    else if (quote !== "") quote = char === quote ? "" : quote;
    else if (char === "'" || char === '"') quote = char;
    else if (char === "{" && text[index - 1] !== "$") open = { start: index, commas: [] };
    else if (char === "," && open !== undefined) open.commas.push(index);
    else if (char === "}" && open !== undefined) {
      if (open.commas.length > 0 || text.slice(open.start, index).includes(".."))
        return { start: open.start, end: index, commas: open.commas };
      open = undefined;
    }
  }
  return undefined;
}

function range(inside: string): readonly string[] | undefined {
  const match = /^(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])$/.exec(inside);
  if (match === null) return undefined;
  const [from = "", to = ""] = match.slice(1);
  const letters = Number.isNaN(Number(from));
  const [a, b] = letters ? [from.charCodeAt(0), to.charCodeAt(0)] : [Number(from), Number(to)];
  const count = Math.abs(b - a) + 1;
  if (Number.isNaN(b) || count > maxWords) return undefined;
  return Array.from({ length: count }, (_, index) => (a <= b ? a + index : a - index)).map((n) =>
    letters ? String.fromCharCode(n) : String(n),
  );
}

function textOf(part: WordPart, scope: Scope, printed: Printed): string {
  switch (part.type) {
    case "Literal":
    case "SingleQuoted":
    case "AnsiCQuoted":
    case "Glob":
      return part.value;
    case "DoubleQuoted":
    case "LocaleString":
      return part.parts.map((child) => textOf(child, scope, printed)).join("");
    case "SimpleExpansion":
      return valueOf(scope, part.text.slice(1)) ?? "";
    case "ParameterExpansion":
      return parameter(part, scope, printed);
    case "CommandExpansion":
      return printed(part.script)?.replace(/\n+$/, "") ?? unknown;
    case "ProcessSubstitution":
      return substituted(part, scope, printed);
    case "ArithmeticExpansion":
      return isPlainSum(part.text, scope) ? "0" : unknown;
    default:
      return unknown;
  }
}

function substituted(part: ProcessSubstitutionPart, scope: Scope, printed: Printed): string {
  const word = streamWord(scope, part.operator === "<" ? printed(part.script) : undefined);
  if (part.operator === ">" && part.script !== undefined) scope.sinks.set(word, part.script);
  return word;
}

/** Numbers and variables that hold numbers: whatever comes out, it is a number too. */
function isPlainSum(text: string, scope: Scope): boolean {
  const names = text.match(/[A-Za-z_]\w*/g) ?? [];
  return (
    /^\$\(\([\w\s+*/%()-]*\)\)$/.test(text) && names.every((name) => /^\d*$/.test(valueOf(scope, name) ?? ""))
  );
}

function parameter(part: ParameterExpansionPart, scope: Scope, printed: Printed): string {
  const { operation } = part;
  if (part.index !== undefined) return element(part, scope) ?? unknown;
  const direct = valueOf(scope, part.parameter);
  const value = part.prefix === "!" ? (direct === undefined ? undefined : valueOf(scope, direct)) : direct;
  if (part.prefix === "#")
    return value === undefined || !value.includes(unknown) ? String((value ?? "").length) : unknown;
  if (operation === undefined) return value ?? "";
  if (value?.includes(unknown) === true) return unknown;
  const literal = (word: Word) => expandJoined(word, scope, printed);
  switch (operation.type) {
    case "Default": {
      const isSet = value !== undefined && (value !== "" || !operation.operator.startsWith(":"));
      const other = literal(operation.operand);
      if (operation.operator.endsWith("+")) return isSet ? other : "";
      if (!isSet && operation.operator.endsWith("=")) remember(scope, part.parameter, other);
      return isSet ? (value ?? "") : other;
    }
    case "CaseModification": {
      if (operation.operand !== undefined && operation.operand.text !== "") return unknown;
      const text = value ?? "";
      if (operation.operator === ",,") return text.toLowerCase();
      if (operation.operator === "^^") return text.toUpperCase();
      const first =
        operation.operator === "," ? text.slice(0, 1).toLowerCase() : text.slice(0, 1).toUpperCase();
      return first + text.slice(1);
    }
    case "Slice": {
      const [offset, length] = [operation.offset, operation.length].map((word) =>
        word === undefined ? undefined : Number(literal(word)),
      );
      if (offset === undefined || Number.isNaN(offset) || Number.isNaN(length ?? 0)) return unknown;
      const rest = (value ?? "").slice(offset);
      return length === undefined ? rest : rest.slice(0, length);
    }
    case "Remove":
      return removed(value ?? "", operation.operator, literal(operation.operand));
    case "Replace": {
      const [from, to] = [literal(operation.pattern), literal(operation.replacement)];
      if (/[*?[\]]/.test(from) || operation.operator === "/#" || operation.operator === "/%") return unknown;
      return operation.operator === "//"
        ? (value ?? "").replaceAll(from, () => to)
        : (value ?? "").replace(from, () => to);
    }
    default:
      return unknown;
  }
}

/** `${a[0]}`, `${a[*]}`, `${#a[@]}`. */
function element(part: ParameterExpansionPart, scope: Scope): string | undefined {
  const list = scope.arrays.get(part.parameter);
  if (list === undefined || part.operation !== undefined || !list.every(isKnown)) return undefined;
  const index = part.index?.text ?? "";
  const all = index === "@" || index === "*";
  if (part.prefix === "#") return all ? String(list.length) : undefined;
  if (all) return list.join(" ");
  return /^\d+$/.test(index) ? (list[Number(index)] ?? "") : undefined;
}

function removed(value: string, operator: string, pattern: string): string {
  if (/[*?[\]]/.test(pattern)) return withoutMatch(value, operator, pattern) ?? unknown;
  if (operator.startsWith("#")) return value.startsWith(pattern) ? value.slice(pattern.length) : value;
  return value.endsWith(pattern) ? value.slice(0, value.length - pattern.length) : value;
}
