import { readFileSync } from "node:fs";
import path from "node:path";
import { isInRange, sdkVersion } from "@rclaw/plugin-sdk/services/version-range";
import * as fc from "fast-check";
import { expect, test } from "vitest";

type Version = [number, number, number];

const small = fc.nat({ max: 3 });
const version = fc.tuple(small, small, small);
const text = (parts: readonly number[]): string => parts.join(".");
const isAtLeast = (a: Version, b: Version): boolean => {
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return (a[i] ?? 0) > (b[i] ?? 0);
  return true;
};

test("the SDK's version is the one of its package", () => {
  const file = path.resolve(import.meta.dirname, "../../../plugin-sdk/package.json");
  expect((JSON.parse(readFileSync(file, "utf8")) as { version: string }).version).toBe(sdkVersion);
});

test("a version alone means that one", () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      expect(isInRange(text(a), text(b))).toBe(text(a) === text(b));
      expect(isInRange(text(a), `=${text(b)}`)).toBe(text(a) === text(b));
    }),
  );
});

test("a version that is left open holds every one that starts like it", () => {
  fc.assert(
    fc.property(
      version,
      version,
      fc.integer({ min: 0, max: 2 }),
      fc.constantFrom("x", "X", "*"),
      (a, b, given, x) => {
        const starts = text(a.slice(0, given)) === text(b.slice(0, given));
        const wild = [...b.slice(0, given).map(String), ...Array.from({ length: 3 - given }, () => x)].join(
          ".",
        );
        expect(isInRange(text(a), wild)).toBe(starts);
        if (given > 0) expect(isInRange(text(a), text(b.slice(0, given)))).toBe(starts);
      },
    ),
  );
});

test("a caret keeps the first part that is not zero", () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      const first = b.findIndex((part) => part > 0);
      const kept = first === -1 ? 3 : first + 1;
      const same = text(a.slice(0, kept)) === text(b.slice(0, kept));
      expect(isInRange(text(a), `^${text(b)}`)).toBe(same && isAtLeast(a, b));
    }),
  );
});

test("a tilde keeps major and minor", () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      const same = a[0] === b[0] && a[1] === b[1];
      expect(isInRange(text(a), `~${text(b)}`)).toBe(same && isAtLeast(a, b));
      expect(isInRange(text(a), `~${b[0]}`)).toBe(a[0] === b[0]);
    }),
  );
});

test("comparisons are the order of versions, and each is the opposite of another", () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      const [left, right] = [text(a), text(b)];
      expect(isInRange(left, `>=${right}`)).toBe(isAtLeast(a, b));
      expect(isInRange(left, `<${right}`)).toBe(!isAtLeast(a, b));
      expect(isInRange(left, `> ${right}`)).toBe(!isAtLeast(b, a));
      expect(isInRange(left, `<=${right}`)).toBe(isAtLeast(b, a));
    }),
  );
});

test("a space means and, two bars mean or", () => {
  const one = fc
    .tuple(fc.constantFrom("^", "~", ">=", "<", ""), version)
    .map(([sign, v]) => `${sign}${text(v)}`);
  fc.assert(
    fc.property(version, one, one, (a, left, right) => {
      const [l, r] = [isInRange(text(a), left), isInRange(text(a), right)];
      expect(isInRange(text(a), `${left}  ${right}`)).toBe(l && r);
      expect(isInRange(text(a), `${left} || ${right}`)).toBe(l || r);
    }),
  );
});

test.each([
  ["0.1.0", "^0.1", true],
  ["0.1.9", "^0.1", true],
  ["0.2.0", "^0.1", false],
  ["0.9.0", "^0", true],
  ["0.0.3", "^0.0", true],
  ["0.1.0", "^0.0", false],
  ["1.9.9", "^1.x", true],
  ["1.2.0", ">1.1", true],
  ["1.1.5", ">1.1", false],
  ["1.1.5", "<=1.1", true],
  ["1.2.0", "<=1.1", false],
  ["5.0.0", "*", true],
  ["5.0.0", ">*", false],
  ["5.0.0", "<*", false],
  ["5.0.0", "^*", true],
])("%s in %s: %s", (given, range, expected) => {
  expect(isInRange(given, range)).toBe(expected);
});

test.each([
  "",
  "latest",
  "1.2.3-beta.1",
  "1.0 - 2.0",
  "v1",
  "01.2",
  "1.x.2",
  "1.2.3.4",
  "^^1",
  ">=",
  "1,2",
  "9999999999",
  "^0.1 || new",
])("%j is no range, and is never taken for one", (range) => {
  expect(isInRange("1.2.3", range)).toBeUndefined();
});

test("no text makes it throw", () => {
  fc.assert(
    fc.property(fc.string(), (range) => {
      expect([true, false, undefined]).toContain(isInRange("1.2.3", range));
    }),
  );
});
