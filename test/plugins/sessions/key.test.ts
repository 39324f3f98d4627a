import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  canonicalKey,
  channelSessionKey,
  type DmScope,
  parseKey,
  transcriptHash,
} from "@rclaw/plugin-sdk/session-key";

const rules = { defaultAgentId: "main", mainKey: "main" };

test.each([
  ["main", "agent:main:main"],
  ["MAIN", "agent:main:main"],
  ["ｍａｉｎ", "agent:main:main"],
  [" agent:main:main ", "agent:main:main"],
  ["agent:Work:MAIN", "agent:work:main"],
  ["global", "global"],
  ["unknown", "unknown"],
  ["ＨＯＯＫ:abc", "agent:main:hook:abc"],
  ["hook:1b2c", "agent:main:hook:1b2c"],
  ["cron:job:run:1", "agent:main:cron:job:run:1"],
  ["agent:main:telegram:group:-100123", "agent:main:telegram:group:-100123"],
  ["agent:main:subagent:5:subagent:6", "agent:main:subagent:5:subagent:6"],
])("%j is the session %s", (given, canonical) => {
  expect(canonicalKey(given, rules)).toBe(canonical);
});

test("another main key and the global scope rename the main session", () => {
  expect(canonicalKey("main", { defaultAgentId: "a", mainKey: "Home" })).toBe("agent:a:home");
  expect(canonicalKey("agent:b:main", { defaultAgentId: "a", mainKey: "home" })).toBe("agent:b:home");
  expect(canonicalKey("home", { ...rules, mainKey: "home", scope: "global" })).toBe("global");
  expect(canonicalKey("agent:b:main", { ...rules, scope: "global" })).toBe("global");
});

test.each([
  "",
  "   ",
  "../../etc/x",
  "agent:main:..",
  "agent:main:．．",
  "agent:main:a\u2026b",
  "a\0b",
  "a\nb",
  "a\u200bb",
  "a\u202eb",
  "\ud800",
  "x".repeat(513),
  "\ufdfa".repeat(100),
  "__proto__",
  "agent:main:__proto__",
  "agent:main:x:__PROTO__:y",
  "agent:",
  "agent:main",
  "agent:main:",
  "agent::main",
  "agent:a b:main",
  "agent:-a:main",
  `agent:${"a".repeat(65)}:main`,
])("SEC-045 %j is refused", (key) => {
  expect(() => canonicalKey(key, rules)).toThrow(
    expect.objectContaining({ code: "INVALID_REQUEST" }) as Error,
  );
});

test("SEC-045 a canonical key is canonical, whatever it came from", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (raw) => {
      let key: string;
      try {
        key = canonicalKey(raw, rules);
      } catch {
        return;
      }
      expect(canonicalKey(key, rules)).toBe(key);
      expect(key).not.toMatch(/\.\.|[\p{Cc}\p{Cs}]|[A-Z]/u);
      expect(transcriptHash(key)).toMatch(/^[0-9a-f]{32}$/);
    }),
    { numRuns: 5_000 },
  );
});

// Ids made of what could break out of them: separators, escapes, capitals, the grammar's own words.
const id = fc.oneof(
  fc.string({
    unit: fc.constantFrom("a", "A", "b", ":", "%", "3", ".", "_", "~", "/", "ａ", " ", "\0"),
    minLength: 1,
    maxLength: 6,
  }),
  fc.constantFrom(
    "direct",
    "group",
    "channel",
    "thread",
    "main",
    "__proto__",
    "..",
    "%3a",
    "a:b",
    "b:c",
    "x".repeat(200),
    `${"x".repeat(199)}y`,
  ),
);
const scope = fc.constantFrom<DmScope>("per-peer", "per-channel-peer", "per-account-channel-peer");
const place = fc.record({ accountId: id, peerId: id, threadId: fc.option(id, { nil: undefined }) });

