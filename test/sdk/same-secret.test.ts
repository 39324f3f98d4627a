import { isSameSecret } from "@rclaw/plugin-sdk/same-secret";
import { expect, test } from "vitest";

test.each([
  ["a-secret", "a-secret", true],
  ["a-secreT", "a-secret", false],
  ["a-secret-and-more", "a-secret", false],
  ["", "a-secret", false],
  ["anything", "", false],
  ["", "", false],
])("%j for %j: %s", (given, wanted, same) => expect(isSameSecret(given, wanted)).toBe(same));
