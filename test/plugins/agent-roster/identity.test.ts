import { expect, test } from "vitest";
import { parseIdentity, withIdentity } from "../../../plugins/services/agent-roster/identity.ts";

test("IDENTITY.md is read in every spelling people use", () => {
  expect(
    parseIdentity("# IDENTITY\n\n- **Name:** Ada\n- Emoji: 🦀\r\n  - _Avatar_: https://example.org/a.png\n"),
  ).toEqual({
    name: "Ada",
    emoji: "🦀",
    avatar: "https://example.org/a.png",
  });
});

test("what a template wants to have filled in is no answer", () => {
  const template = "- **Name:** _(pick something you like)_\n- **Emoji:**\n- **Avatar:** [a picture]\n";
  expect(parseIdentity(template)).toEqual({ name: undefined, emoji: undefined, avatar: undefined });
});

test("a new name takes the place of the old one, and the rest stays", () => {
  const text = "# Who I am\n- **Name:** Old\n- Vibe: calm\n";
  expect(withIdentity(text, { name: "New $1", emoji: "🌱" })).toBe(
    "# Who I am\n- Name: New $1\n- Vibe: calm\n- Emoji: 🌱\n",
  );
  expect(withIdentity("No line break", { name: "Ada" })).toBe("No line break\n- Name: Ada\n");
  expect(withIdentity("", { name: "Ada" })).toBe("- Name: Ada\n");
});
