import { isRclawError } from "@rclaw/plugin-sdk";
import * as fc from "fast-check";
import json5 from "json5";
import { expect, test } from "vitest";
import { setIn } from "../../../plugins/services/config/edit.ts";
import { scan } from "../../../plugins/services/config/syntax.ts";

const file = `// for people
{
  gateway: {
    port: 18789, // the usual one
    auth: { mode: 'token', token: 'abc' },
  },
  // who may write
  allow: [
    '1', // alice
    '2', // bob
    '3', // carol
  ],
  empty: {},
}
`;

test("a value is replaced where it stands and nothing else moves", () => {
  expect(setIn(file, ["gateway", "port"], 19000)).toBe(file.replace("18789", "19000"));
  expect(setIn(file, ["gateway", "auth", "token"], "it's")).toBe(file.replace("'abc'", "'it\\'s'"));
});

test("a new key looks like its neighbours", () => {
  expect(setIn(file, ["gateway", "bind"], "lan")).toBe(
    file.replace("},\n  },\n  // who", "},\n    bind: 'lan',\n  },\n  // who"),
  );
  expect(setIn(file, ["gateway", "auth", "password"], "p")).toContain(
    "{ mode: 'token', token: 'abc', password: 'p' }",
  );
  expect(setIn('{\n\t"a": 1\n}', ["b", "c"], [true, null])).toBe(
    '{\n\t"a": 1,\n\t"b": {\n\t\t"c": [true, null]\n\t}\n}',
  );
  expect(setIn('{"a":1}', ["b"], 2)).toBe('{"a":1, "b": 2}');
  expect(setIn("{\r\n  a: 1,\r\n}", ["b"], { c: 1 })).toBe(
    "{\r\n  a: 1,\r\n  b: {\r\n    c: 1,\r\n  },\r\n}",
  );
});

test("a new key does not take over the comment of the one before it, nor the examples at the end", () => {
  expect(setIn("{\n  a: 1 // about a\n  // b: 2,\n}", ["c"], 3)).toBe(
    "{\n  a: 1, // about a\n  c: 3\n  // b: 2,\n}",
  );
});

test("missing parents are made, and empty ones filled", () => {
  expect(setIn(file, ["empty", "x"], 1)).toContain("  empty: {\n    x: 1,\n  },\n");
  expect(setIn("", ["a", "b"], 1)).toBe("{\n  a: {\n    b: 1,\n  },\n}\n");
  expect(setIn("{ /* nothing yet */ }", ["a"], 1)).toBe("{ /* nothing yet */ a: 1 }");
  expect(setIn("{\n  // nothing yet\n}", ["a"], 1)).toBe("{\n  // nothing yet\n  a: 1,\n}");
  expect(json5.parse(setIn("{}", ["list", 0, "id"], "x"))).toEqual({ list: [{ id: "x" }] });
});

test("removing takes the line and the comment on it, and leaves no comma nobody wrote", () => {
  expect(setIn(file, ["gateway", "port"], undefined)).toBe(
    file.replace("    port: 18789, // the usual one\n", ""),
  );
  expect(setIn('{\n  "a": 1,\n  "b": 2\n}', ["b"], undefined)).toBe('{\n  "a": 1\n}');
  expect(setIn("{ a: 1, b: 2 }", ["b"], undefined)).toBe("{ a: 1 }");
  expect(setIn("{ a: 1, b: 2 }", ["a"], undefined)).toBe("{ b: 2 }");
  expect(setIn("[1, 2]", [1], undefined)).toBe("[1]");
  expect(setIn(file, ["no", "such", "key"], undefined)).toBe(file);
});

test("list elements keep their own comments when one before them goes", () => {
  expect(setIn(file, ["allow"], ["2", "3"])).toBe(file.replace("    '1', // alice\n", ""));
  expect(setIn(file, ["allow"], ["1", "2", "2b", "3"])).toContain(
    "'2', // bob\n    '2b',\n    '3', // carol",
  );
  expect(setIn(file, ["allow", 3], "4")).toContain("'3', // carol\n    '4',\n  ],");
  expect(setIn(file, ["allow", "1"], "two")).toContain("'1', // alice\n    'two'");
});

test("of equal list elements the one that was named goes, with its own comment", () => {
  const list = "[\n  'x', // first\n  'x', // second\n]";
  expect(setIn(list, [0], undefined)).toBe("[\n  'x', // second\n]");
  expect(setIn(`{ a: [${list}] }`, ["a", "0", "1"], undefined)).toBe("{ a: [[\n  'x', // first\n]] }");
});

test("a long list is written at once, so that a large change does not stall the gateway", () => {
  const ids = Array.from({ length: 20_000 }, (_item, index) => `user-${index}`);
  const started = performance.now();
  expect(json5.parse(setIn(file, ["allow"], ids))).toMatchObject({ allow: ids });
  expect(performance.now() - started).toBeLessThan(2_000);
});

test("an object that replaces an object keeps what both have", () => {
  const result = setIn(file, ["gateway"], { port: 18789, auth: { mode: "none" } });
  expect(result).toContain("port: 18789, // the usual one");
  expect(result).toContain("auth: { mode: 'none' }");
});

test("of several equal keys the one that counts is changed, and removing removes all", () => {
  expect(setIn("{ a: 1, a: 2 }", ["a"], 3)).toBe("{ a: 1, a: 3 }");
  expect(json5.parse(setIn("{ a: 1, a: 2, b: 0 }", ["a"], undefined))).toEqual({ b: 0 });
});

