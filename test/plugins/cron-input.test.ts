import { describe, expect, test } from "vitest";
import { tidyJob, tidyPatch } from "../../plugins/services/cron/normalize.ts";
import { refusalOf, staggerFor } from "../../plugins/services/cron/schedule.ts";

const every = { kind: "every", everyMs: 60_000 };
const text = { kind: "systemEvent", text: "tick" };

describe("what is left out of a job is filled in", () => {
  test.each([
    [{ text: "Water the plants\nall of them" }, "Water the plants"],
    [{ message: "x".repeat(80) }, `${"x".repeat(59)}…`],
    [{ payload: { kind: "systemEvent", text: " " }, schedule: { expr: "0 9 * * *" } }, "Cron: 0 9 * * *"],
    [{ payload: { kind: "systemEvent", text: "" } }, "Every: 60000ms"],
    [{ payload: { kind: "systemEvent", text: "" }, schedule: { at: "2999-01-01" } }, "One-shot"],
    [{ name: "  mine ", ...text }, "mine"],
  ])("the name of %j", (job, name) => {
    expect(tidyJob({ schedule: every, ...job })).toMatchObject({ name });
  });

  test("the kind of a schedule, and a time in any spelling", () => {
    const kindOf = (schedule: object): unknown => (tidyJob({ schedule, text: "x" }) as never)["schedule"];
    const at = "2030-01-02T03:04:05.000Z";
    for (const given of [
      { atMs: Date.parse(at) },
      { atMs: String(Date.parse(at)) },
      { at },
      { kind: " AT ", at: "2030-01-02T03:04:05" },
      { at: "2030-01-02T04:04:05+01:00" },
    ])
      expect(kindOf(given)).toEqual({ kind: "at", at });
    expect(kindOf({ at: "soon" })).toEqual({ kind: "at", at: "soon" });
    expect(kindOf({ everyMs: 5 })).toEqual({ kind: "every", everyMs: 5 });
    expect(kindOf({ expr: "5 * * * *" })).toEqual({ kind: "cron", expr: "5 * * * *" });
    expect(kindOf({ expr: "0 * * * *" })).toEqual({ kind: "cron", expr: "0 * * * *", staggerMs: 300_000 });
    expect(kindOf({ expr: "0 * * * *", staggerMs: "0" })).toMatchObject({ staggerMs: 0 });
  });

  test("payload, session and delivery", () => {
    const turn = {
      kind: "agentTurn",
      message: "look",
      model: "openai/x",
      timeoutSeconds: 5,
    };
    expect(tidyJob({ schedule: every, message: " look ", model: "openai/x", timeoutSeconds: 5.7 })).toEqual({
      name: "look",
      enabled: true,
      schedule: every,
      sessionTarget: "isolated",
      wakeMode: "now",
      payload: { ...turn, timeoutSeconds: 5.7 },
      delivery: { mode: "announce" },
    });
    expect(
      tidyJob({
        schedule: every,
        payload: { message: "m", provider: "Telegram", to: " 42 ", deliver: true, bestEffortDeliver: true },
      }),
    ).toMatchObject({
      payload: { kind: "agentTurn", message: "m" },
      delivery: { mode: "announce", channel: "telegram", to: "42", bestEffort: true },
    });
    expect(tidyJob({ schedule: every, message: "m", deliver: false })).toMatchObject({
      delivery: { mode: "none" },
    });
    expect(tidyJob({ schedule: every, message: "m", delivery: { mode: "Deliver", to: " " } })).toMatchObject({
      delivery: { mode: "announce" },
    });
    expect(tidyJob({ schedule: every, payload: { kind: "SYSTEMEVENT", text: "t" } })).toMatchObject({
      payload: { kind: "systemEvent", text: "t" },
      sessionTarget: "main",
    });
    expect(
      tidyJob({ schedule: every, message: "m", sessionTarget: "current", sessionKey: "agent:main:x" }),
    ).toMatchObject({ sessionTarget: "session:agent:main:x" });
    expect(tidyJob({ schedule: every, message: "m", sessionTarget: "current" })).toMatchObject({
      sessionTarget: "isolated",
    });
  });

  test("a one-shot is removed once it has run, unless it is to stay", () => {
    const at = { kind: "at", at: "2030-01-01" };
    expect(tidyJob({ schedule: at, text: "x" })).toMatchObject({ deleteAfterRun: true });
    expect(tidyJob({ schedule: at, text: "x", deleteAfterRun: false })).toMatchObject({
      deleteAfterRun: false,
    });
  });
});

test("a job may be wrapped, and what a model adds to it is taken away", () => {
  const job = { name: "n", schedule: every, payload: text, sessionTarget: "Main", wakeMode: "NOW" };
  const tidied = { ...job, sessionTarget: "main", wakeMode: "now", enabled: true };
  for (const wrapped of [job, { job }, { data: { ...job, isolation: {} } }, { ...job, agentId: "  " }])
    expect(tidyJob(wrapped)).toEqual(tidied);
  expect(tidyJob({ ...job, agentId: " Ops Team " })).toMatchObject({ agentId: "ops-team" });
  expect(tidyJob({ ...job, agentId: null })).toMatchObject({ agentId: null });
});

test("a patch is tidied up as well, and nothing is filled in", () => {
  expect(tidyPatch({ enabled: "false" })).toEqual({ enabled: false });
  expect(tidyPatch({ wakeMode: "whenever", sessionTarget: "elsewhere" })).toEqual({});
  expect(tidyPatch({ schedule: { expr: "0 * * * *" } })).toEqual({
    schedule: { kind: "cron", expr: "0 * * * *" },
  });
  expect(tidyPatch({ model: "x/y" })).toEqual({});
});

test("what is no job at all is left for the refusal", () => {
  for (const raw of [null, [], "job", 7]) expect(tidyJob(raw)).toBe(raw);
  expect(tidyJob({ name: "bad" })).toEqual({ name: "bad", wakeMode: "now", enabled: true });
  expect(tidyJob({ payload: 5, schedule: "daily" })).toMatchObject({ payload: 5, schedule: "daily" });
  expect(tidyJob({ payload: { kind: {}, text: "x" } })).toMatchObject({ payload: { kind: {} } });
});

test("jobs for the full hour are spread over its first minutes, others are not", () => {
  for (const expr of ["0 * * * *", "0 */2 * * *", "0 0 * * * *"]) expect(staggerFor(expr)).toBe(300_000);
  for (const expr of ["0 9 * * *", "5 * * * *", "30 0 * * * *", "@hourly", ""])
    expect(staggerFor(expr)).toBeUndefined();
});

test("a moment that is past by more than a minute, or too far away, is refused", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");
  const at = (when: string): string | undefined => refusalOf({ kind: "at", at: when }, now);
  expect(at("2026-01-01T11:59:30Z")).toBeUndefined();
  expect(at("2026-01-01T11:57:30Z")).toBe(
    "schedule.at is in the past: 2026-01-01T11:57:30.000Z (2 minutes ago). Current time: 2026-01-01T12:00:00.000Z",
  );
  expect(at("2037-01-01T00:00:00Z")).toBe(
    "schedule.at is too far in the future: 2037-01-01T00:00:00.000Z (10 years ahead). Maximum allowed: 10 years",
  );
  expect(at("tomorrow")).toBe("Invalid schedule.at: expected ISO-8601 timestamp (got tomorrow)");
});
