import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createAuthority } from "../../../kernel/gateway/auth.ts";
import { authLimits, createLimiter } from "@rclaw/plugin-sdk/services/limiter";
import { inRanges, limitKey, parseHost, peerOf, plainIp } from "@rclaw/plugin-sdk/services/peer";
import { cutBytes, printable } from "@rclaw/plugin-sdk/printable";

test("ten failures within a minute lock for five, spread out they do not", () => {
  let time = 0;
  const limiter = createLimiter(
    () => authLimits,
    () => time,
  );
  for (let i = 0; i < 9; i++) limiter.fail("a");
  expect(limiter.lockedFor("a")).toBe(0);
  limiter.fail("a");
  expect(limiter.lockedFor("a")).toBe(300_000);
  expect(limiter.lockedFor("b")).toBe(0);
  time = 299_999;
  expect(limiter.lockedFor("a")).toBe(1);
  time = 300_000;
  expect(limiter.lockedFor("a")).toBe(0);

  for (let i = 0; i < 100; i++) {
    limiter.fail("slow");
    time += 6_700;
    expect(limiter.lockedFor("slow")).toBe(0);
  }
  for (let i = 0; i < 9; i++) limiter.fail("typist");
  limiter.succeed("typist");
  limiter.fail("typist");
  expect(limiter.lockedFor("typist")).toBe(0);
});

test("changed rules hold at once, for a lock that is on as well", () => {
  let time = 0;
  let rules = authLimits;
  const limiter = createLimiter(
    () => rules,
    () => time,
  );
  for (let i = 0; i < 10; i++) limiter.fail("a");
  expect(limiter.lockedFor("a")).toBe(300_000);
  rules = { ...authLimits, lockoutMs: 5_000, maxAttempts: 2, windowMs: 60_000 };
  expect(limiter.lockedFor("a")).toBe(5_000);
  limiter.fail("b");
  expect(limiter.lockedFor("b")).toBe(0);
  limiter.fail("b");
  expect(limiter.lockedFor("b")).toBe(5_000);
  // A lock shorter than the window it came from: afterwards the count starts anew.
  time = 5_000;
  limiter.fail("b");
  expect(limiter.lockedFor("b")).toBe(0);
});

test("programs on this machine are limited when that is asked for, at once", async () => {
  const wrong = { token: "wrong" };
  const peer = peerOf("127.0.0.1", { host: "localhost" }, []);
  let exemptLoopback = true;
  const authority = createAuthority({
    rules: () => ({
      mode: "token",
      token: "right",
      rateLimit: { ...authLimits, maxAttempts: 3, exemptLoopback },
    }),
    now: () => 0,
  });
  for (let i = 0; i < 5; i++) authority.count(peer, false);
  expect(await authority.judge(wrong, peer)).toMatchObject({ reason: "token_mismatch" });
  exemptLoopback = false;
  for (let i = 0; i < 3; i++) authority.count(peer, false);
  expect(await authority.judge({ token: "right" }, peer)).toMatchObject({ reason: "rate_limited" });
  // A page in the browser has a count of its own.
  const page = peerOf("127.0.0.1", { host: "localhost", origin: "http://localhost" }, []);
  expect(await authority.judge({ token: "right" }, page)).toMatchObject({ ok: true });
  exemptLoopback = true;
  expect(await authority.judge({ token: "right" }, peer)).toMatchObject({ ok: true });
});

test("a flood of addresses fills a bounded table and keeps the newest", () => {
  let time = 0;
  const limiter = createLimiter(
    () => authLimits,
    () => time,
  );
  for (let i = 0; i < 1_000_000; i++) {
    if (i % 1_000 === 0) time++;
    limiter.fail(`k${i}`);
  }
  expect(limiter.size).toBeLessThanOrEqual(10_000);
  for (let i = 0; i < 10; i++) limiter.fail("k999999");
  expect(limiter.lockedFor("k999999")).toBeGreaterThan(0);
});

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::ffff:203.0.113.9", "203.0.113.9"],
  ["::FFFF:203.0.113.9", "203.0.113.9"],
  ["::ffff:cb00:7109", "203.0.113.9"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002::99", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8:0:0::/64"],
])("%s counts as %s", (ip, key) => {
  expect(limitKey(plainIp(ip))).toBe(key);
});

