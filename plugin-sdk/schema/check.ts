import type { JsonSchema } from "../index.ts";
import { compilePattern } from "./pattern.ts";

export interface Issue {
  /** JSON pointer of the value at fault; "" is the root. */
  readonly path: string;
  readonly keyword: string;
  readonly message: string;
}

/** Answers valid or not; with `out`, gathers every issue. `path` is only built on that second, slow pass. */
type Rule = (value: unknown, path: string, out: Issue[] | undefined) => boolean;

/**
 * Compiles a JSON Schema to closures at first use. We have our own because the
 * protocol fixes the wording of every refusal (it is ajv's), typebox's compiler
 * costs 25 MB and ajv 8 MB of memory that an idle gateway must not spend, and
 * plugins' schemas are only known at run time. Checked against ajv by property test.
 */
export interface Check {
  valid(value: unknown): boolean;
  /** Empty when valid. */
  issues(value: unknown): readonly Issue[];
}

export function compile(schema: object): Check {
  const scope: Scope = { root: schema as JsonSchema, refs: new Map(), followed: 0 };
  const rule = ruleOf(schema, scope);
  return {
    valid(value) {
      scope.followed = 0;
      return rule(value, "", undefined);
    },
    issues(value) {
      const out: Issue[] = [];
      scope.followed = 0;
      rule(value, "", out);
      return out;
    },
  };
}

/** Compiles each schema once, when it is first needed. */
export function compiler(): (schema: object) => Check {
  const checks = new WeakMap<object, Check>();
  return (schema) => {
    let check = checks.get(schema);
    if (!check) checks.set(schema, (check = compile(schema)));
    return check;
  };
}

/** A value that is wrong in a million places is not worth a million sentences, nor one with a name of megabytes. */
const maxIssues = 100;
const maxDescription = 2_000;

/** The protocol's one-line form: `at /limit: must be <= 1000; must have required property 'key'`. */
export function describeIssues(issues: readonly Issue[]): string {
  const parts = issues.map(({ path, keyword, message }) => {
    if (path) return `at ${path}: ${message}`;
    return keyword === "additionalProperties" ? `at root: ${message}` : message;
  });
  const text = [...new Set(parts)].join("; ");
  return text.length > maxDescription ? `${text.slice(0, maxDescription - 1)}…` : text;
}

interface Scope {
  readonly root: JsonSchema;
  readonly refs: Map<string, Rule>;
  /** References followed for the value that is looked at now. */
  followed: number;
}

/** Forty lines of references to references can mean a billion rules. */
const maxFollowed = 100_000;

function ruleOf(schema: unknown, scope: Scope): Rule {
  if (schema === true || schema === undefined) return () => true;
  if (schema === false)
    return (_value, path, out) => fail(out, path, "false schema", "boolean schema is false");
  const node = schema as JsonSchema;
  if (typeof node["$ref"] === "string") return refRule(node["$ref"], scope);

  const typed = typeRule(node);
  const rest = [
    ...numberRules(node),
    ...stringRules(node),
    ...anyRules(node, scope),
    ...arrayRules(node, scope),
    ...objectRules(node, scope),
  ];
  return (value, path, out) => {
    let ok = typed === undefined || typed(value, path, out);
    // Like ajv, a value of the wrong type is still held against the rules that apply to what it is.
    if (!ok && !out) return false;
    for (const rule of rest) {
      if (rule(value, path, out)) continue;
      if (!out) return false;
      ok = false;
    }
    return ok;
  };
}

function fail(out: Issue[] | undefined, path: string, keyword: string, message: string): false {
  if (out && out.length < maxIssues) out.push({ path, keyword, message });
  return false;
}

function refRule(ref: string, scope: Scope): Rule {
  const known = scope.refs.get(ref);
  if (known) return known;
  let target: Rule | undefined;
  const lazy: Rule = (value, path, out) => {
    if (++scope.followed > maxFollowed)
      throw new TypeError(`schema follows more than ${maxFollowed} references; does ${ref} lead to itself?`);
    target ??= ruleOf(resolveRef(ref, scope.root), scope);
    return target(value, path, out);
  };
  scope.refs.set(ref, lazy);
  return lazy;
}

function resolveRef(ref: string, root: JsonSchema): unknown {
  let node: unknown = root;
  for (const part of ref.replace(/^#\/?/, "").split("/").filter(Boolean)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    node = isObject(node) && Object.hasOwn(node, key) ? node[key] : undefined;
  }
  if (node === undefined) throw new TypeError(`schema refers to ${ref}, which does not exist`);
  return node;
}

const types: Record<string, (value: unknown) => boolean> = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number" && Number.isFinite(value),
  integer: (value) => Number.isInteger(value),
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  array: Array.isArray,
  object: isObject,
};

