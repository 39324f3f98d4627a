import { expect, test } from "vitest";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import { compilePattern, refuseEndless } from "@rclaw/plugin-sdk/schema/pattern";

test.each([
  "(a+)+$",
  "^(a|a)*$",
  "^(a|aa)+$",
  "(.*)*x",
  "^(?:a?){40}a{40}$",
  "^(a*){2,9}$",
  "^((a|b|c){9}){9}$",
  "^(-[a-z-]+)*$",
  "^([\\w]+_)*$",
  "^(.[a-z]+)*$",
  "^(-?[a-z]+)*$",
])("a pattern that could take for ever is refused with its reason: %s", (pattern) => {
  expect(() => refuseEndless({ properties: { a: { pattern } } })).toThrow(/hours.*nested repetition/);
  expect(() => refuseEndless({ patternProperties: { [pattern]: true } })).toThrow(/nested repetition/);
});

test.each([
  ["^[a-z][a-z0-9-]{0,63}$", "a-plugin", "A"],
  ["^(allow|deny)$", "deny", "denied"],
  ["^[^@\\s]+@[^@\\s]+$", "a@b.example", "a.example"],
  ["^\\d{4}-\\d{2}-\\d{2}$", "2026-01-01", "2026-1-1"],
  ["^(?<year>\\d+)(?:\\.\\d)?$", "12.5", "a"],
  ["[\\]a]+", "]", "b"],
  ["^(?:ab)+$", "abab", "aba"],
  ["^[a-z]+(-[a-z]+)*$", "a-long-name", "a--b"],
  ["^(?:[a-z0-9]+\\.)+[a-z]+$", "a.example.org", "example"],
  ["^\\d+(,\\d+)*$", "1,2,3", "1,,2"],
])("an ordinary pattern matches as ever: %s", (pattern, good, bad) => {
  const { test } = compilePattern(pattern);
  refuseEndless({ pattern });
  expect([test(good), test(bad)]).toEqual([true, false]);
});

test("a text too long for its pattern does not match, and says so soon", () => {
  const { test } = compilePattern("^.*a.*b.*c$");
  const begun = performance.now();
  expect(test("ab".repeat(500_000))).toBe(false);
  expect(performance.now() - begun).toBeLessThan(1_000);
});

test("references to references do not multiply without end", () => {
  const $defs: Record<string, object> = { d40: {} };
  for (let i = 0; i < 40; i++) {
    const next = { $ref: `#/$defs/d${i + 1}` };
    $defs[`d${i}`] = { allOf: [next, next] };
  }
  const check = compile({ $defs, $ref: "#/$defs/d0" });
  const begun = performance.now();
  expect(() => check.valid({})).toThrow(/more than 100000 references/);
  expect(performance.now() - begun).toBeLessThan(2_000);
  expect(() => compile({ $ref: "#" }).valid({})).toThrow(/references|call stack/);
});
