import type { InboundMessage } from "@rclaw/plugin-sdk";
import { describe, expect, test } from "vitest";
import { authorizeInbound, inboundRules, mentions } from "../../plugins/services/channels/inbound.ts";

const message = (fields: Partial<InboundMessage> = {}): InboundMessage => ({
  id: "1",
  accountId: "default",
  chatType: "direct",
  peerId: "42",
  sender: { id: "42", name: "Alice" },
  text: "hello",
  ...fields,
});
const inGroup = (fields: Partial<InboundMessage> = {}): InboundMessage =>
  message({ chatType: "group", peerId: "-100", mentioned: true, ...fields });

function verdict(channel: object, given: InboundMessage, paired: string[] = [], config: object = {}): string {
  const rules = inboundRules(
    { ...config, channels: { telegram: channel } },
    "telegram",
    given.accountId,
    paired,
  );
  const result = authorizeInbound(given, rules);
  return result.kind === "allow" && result.isOwner ? "owner" : result.kind;
}

describe("direct messages", () => {
  test.each([
    ["nothing configured", {}, [], "pair"],
    ["paired", {}, ["42"], "allow"],
    ["somebody else paired", {}, ["43"], "pair"],
    ["pairing, but listed", { allowFrom: ["42"] }, [], "allow"],
    ["listed as a number", { dmPolicy: "allowlist", allowFrom: [42] }, [], "allow"],
    ["listed with the channel", { dmPolicy: "allowlist", allowFrom: ["telegram:42"] }, [], "allow"],
    ["listed for another channel", { dmPolicy: "allowlist", allowFrom: ["discord:42"] }, [], "ignore"],
    ["allowlist does not ask the pairing store", { dmPolicy: "allowlist" }, ["42"], "ignore"],
    ["open without the star", { dmPolicy: "open" }, [], "ignore"],
    ["open without the star, listed", { dmPolicy: "open", allowFrom: ["42"] }, [], "allow"],
    ["open with the star", { dmPolicy: "open", allowFrom: ["*"] }, [], "allow"],
    ["disabled", { dmPolicy: "disabled", allowFrom: ["42", "*"] }, ["42"], "ignore"],
    ["a policy nobody knows", { dmPolicy: "opne", allowFrom: ["*"] }, ["42"], "ignore"],
  ] as const)("%s", (_name, channel, paired, expected) => {
    expect(verdict(channel, message(), [...paired])).toBe(expected);
  });

  test("SEC-069: an empty or missing allowFrom denies everybody, and a star is no sender", () => {
    expect(verdict({ dmPolicy: "allowlist", allowFrom: [] }, message())).toBe("ignore");
    expect(verdict({ dmPolicy: "allowlist" }, message())).toBe("ignore");
    expect(verdict({ dmPolicy: "allowlist", allowFrom: ["*"] }, message())).toBe("ignore");
    expect(verdict({ dmPolicy: "allowlist", allowFrom: ["*"] }, message({ sender: { id: "*" } }))).toBe(
      "ignore",
    );
    expect(verdict({ allowFrom: ["*"] }, message())).toBe("pair");
    expect(verdict({ dmPolicy: "allowlist", allowFrom: [""] }, message({ sender: { id: "" } }))).toBe(
      "ignore",
    );
  });

  test("SEC-067: only immutable ids match, never a name", () => {
    const owner = { dmPolicy: "allowlist", allowFrom: ["@owner", "owner", "Alice", "@owner:example.org"] };
    for (const name of ["owner", "@owner", "Alice", "@owner:evil.org"]) {
      expect(verdict(owner, message({ sender: { id: "666", name } }))).toBe("ignore");
    }
    expect(verdict(owner, message({ sender: { id: "@owner:evil.org" } }))).toBe("ignore");
  });

  test("SEC-070: a chat of unknown type gets the group's rules", () => {
    const odd = message({ chatType: "p2p" as "direct" });
    expect(verdict({ dmPolicy: "open", allowFrom: ["*"] }, odd)).toBe("ignore");
    expect(
      verdict({ dmPolicy: "open", allowFrom: ["*"], groupPolicy: "open" }, { ...odd, mentioned: true }),
    ).toBe("allow");
  });
});

