import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Caller } from "@rclaw/plugin-sdk";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createPairing, type Pairing, pairingMethods } from "../../plugins/services/channels/pairing.ts";

let dir: string;
let clock: number;
let pairing: Pairing;
const open = (): Pairing => createPairing({ dir: path.join(dir, "credentials"), now: () => clock });

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "rclaw-pairing-"));
  clock = Date.parse("2026-01-01T00:00:00Z");
  pairing = open();
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const file = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(path.join(dir, "credentials", name), "utf8"));
const ask = async (id: string, accountId = "default", channel = "telegram"): Promise<string> => {
  const request = await pairing.request(channel, accountId, { id });
  expect(request?.isNew).toBe(true);
  return request!.code;
};

test("a request makes a code in OpenClaw's file, readable by the owner only", async () => {
  const code = await ask("42");
  expect(code).toMatch(/^[ABCDEFGHJKLMNPQRSTUVWXYZ23456789]{8}$/);
  const at = "2026-01-01T00:00:00.000Z";
  expect(await file("telegram-pairing.json")).toEqual({
    version: 1,
    requests: [{ id: "42", code, createdAt: at, lastSeenAt: at, meta: { accountId: "default" } }],
  });
  expect((await stat(path.join(dir, "credentials", "telegram-pairing.json"))).mode & 0o777).toBe(0o600);
  expect((await stat(path.join(dir, "credentials"))).mode & 0o777).toBe(0o700);
});

test("asking again is the same request, and so is asking after a restart", async () => {
  const code = await ask("42");
  expect(await pairing.request("telegram", "default", { id: "42" })).toEqual({ code, isNew: false });
  pairing = open();
  expect(await pairing.request("telegram", "default", { id: "42" })).toEqual({ code, isNew: false });
});

test("approving lets the sender in, on that channel and account only", async () => {
  const code = await ask("42", "alerts");
  expect(await pairing.approve("telegram", ` ${code.toLowerCase()} `)).toEqual({
    channel: "telegram",
    accountId: "alerts",
    id: "42",
    peerId: "42",
  });
  expect(await pairing.allowed("telegram", "alerts")).toEqual(["42"]);
  expect(await pairing.allowed("telegram", "default")).toEqual([]);
  expect(await pairing.allowed("discord", "alerts")).toEqual([]);
  const second = await ask("42");
  await pairing.approve("telegram", second);
  expect(await file("telegram-allowFrom.json")).toEqual({ version: 1, allowFrom: ["42"] });
  expect((await pairing.list()).allowed).toEqual([
    { channel: "telegram", accountId: "default", id: "42" },
    { channel: "telegram", accountId: "alerts", id: "42" },
  ]);
  expect(await pairing.revoke("telegram", "42")).toEqual({ revoked: true });
  expect(await pairing.revoke("telegram", "42")).toEqual({ revoked: false });
  expect((await pairing.list("telegram")).allowed).toEqual([]);
});