test("an IPv4 address and its mapped forms always share one key", () => {
  fc.assert(
    fc.property(fc.ipV4(), (ip) => {
      const [a = 0, b = 0, c = 0, d = 0] = ip.split(".").map(Number);
      const hex = `::ffff:${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
      expect(limitKey(plainIp(`::ffff:${ip}`))).toBe(limitKey(plainIp(ip)));
      expect(limitKey(plainIp(hex))).toBe(limitKey(plainIp(ip)));
    }),
  );
});

test("a forwarded address is the nearest one that is not a trusted proxy", () => {
  const behind = (remote: string, chain: string | undefined, trusted: string[]) =>
    peerOf(
      remote,
      { host: "localhost:1", ...(chain !== undefined && { "x-forwarded-for": chain }) },
      trusted,
    );
  expect(behind("10.0.0.2", "1.1.1.1, 2.2.2.2", []).ip).toBe("10.0.0.2");
  expect(behind("10.0.0.2", "1.1.1.1, 2.2.2.2", ["10.0.0.0/8"]).ip).toBe("2.2.2.2");
  expect(behind("10.0.0.2", "1.1.1.1, 10.9.9.9", ["10.0.0.0/8"]).ip).toBe("1.1.1.1");
  expect(behind("10.0.0.2", "127.0.0.1, nonsense", ["10.0.0.0/8"])).toMatchObject({
    ip: "10.0.0.2",
    isLoopback: false,
  });
  expect(behind("10.0.0.2", "[2001:db8::1]", ["10.0.0.2"]).ip).toBe("2001:db8::1");
  expect(behind("127.0.0.1", "127.0.0.1", [])).toMatchObject({
    isLoopback: true,
    isLocal: false,
    isUnattributed: true,
  });
  expect(behind("127.0.0.1", undefined, [])).toMatchObject({
    isLoopback: true,
    isLocal: true,
    isUnattributed: false,
  });
  expect(behind("127.0.0.1", "9.9.9.9", ["127.0.0.1"])).toMatchObject({
    ip: "9.9.9.9",
    isLoopback: false,
    isUnattributed: false,
  });
});

test.each([
  ["203.0.113.9:4711", "203.0.113.9"],
  ["[2001:db8::1]:443", "2001:db8::1"],
  ["127.0.0.1", "127.0.0.1"],
  ["unknown", "127.0.0.1"],
  ["", "127.0.0.1"],
])("what a trusted proxy of this machine hands on for %j is not of this machine", (chain, ip) => {
  const peer = peerOf("127.0.0.1", { host: "localhost:1", "x-forwarded-for": chain }, ["127.0.0.1"]);
  expect(peer).toMatchObject({ ip, isLoopback: false, isLocal: false, isUnattributed: false });
});

test.each([
  ["10.1.2.3", "10.0.0.0/8", true],
  ["10.1.2.3", "::ffff:10.0.0.0/104", true],
  ["11.1.2.3", "::ffff:10.0.0.0/104", false],
  ["10.1.2.3", "::ffff:10.1.2.3/128", true],
  ["10.1.2.4", "::ffff:10.1.2.3/128", false],
  ["10.1.2.3", "::ffff:10.0.0.0/90", false],
  ["2001:db8::5", "2001:db8::/32", true],
  ["2001:db9::5", "2001:db8::/32", false],
])("%s in %s: %s", (ip, range, isIn) => {
  expect(inRanges(ip, [range])).toBe(isIn);
});

test("a chain that claims more proxies than anybody has leads to nobody", () => {
  const behind = (hops: number) => {
    const chain = ["1.1.1.1", ...Array<string>(hops).fill("10.0.0.1")].join(",");
    return peerOf("10.0.0.2", { host: "x", "x-forwarded-for": chain }, ["10.0.0.0/8"]).ip;
  };
  expect(behind(31)).toBe("1.1.1.1");
  expect(behind(32)).toBe("10.0.0.2");
});

test.each([
  ["localhost:1", { host: "localhost", port: 1 }],
  ["[::1]:65535", { host: "[::1]", port: 65_535 }],
  ["Example.COM", { host: "example.com", port: undefined }],
  ["a:b", undefined],
  ["a:70000", undefined],
  ["user@a", undefined],
  ["a/b", undefined],
  ["", undefined],
  [undefined, undefined],
])("host %s is %j", (text, parsed) => {
  expect(parseHost(text)).toEqual(parsed);
});

test("what is logged of a stranger has no control characters and a length", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
      const clean = printable(text, 100);
      expect(clean.length).toBeLessThanOrEqual(101);
      expect(clean).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
    }),
  );
  expect(printable(undefined)).toBe("");
});

test("a text is cut to bytes without breaking a character", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", maxLength: 60 }),
      fc.integer({ min: 0, max: 120 }),
      (text, limit) => {
        const cut = cutBytes(text, limit);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(limit);
        expect(text.startsWith(cut)).toBe(true);
      },
    ),
  );
});