function typeRule(node: JsonSchema): Rule | undefined {
  if (node["type"] === undefined) return undefined;
  const names = [node["type"]].flat() as string[];
  const tests = names.map((name) => types[name] ?? (() => false));
  const message = `must be ${names.join(",")}`;
  return (value, path, out) => tests.some((test) => test(value)) || fail(out, path, "type", message);
}

function numberRules(node: JsonSchema): Rule[] {
  const limits: [string, string, (value: number, limit: number) => boolean][] = [
    ["maximum", "<=", (value, limit) => value <= limit],
    ["minimum", ">=", (value, limit) => value >= limit],
    ["exclusiveMaximum", "<", (value, limit) => value < limit],
    ["exclusiveMinimum", ">", (value, limit) => value > limit],
  ];
  return limits
    .filter(([keyword]) => typeof node[keyword] === "number")
    .map(([keyword, sign, holds]) => {
      const limit = node[keyword] as number;
      return (value, path, out) =>
        typeof value !== "number" ||
        holds(value, limit) ||
        fail(out, path, keyword, `must be ${sign} ${limit}`);
    });
}

function sizeRule(node: JsonSchema, keyword: string, unit: string, size: (value: unknown) => number): Rule[] {
  const limit = node[keyword];
  if (typeof limit !== "number") return [];
  const isMax = keyword.startsWith("max");
  const message = `must NOT have ${isMax ? "more" : "fewer"} than ${limit} ${unit}`;
  return [
    (value, path, out) => {
      const actual = size(value);
      return actual < 0 || (isMax ? actual <= limit : actual >= limit) || fail(out, path, keyword, message);
    },
  ];
}