test.each<[string, string, (string | number)[], unknown]>([
  ["a key below a number", "{ a: 1 }", ["a", "b"], 1],
  ["an element far behind the end", "{ a: [] }", ["a", 3], 1],
  ["a name in a list", "{ a: [] }", ["a", "b"], 1],
  ["SEC-141 a prototype key", "{}", ["__proto__", "x"], 1],
  ["SEC-141 a prototype key in a value", "{}", ["a"], json5.parse('{ "b": [{ "constructor": 1 }] }')],
  ["a broken file", "{ a: ", ["a"], 1],
])("%s is refused", (_name, text, path, value) => {
  let error: unknown;
  try {
    setIn(text, path, value);
  } catch (thrown) {
    error = thrown;
  }
  expect(isRclawError(error)).toBe(true);
});

const key = fc.oneof(
  fc.constantFrom("a", "b", "c", "port", "allow from", "ünï", "x-y", "$id", "1", "a.b", "it's", 'say "hi"'),
  fc.string({ maxLength: 6 }).filter((name) => !["__proto__", "constructor", "prototype"].includes(name)),
);
const scalar = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1.5,
    1e21,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    "",
    "x",
    "// no comment",
    "/*",
    "a\nb",
    "\u2028",
    '"',
    "'",
  ),
  fc.string({ maxLength: 12 }),
  fc.integer(),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    scalar,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(key, tie("value"), { maxKeys: 4 }),
  ),
}));
const root = fc.dictionary(key, value, { maxKeys: 5 });

/** Writes a value the way people do: any quotes, any spacing, comments anywhere. */
function write(data: unknown, next: (bound: number) => number, comments: string[]): string {
  const trivia = (): string => {
    const name = `note ${comments.length}`;
    switch (next(9)) {
      case 0:
        comments.push(name);
        return ` // ${name}\n  `;
      case 1:
        comments.push(name);
        return `/* ${name} */`;
      case 2:
      case 3:
        return "\n  ";
      case 4:
        return "\r\n";
      default:
        return next(2) === 0 ? " " : "";
    }
  };
  const quoted = (text: string): string => {
    const json = JSON.stringify(text).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
    return next(2) === 0 ? json : `'${json.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  };
  const list = (open: string, items: string[], close: string): string => {
    const body = items.map((item) => `${trivia()}${item}${trivia()}`).join(",");
    return `${open}${body}${items.length > 0 && next(2) === 0 ? `,${trivia()}` : trivia()}${close}`;
  };
  const name = (text: string): string => (/^[a-z]+$/.test(text) && next(2) === 0 ? text : quoted(text));
  const print = (item: unknown): string => {
    if (typeof item === "string") return quoted(item);
    if (Array.isArray(item)) return list("[", item.map(print), "]");
    if (typeof item !== "object" || item === null) return String(item);
    return list(
      "{",
      Object.entries(item).map(([entry, child]) => `${name(entry)}${trivia()}:${trivia()}${print(child)}`),
      "}",
    );
  };
  return `${trivia()}${print(data)}${trivia()}`;
}

const document = fc
  .tuple(root, fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }))
  .map(([data, dice]) => {
    let at = 0;
    const comments: string[] = [];
    const text = write(data, (bound) => (dice[at++ % dice.length] ?? 0) % bound, comments);
    return { data, text, comments };
  });

const notesIn = (text: string): string[] => [...text.matchAll(/note \d+/g)].map(([note]) => note);

test("whatever a document looks like, an edit changes exactly what was asked and keeps the other comments", () => {
  fc.assert(
    fc.property(
      document,
      fc.array(fc.tuple(fc.nat(), key), { minLength: 1, maxLength: 4 }),
      fc.option(value, { nil: undefined }),
      ({ data, text, comments }, steps, wanted) => {
        fc.pre(Object.keys(json5.parse<object>(text)).length === Object.keys(data).length);
        // Walk along existing keys, or off the tree where the step says so.
        const path: (string | number)[] = [];
        let here: unknown = data;
        for (const [dice, name] of steps) {
          if (Array.isArray(here)) path.push(dice % (here.length + 1));
          else if (typeof here === "object" && here !== null)
            path.push(Object.keys(here)[dice % (Object.keys(here).length + 1)] ?? name);
          else if (here === undefined) path.push(name);
          else break;
          here =
            typeof here === "object" && here !== null
              ? (here as Record<string | number, unknown>)[path.at(-1) ?? ""]
              : undefined;
        }
        const result = setIn(text, path, wanted);
        // setIn holds the value against json5 itself; what is left to prove is that the comments are still there.
        const touched = text.includes("note") ? spanOf(text, path) : undefined;
        const lost = comments.filter((note) => !notesIn(result).includes(note));
        for (const note of lost) {
          const at = text.search(new RegExp(`${note}\\b`));
          expect(touched, `${note} was lost`).toBeDefined();
          expect(at, `${note} was lost`).toBeGreaterThanOrEqual(touched?.start ?? 0);
          expect(at, `${note} was lost`).toBeLessThan(touched?.end ?? 0);
        }
        if (wanted !== undefined) expect(setIn(result, path, wanted)).toBe(result);
      },
    ),
    { numRuns: 3000 },
  );
});

/** The entry at a path with what stands behind it on its line: comments in there belong to it. */
function spanOf(
  text: string,
  path: readonly (string | number)[],
): { start: number; end: number } | undefined {
  let node = scan(text).root;
  let span: { start: number; end: number } | undefined = { start: node.start, end: node.end };
  for (const name of path) {
    const entry = node.entries.findLast((item) => item.key === name);
    if (!entry) return undefined;
    const stop = (entry.comma ?? entry.end - 1) + 1;
    const behind = /^(?:[^\S\n]|\/\*[^]*?\*\/|\/\/[^\n]*)*/.exec(text.slice(stop))?.[0].length ?? 0;
    span = { start: entry.start, end: stop + behind };
    node = entry.value;
  }
  return span;
}