test("SEC-075 no two peers, accounts or threads share a session, and every such key is canonical as it is", () => {
  fc.assert(
    fc.property(
      scope,
      fc.constantFrom("direct", "group", "channel"),
      place,
      place,
      (dmScope, chatType, one, two) => {
        const keyOf = (where: typeof one): string =>
          channelSessionKey({
            agentId: "main",
            mainKey: "main",
            dmScope,
            channel: "telegram",
            chatType,
            ...where,
          });
        const a = keyOf(one);
        const b = keyOf(two);
        const counted =
          dmScope === "per-account-channel-peer" && chatType === "direct"
            ? (["peerId", "threadId", "accountId"] as const)
            : (["peerId", "threadId"] as const);
        expect(a === b).toBe(counted.every((name) => one[name] === two[name]));
        expect(canonicalKey(a, rules)).toBe(a);
        expect(parseKey(a).kind).toBe(chatType === "direct" ? "direct" : "group");
      },
    ),
    { numRuns: 20_000 },
  );
});

test("a known person shares a session with nobody else, whoever has which id", () => {
  const text = fc.oneof(fc.constantFrom("alice", "=alice", "%3dalice", "Alice", "42", ""), fc.string());
  const who = fc.record({
    channel: fc.constantFrom("telegram", "irc"),
    accountId: fc.constantFrom("a", "b"),
    peerId: text,
    person: fc.option(text, { nil: undefined }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom("per-peer", "per-channel-peer", "per-account-channel-peer"),
      who,
      who,
      (dmScope, one, two) => {
        const keyOf = (where: typeof one): string =>
          channelSessionKey({ agentId: "main", mainKey: "main", dmScope, chatType: "direct", ...where });
        const isSameBot = one.channel === two.channel && one.accountId === two.accountId;
        const same =
          one.person === undefined || two.person === undefined
            ? one.person === two.person && one.peerId === two.peerId
            : one.person === two.person;
        const isSamePlace =
          dmScope === "per-account-channel-peer"
            ? isSameBot
            : dmScope === "per-peer" || one.person !== undefined || one.channel === two.channel;
        expect(keyOf(one) === keyOf(two)).toBe(same && isSamePlace);
        expect(canonicalKey(keyOf(one), rules)).toBe(keyOf(one));
        expect(parseKey(keyOf(one)).kind).toBe("direct");
      },
    ),
    { numRuns: 20_000 },
  );
});

test("SEC-075 ids with colons do not slide into each other", () => {
  const keyOf = (accountId: string, peerId: string): string =>
    channelSessionKey({
      agentId: "main",
      mainKey: "main",
      dmScope: "per-account-channel-peer",
      channel: "irc",
      accountId,
      chatType: "direct",
      peerId,
    });
  expect(keyOf("a:b", "c")).toBe("agent:main:irc:a%3ab:direct:c");
  expect(keyOf("a", "b:c")).toBe("agent:main:irc:a:direct:b%3ac");
});

test.each([
  [{ dmScope: "main", chatType: "direct" }, "agent:main:main"],
  [{ dmScope: "per-peer", chatType: "direct" }, "agent:main:direct:42"],
  [{ dmScope: "per-channel-peer", chatType: "direct" }, "agent:main:telegram:direct:42"],
  [{ dmScope: "per-account-channel-peer", chatType: "direct" }, "agent:main:telegram:bot:direct:42"],
  [{ dmScope: "main", chatType: "group" }, "agent:main:telegram:group:42"],
  [{ dmScope: "per-peer", chatType: "channel", threadId: "7" }, "agent:main:telegram:channel:42:thread:7"],
  [{ dmScope: "main", chatType: "direct", threadId: "7" }, "agent:main:main:thread:7"],
] as const)("a message at %j belongs to %s", (where, key) => {
  expect(
    channelSessionKey({
      agentId: "main",
      mainKey: "main",
      channel: "telegram",
      accountId: "bot",
      peerId: "42",
      ...where,
    }),
  ).toBe(key);
});

test("a key is read back", () => {
  expect(parseKey("agent:main:main")).toEqual({ agentId: "main", rest: "main", kind: "direct" });
  expect(parseKey("agent:w:telegram:group:-1:thread:2")).toEqual({
    agentId: "w",
    rest: "telegram:group:-1:thread:2",
    kind: "group",
    channel: "telegram",
  });
  expect(parseKey("agent:w:irc:acct:direct:p")).toEqual({
    agentId: "w",
    rest: "irc:acct:direct:p",
    kind: "direct",
    channel: "irc",
  });
  expect(parseKey("agent:w:direct:p")).toEqual({ agentId: "w", rest: "direct:p", kind: "direct" });
  expect(parseKey("global")).toEqual({ agentId: undefined, rest: "global", kind: "global" });
});