describe("groups", () => {
  test.each([
    ["default, nobody listed", {}, {}, "ignore"],
    ["sender from allowFrom", { allowFrom: ["42"] }, {}, "allow"],
    ["not mentioned", { allowFrom: ["42"] }, { mentioned: false }, "ignore"],
    ["groupAllowFrom replaces allowFrom", { allowFrom: ["42"], groupAllowFrom: ["43"] }, {}, "ignore"],
    ["an empty groupAllowFrom is no fallback", { allowFrom: ["42"], groupAllowFrom: [] }, {}, "ignore"],
    ["a star lists nobody", { groupAllowFrom: ["*"] }, {}, "ignore"],
    ["the star of an open dmPolicy opens no group", { dmPolicy: "open", allowFrom: ["*"] }, {}, "ignore"],
    ["open", { groupPolicy: "open" }, {}, "allow"],
    ["open, not mentioned", { groupPolicy: "open" }, { mentioned: false }, "ignore"],
    ["disabled", { groupPolicy: "disabled", allowFrom: ["42"] }, {}, "ignore"],
    ["a policy nobody knows", { groupPolicy: "any" }, {}, "ignore"],
    ["group not listed", { groupPolicy: "open", groups: { "-1": {} } }, {}, "ignore"],
    ["group listed", { groupPolicy: "open", groups: { "-100": {} } }, {}, "allow"],
    ["every group", { groupPolicy: "open", groups: { "*": {} } }, {}, "allow"],
    [
      "group switched off",
      { groupPolicy: "open", groups: { "-100": { enabled: false }, "*": {} } },
      {},
      "ignore",
    ],
    [
      "no mention needed here",
      { groupPolicy: "open", groups: { "-100": { requireMention: false } } },
      { mentioned: false },
      "allow",
    ],
    [
      "no mention needed anywhere",
      { groupPolicy: "open", groups: { "*": { requireMention: false }, "-100": {} } },
      { mentioned: false },
      "allow",
    ],
    [
      "needed here all the same",
      { groupPolicy: "open", groups: { "*": { requireMention: false }, "-100": { requireMention: true } } },
      { mentioned: false },
      "ignore",
    ],
    ["a group's own senders", { allowFrom: ["42"], groups: { "-100": { allowFrom: ["7"] } } }, {}, "ignore"],
    [
      "a topic's own rules",
      { groupPolicy: "open", groups: { "-100": { topics: { "9": { requireMention: false } } } } },
      { mentioned: false, threadId: "9" },
      "allow",
    ],
    [
      "another topic",
      { groupPolicy: "open", groups: { "-100": { topics: { "9": { requireMention: false } } } } },
      { mentioned: false, threadId: "8" },
      "ignore",
    ],
    [
      "a group called __proto__",
      { groupPolicy: "open", groups: { "-1": {} } },
      { peerId: "__proto__" },
      "ignore",
    ],
    ["a channel's post follows the group's rules", { groupPolicy: "open" }, { chatType: "channel" }, "allow"],
  ] as const)("%s", (_name, channel, fields, expected) => {
    expect(verdict(channel, inGroup(fields))).toBe(expected);
  });

  test("who was let in by pairing talks directly, not in groups", () => {
    expect(verdict({}, inGroup(), ["42"])).toBe("ignore");
  });

  test("channels.defaults says what groups are when the channel does not", () => {
    const rules = inboundRules(
      { channels: { defaults: { groupPolicy: "open" }, telegram: {} } },
      "telegram",
      "default",
    );
    expect(rules.groupPolicy).toBe("open");
  });
});

test("an account inherits from its channel what it does not say", () => {
  const channel = {
    dmPolicy: "disabled",
    allowFrom: ["1"],
    accounts: { alerts: { dmPolicy: "allowlist" }, other: { allowFrom: ["42"] } },
  };
  expect(verdict(channel, message({ accountId: "alerts" }))).toBe("ignore");
  expect(verdict(channel, message({ accountId: "alerts", sender: { id: "1" } }))).toBe("allow");
  expect(verdict(channel, message({ accountId: "other" }))).toBe("ignore");
  expect(verdict({ ...channel, dmPolicy: "allowlist" }, message({ accountId: "other" }))).toBe("allow");
  expect(verdict(channel, message({ accountId: "__proto__" }))).toBe("ignore");
});

describe("SEC-071: who owns the assistant is said in commands.ownerAllowFrom and nowhere else", () => {
  const open = { dmPolicy: "open", allowFrom: ["*", "42"] };
  test.each([
    [[], "allow"],
    [["telegram:42"], "owner"],
    [[42], "owner"],
    [["discord:42"], "allow"],
    [["*"], "allow"],
    [["telegram:*"], "allow"],
    [["Alice"], "allow"],
  ])("%j", (ownerAllowFrom, expected) => {
    expect(verdict(open, message(), [], { commands: { ownerAllowFrom } })).toBe(expected);
  });

  test("SEC-072: the sender counts, not the conversation", () => {
    const config = { commands: { ownerAllowFrom: ["telegram:-100"] } };
    expect(verdict({ groupPolicy: "open" }, inGroup(), [], config)).toBe("allow");
  });
});

describe("mention patterns", () => {
  test.each([
    ["@?molty", "hey Molty!", true],
    ["@?molty", "hello there", false],
    ["\\+15555550123", "call +15555550123", true],
    ["\\bclaw\\b", "rusty claw here", true],
    ["molty|claw", "the claw", true],
    ["[", "a [ b", true],
    ["", "anything", false],
  ])("%j in %j: %s", (pattern, text, expected) => {
    expect(mentions(text, [pattern])).toBe(expected);
  });

  test("count in a group, from the configuration", () => {
    const config = { messages: { groupChat: { mentionPatterns: ["@?molty"] } } };
    expect(
      verdict({ groupPolicy: "open" }, inGroup({ mentioned: false, text: "molty, hi" }), [], config),
    ).toBe("allow");
  });

  test("a pattern that could run for long is taken literally", () => {
    const start = performance.now();
    const text = `${"a".repeat(100_000)}!`;
    const patterns = [
      "(a+)+$",
      "(a|a)*$",
      "a*a*a*a*b",
      `${"a?".repeat(40)}${"a".repeat(40)}b`,
      "(a|a)".repeat(30),
      "(?:a+)+b",
      "(.*)\\1b",
      "a{1,99}a{1,99}b",
      "(?=a+b)",
    ];
    for (const pattern of patterns) expect(mentions(text, [pattern])).toBe(false);
    expect(mentions("say (a+)+$ please", ["(a+)+$"])).toBe(true);
    expect(performance.now() - start).toBeLessThan(500);
  });
});