/** Characters, not UTF-16 units, as JSON Schema counts them. */
function characters(value: unknown): number {
  if (typeof value !== "string") return -1;
  let count = value.length;
  for (let i = 0; i < value.length - 1; i++) {
    if ((value.charCodeAt(i) & 0xfc00) === 0xd800 && (value.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      count--;
      i++;
    }
  }
  return count;
}

function stringRules(node: JsonSchema): Rule[] {
  const rules = [
    ...sizeRule(node, "maxLength", "characters", characters),
    ...sizeRule(node, "minLength", "characters", characters),
  ];
  if (typeof node["pattern"] === "string") {
    const pattern = compilePattern(node["pattern"]);
    const message = `must match pattern "${node["pattern"]}"`;
    rules.push(
      (value, path, out) =>
        typeof value !== "string" || pattern.test(value) || fail(out, path, "pattern", message),
    );
  }
  return rules;
}

function anyRules(node: JsonSchema, scope: Scope): Rule[] {
  const rules: Rule[] = [];
  if ("const" in node) {
    const wanted = node["const"];
    rules.push(
      (value, path, out) => equal(value, wanted) || fail(out, path, "const", "must be equal to constant"),
    );
  }
  if (Array.isArray(node["enum"])) {
    const allowed: unknown[] = node["enum"];
    const message = "must be equal to one of the allowed values";
    rules.push(
      (value, path, out) => allowed.some((item) => equal(value, item)) || fail(out, path, "enum", message),
    );
  }
  if (node["not"] !== undefined) {
    const never = ruleOf(node["not"], scope);
    rules.push(
      (value, path, out) => !never(value, path, undefined) || fail(out, path, "not", "must NOT be valid"),
    );
  }
  if (Array.isArray(node["anyOf"])) {
    const branches = node["anyOf"].map((branch) => ruleOf(branch, scope));
    rules.push((value, path, out) => {
      if (branches.some((branch) => branch(value, path, undefined))) return true;
      if (out) for (const branch of branches) branch(value, path, out);
      return fail(out, path, "anyOf", "must match a schema in anyOf");
    });
  }
  if (Array.isArray(node["oneOf"])) {
    const branches = node["oneOf"].map((branch) => ruleOf(branch, scope));
    rules.push((value, path, out) => {
      let matches = 0;
      const why: Issue[] = [];
      for (const branch of branches) {
        if (branch(value, path, out && why) && ++matches > 1) break;
      }
      if (matches === 1) return true;
      for (const issue of why) fail(out, issue.path, issue.keyword, issue.message);
      return fail(out, path, "oneOf", "must match exactly one schema in oneOf");
    });
  }
  if (Array.isArray(node["allOf"])) {
    for (const part of node["allOf"]) rules.push(ruleOf(part, scope));
  }
  return rules;
}

function arrayRules(node: JsonSchema, scope: Scope): Rule[] {
  const length = (value: unknown): number => (Array.isArray(value) ? value.length : -1);
  const rules = [
    ...sizeRule(node, "maxItems", "items", length),
    ...sizeRule(node, "minItems", "items", length),
  ];
  if (node["uniqueItems"] === true) {
    rules.push((value, path, out) => {
      const [first, second] = (Array.isArray(value) && duplicateIn(value)) || [];
      if (first === undefined) return true;
      const message = `must NOT have duplicate items (items ## ${first} and ${second} are identical)`;
      return fail(out, path, "uniqueItems", message);
    });
  }
  if (node["items"] !== undefined && !Array.isArray(node["items"])) {
    const item = ruleOf(node["items"], scope);
    rules.push((value, path, out) => {
      if (!Array.isArray(value)) return true;
      let ok = true;
      for (let i = 0; i < value.length; i++) {
        if (item(value[i], out ? `${path}/${i}` : "", out)) continue;
        if (!out) return false;
        ok = false;
      }
      return ok;
    });
  }
  return rules;
}

/** Where the last item that was there before stands, and where it was. Comparing all with all would take a stranger's list minutes. */
function duplicateIn(items: readonly unknown[]): readonly [number, number] | undefined {
  const plain = new Map<unknown, number>();
  const nested = new Map<string, number>();
  let found: readonly [number, number] | undefined;
  for (const [index, item] of items.entries()) {
    const isNested = typeof item === "object" && item !== null;
    const seen: Map<unknown, number> = isNested ? nested : plain;
    const key = isNested ? canonical(item) : item;
    const before = seen.get(key);
    if (before !== undefined) found = [before, index];
    seen.set(key, index);
  }
  return found;
}

/** The same text for values that are equal, whatever the order of their keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value === "string") return JSON.stringify(value);
  if (!isObject(value)) return String(value === 0 ? 0 : value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
}

function objectRules(node: JsonSchema, scope: Scope): Rule[] {
  const size = (value: unknown): number => (isObject(value) ? Object.keys(value).length : -1);
  const rules = [
    ...sizeRule(node, "maxProperties", "properties", size),
    ...sizeRule(node, "minProperties", "properties", size),
  ];
  for (const name of (node["required"] as string[] | undefined) ?? []) {
    rules.push(
      (value, path, out) =>
        !isObject(value) ||
        (Object.hasOwn(value, name) && value[name] !== undefined) ||
        fail(out, path, "required", `must have required property '${name}'`),
    );
  }
  const properties = propertiesRule(node, scope);
  if (properties) rules.push(properties);
  return rules;
}

function propertiesRule(node: JsonSchema, scope: Scope): Rule | undefined {
  const named = new Map(
    Object.entries((node["properties"] as JsonSchema | undefined) ?? {}).map(([key, sub]) => [
      key,
      ruleOf(sub, scope),
    ]),
  );
  const patterns = Object.entries((node["patternProperties"] as JsonSchema | undefined) ?? {}).map(
    ([pattern, sub]) => [compilePattern(pattern), ruleOf(sub, scope)] as const,
  );
  const extra = node["additionalProperties"];
  if (named.size === 0 && patterns.length === 0 && extra === undefined) return undefined;
  const extraRule =
    extra === undefined || extra === true ? undefined : extra === false ? false : ruleOf(extra, scope);

  const isExtra = (key: string): boolean =>
    !named.has(key) && !patterns.some(([pattern]) => pattern.test(key));
  return (value, path, out) => {
    if (!isObject(value)) return true;
    let ok = true;
    // Extras come first, as ajv reports them.
    if (extraRule !== undefined) {
      for (const key of Object.keys(value)) {
        if (value[key] === undefined || !isExtra(key)) continue;
        if (extraRule !== false && extraRule(value[key], out ? pointer(path, key) : "", out)) continue;
        if (!out) return false;
        if (extraRule === false) fail(out, path, "additionalProperties", `unexpected property '${key}'`);
        ok = false;
      }
    }
    for (const [key, rule] of named) {
      if (!Object.hasOwn(value, key) || value[key] === undefined) continue;
      if (rule(value[key], out ? pointer(path, key) : "", out)) continue;
      if (!out) return false;
      ok = false;
    }
    for (const [pattern, rule] of patterns) {
      for (const key of Object.keys(value)) {
        if (!pattern.test(key) || rule(value[key], out ? pointer(path, key) : "", out)) continue;
        if (!out) return false;
        ok = false;
      }
    }
    return ok;
  };
}

function pointer(path: string, key: string): string {
  return `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function equal(a: unknown, b: unknown): boolean {
  if (Object.is(a, b) || a === b) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]))
  );
}