describe("SEC-065", () => {
  test("a code works once", async () => {
    const code = await ask("42");
    await pairing.approve("telegram", code);
    await expect(pairing.approve("telegram", code)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("a code expires after an hour and makes room for a new one", async () => {
    const code = await ask("42");
    clock += 3_600_000;
    await expect(pairing.approve("telegram", code)).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await ask("42")).not.toBe(code);
  });

  test("a code is worth nothing on another channel", async () => {
    const code = await ask("42");
    await expect(pairing.approve("discord", code)).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await pairing.allowed("discord", "default")).toEqual([]);
  });

  test("three may wait per channel and account; the fourth hears nothing", async () => {
    for (const id of ["1", "2", "3"]) await ask(id);
    expect(await pairing.request("telegram", "default", { id: "4" })).toBeUndefined();
    await ask("4", "alerts");
    await ask("4", "default", "discord");
    expect((await pairing.list("telegram")).requests).toHaveLength(4);
  });

  test("ten thousand requests at once never exceed the cap", async () => {
    const results = await Promise.all(
      Array.from({ length: 10_000 }, (_, i) =>
        pairing.request("telegram", "default", { id: String(i % 5_000) }),
      ),
    );
    expect(results.filter((result) => result?.isNew)).toHaveLength(3);
    expect(new Set(results.filter((result) => result).map((result) => result!.code)).size).toBe(3);
    expect((await pairing.list()).requests).toHaveLength(3);
  });

  test("whatever the order of steps, at most three wait, a code admits its own sender once, and nobody else gets in", async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("ask" as const),
        id: fc.constantFrom("1", "2", "3", "4", "5"),
        account: fc.constantFrom("default", "b"),
      }),
      fc.record({ kind: fc.constant("approve" as const), pick: fc.nat(9) }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(60_000, 1_800_000, 3_600_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 8 }), async (rounds) => {
        await rm(path.join(dir, "credentials"), { recursive: true, force: true });
        pairing = open();
        const codes: { code: string; id: string; account: string }[] = [];
        const admitted = new Set<string>();
        for (const round of rounds) {
          // The steps of a round race each other.
          await Promise.all(
            round.map(async (action) => {
              if (action.kind === "wait") clock += action.ms;
              if (action.kind === "ask") {
                const made = await pairing.request("telegram", action.account, { id: action.id });
                if (made?.isNew) codes.push({ code: made.code, id: action.id, account: action.account });
              }
              const chosen = action.kind === "approve" ? codes[action.pick] : undefined;
              if (!chosen) return;
              const approved = await pairing.approve("telegram", chosen.code).catch(() => undefined);
              if (!approved) return;
              expect(approved).toMatchObject({ id: chosen.id, accountId: chosen.account });
              admitted.add(`${chosen.account}:${chosen.id}`);
            }),
          );
          const { requests, allowed } = await pairing.list();
          for (const account of ["default", "b"]) {
            expect(requests.filter(({ meta }) => meta.accountId === account).length).toBeLessThanOrEqual(3);
          }
          expect(new Set(allowed.map(({ accountId, id }) => `${accountId}:${id}`))).toEqual(admitted);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("wrong codes are counted, per channel", async () => {
    const code = await ask("42");
    for (let i = 0; i < 5; i++)
      await expect(pairing.approve("telegram", "AAAAAAAA")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(pairing.approve("telegram", code)).rejects.toMatchObject({
      code: "RATE_LIMITED",
      details: { retryAfterMs: 60_000 },
    });
    await expect(pairing.approve("discord", code)).rejects.toMatchObject({ code: "NOT_FOUND" });
    clock += 60_001;
    await expect(pairing.approve("telegram", code)).resolves.toMatchObject({ id: "42" });
  });

  test("every letter comes up about as often", async () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 250; i++) {
      for (const letter of await ask(String(i), String(i), "x"))
        counts.set(letter, (counts.get(letter) ?? 0) + 1);
      await pairing.revoke("x", String(i));
    }
    expect(counts.size).toBe(32);
    for (const count of counts.values()) expect(count).toBeLessThan((2_000 / 32) * 2);
  });
});

test("no channel or account shares a file with another, and none leaves the folder", async () => {
  for (const [channel, account] of [
    ["a", "b"],
    ["a-b", "default"],
    ["a", "../../evil"],
    ["a", "b-allowFrom.json/.."],
  ] as const) {
    await pairing.approve(channel, await ask(`${channel}/${account}`, account, channel));
  }
  expect(await pairing.allowed("a-b", "default")).toEqual(["a-b/default"]);
  expect(await pairing.allowed("a", "b")).toEqual(["a/b"]);
  expect(await readdir(dir)).toEqual(["credentials"]);
  expect((await pairing.list("a")).allowed.map(({ accountId }) => accountId).sort()).toEqual([
    "../../evil",
    "b",
    "b-allowFrom.json/..",
  ]);
  await expect(pairing.approve("../x", "AAAAAAAA")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  await expect(pairing.list("../x")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

test("a corrupt file lets nobody in, is set aside, and pairing goes on", async () => {
  await pairing.approve("telegram", await ask("42"));
  for (const content of ["{", '{"version":1,"allowFrom":"42"}', "null"]) {
    await writeFile(path.join(dir, "credentials", "telegram-allowFrom.json"), content);
    expect(await pairing.allowed("telegram", "default")).toEqual([]);
  }
  expect(
    (await readdir(path.join(dir, "credentials"))).filter((name) => name.includes(".corrupt-")),
  ).not.toEqual([]);
  await pairing.approve("telegram", await ask("42"));
  expect(await pairing.allowed("telegram", "default")).toEqual(["42"]);
});

test("files from OpenClaw are read as they are", async () => {
  await ask("1");
  const at = new Date(clock).toISOString();
  const folder = path.join(dir, "credentials");
  await writeFile(
    path.join(folder, "telegram-pairing.json"),
    JSON.stringify({ version: 1, requests: [{ id: "9", code: "ABCDEFGH", createdAt: at, lastSeenAt: at }] }),
  );
  await writeFile(
    path.join(folder, "telegram-allowFrom.json"),
    JSON.stringify({ version: 1, allowFrom: ["7"] }),
  );
  expect(await pairing.approve("telegram", "ABCDEFGH")).toMatchObject({ id: "9", accountId: "default" });
  expect(await pairing.allowed("telegram", "default")).toEqual(["7", "9"]);
});

test("the gateway methods list, approve with a word to the sender, and revoke", async () => {
  const told: string[][] = [];
  const table = new Map(
    pairingMethods({
      pairing,
      notify: async (...[channel, account, peer]) => {
        told.push([channel, account, peer]);
        if (peer === "unreachable") throw new Error("gone");
      },
    }).map((method) => [method.name, method]),
  );
  expect([...table.values()].map(({ name, scope }) => [name, scope])).toEqual([
    ["pairing.list", "operator.pairing"],
    ["pairing.approve", "operator.pairing"],
    ["pairing.revoke", "operator.pairing"],
  ]);
  const call = (name: string, params: object) =>
    table.get(name)!.handle({
      params,
      caller: {} as Caller,
      signal: new AbortController().signal,
      accept: () => undefined,
    });
  const { code } = (await pairing.request("telegram", "default", {
    id: "42",
    name: "Alice",
    peerId: "chat-42",
  }))!;
  expect(await call("pairing.list", {})).toMatchObject({
    requests: [{ channel: "telegram", id: "42", code, meta: { name: "Alice" } }],
    allowed: [],
  });
  expect(await call("pairing.approve", { channel: "telegram", code, notify: true })).toEqual({
    channel: "telegram",
    accountId: "default",
    id: "42",
    notified: true,
  });
  expect(told).toEqual([["telegram", "default", "chat-42"]]);
  const other = (await pairing.request("telegram", "default", { id: "43", peerId: "unreachable" }))!;
  expect(
    await call("pairing.approve", { channel: "telegram", code: other.code, notify: true }),
  ).toMatchObject({ id: "43", notified: false });
  expect(await call("pairing.revoke", { channel: "telegram", id: "42" })).toEqual({ revoked: true });
});
