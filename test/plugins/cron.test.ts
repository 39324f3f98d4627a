import { type OutboundMessage } from "@rclaw/plugin-sdk";
import { beforeEach, describe, expect, test, vi } from "vitest";
import {
  add,
  answerOf,
  type Asked,
  bench,
  hour,
  jobs,
  minute,
  reminder,
  runs,
  start,
  stateOf,
  turn,
  withClock,
} from "./cron.support.ts";

withClock();

describe("a job runs by itself", () => {
  test("at even intervals from its anchor, and a busy one is not begun twice", async () => {
    let done: (answer: object) => void = () => undefined;
    await using on = await bench({ agent: () => new Promise((resolve) => (done = resolve)) });
    await add(on, { schedule: { kind: "every", everyMs: hour }, payload: turn });
    await vi.advanceTimersByTimeAsync(hour - 1);
    expect(on.asked).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(on.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(3 * hour);
    expect(on.asked).toHaveLength(1);
    const [{ id } = {}] = await jobs(on);
    expect(await on.call("cron.run", { id })).toEqual({ ok: true, ran: false, reason: "already-running" });
    done(answerOf("well"));
    await vi.advanceTimersByTimeAsync(0);
    expect(await stateOf(on)).toMatchObject({ lastStatus: "ok", nextRunAtMs: start + 5 * hour });
  });

  test("by a cron expression in its own time zone, also when the clocks change", async () => {
    await using on = await bench();
    await add(on, {
      schedule: { kind: "cron", expr: "30 8 * * *", tz: "Europe/Vienna" },
      text: "morning",
    });
    const times: string[] = [];
    for (let day = 0; day < 3; day++) {
      const next = (await stateOf(on))["nextRunAtMs"] as number;
      times.push(new Date(next).toISOString());
      await vi.advanceTimersByTimeAsync(next - Date.now());
    }
    // Summer time begins on the 29th.
    expect(times).toEqual([
      "2026-03-29T06:30:00.000Z",
      "2026-03-30T06:30:00.000Z",
      "2026-03-31T06:30:00.000Z",
    ]);
    expect(on.asked.map(({ text }) => text)).toEqual(["morning", "morning", "morning"]);
  });

  test("once, and is gone or off afterwards", async () => {
    await using on = await bench();
    const schedule = { kind: "at", at: new Date(start + minute).toISOString() };
    await add(on, { schedule, payload: reminder });
    const kept = await add(on, { schedule, payload: reminder, deleteAfterRun: false });
    await vi.advanceTimersByTimeAsync(2 * minute);
    expect(on.asked).toHaveLength(2);
    expect(await jobs(on)).toMatchObject([{ id: kept, enabled: false, state: { lastStatus: "ok" } }]);
    const actions = on.events.map(({ payload }) => payload["action"]);
    expect(actions.filter((action) => action === "removed")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(hour);
    expect(on.asked).toHaveLength(2);
  });

  test("not while it is off, or jobs are, or only a command is there", async () => {
    const job = { schedule: { kind: "every", everyMs: minute }, payload: reminder };
    await using off = await bench();
    const id = await add(off, { ...job, enabled: false });
    await using none = await bench({ config: { enabled: false } });
    await add(none, job);
    await using command = await bench({ serving: false });
    await add(command, job);
    await vi.advanceTimersByTimeAsync(hour);
    for (const on of [off, none, command]) expect(on.asked).toEqual([]);
    expect(await none.call("cron.status")).toMatchObject({ enabled: false, jobs: 1, nextWakeAtMs: null });
    await off.call("cron.update", { id, patch: { enabled: true } });
    await vi.advanceTimersByTimeAsync(minute);
    expect(off.asked).toEqual([{ mode: "now", text: "tick" }]);
  });

  test("SEC-087: never more often than every two seconds, and no more of them at once than allowed", async () => {
    let busy = 0;
    let most = 0;
    await using on = await bench({
      config: { maxConcurrentRuns: 2 },
      async agent() {
        most = Math.max(most, ++busy);
        await new Promise((resolve) => setTimeout(resolve, 10));
        busy--;
        return answerOf("ok");
      },
    });
    for (let i = 0; i < 5; i++)
      await add(on, { schedule: { kind: "every", everyMs: 1 }, payload: turn, name: `job ${i}` });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(most).toBe(2);
    expect(on.asked.length).toBeLessThanOrEqual(5 * 6);
    expect(on.asked.length).toBeGreaterThan(5 * 3);
  });
});

test("a job that fails waits longer each time, and starts anew with its first success", async () => {
  let isBroken = true;
  await using on = await bench({
    agent: () => (isBroken ? Promise.reject(new Error("no model")) : answerOf("ok")),
  });
  await add(on, { schedule: { kind: "every", everyMs: 1_000 }, payload: turn });
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) {
    const next = (await stateOf(on))["nextRunAtMs"] as number;
    waits.push(next - Date.now());
    await vi.advanceTimersByTimeAsync(next - Date.now());
  }
  expect(waits).toEqual([1_000, 30_000, minute, 5 * minute, 15 * minute, hour]);
  expect(await stateOf(on)).toMatchObject({
    lastStatus: "error",
    lastError: "no model",
    consecutiveErrors: 6,
  });
  isBroken = false;
  await vi.advanceTimersByTimeAsync(hour);
  const state = await stateOf(on);
  expect(state).toMatchObject({ lastStatus: "ok", consecutiveErrors: 0 });
  expect(state).not.toHaveProperty("lastError");
  const failed = (await on.call("cron.runs", { status: "error", limit: 2 })) as { total: number };
  expect(failed).toMatchObject({ total: 6, hasMore: true, nextOffset: 2 });
});

describe("an answer", () => {
  const sent: (OutboundMessage & { channel: string })[] = [];
  const channel = (id: string, fail?: Error) => ({
    id,
    textLimit: 4_000,
    start: async () => undefined,
    accounts: async () => [],
    async send(message: OutboundMessage) {
      if (fail) throw fail;
      sent.push({ channel: id, ...message });
      return { id: "1" };
    },
  });
  beforeEach(() => void sent.splice(0));
  const every = { kind: "every", everyMs: hour };

  test("goes to where the job wants it, and silence goes nowhere", async () => {
    let text = "It rains.";
    await using on = await bench({
      channels: [channel("telegram")] as never,
      agent: () => answerOf(text),
    });
    const delivery = { mode: "announce", channel: "telegram", to: "42", threadId: 7 };
    const id = await add(on, { schedule: every, payload: turn, delivery });
    await on.call("cron.run", { id });
    expect(sent).toMatchObject([
      { channel: "telegram", accountId: "default", to: "42", threadId: "7", text: "It rains." },
    ]);
    text = "HEARTBEAT_OK";
    await on.call("cron.run", { id });
    expect(sent).toHaveLength(1);
    expect(await runs(on)).toMatchObject([
      { delivered: false, deliveryStatus: "not-delivered", status: "ok" },
      { delivered: true, deliveryStatus: "delivered", status: "ok", summary: "It rains.", model: "m" },
    ]);
  });

  test("that cannot be delivered is a failure, unless that may be", async () => {
    await using on = await bench({ channels: [channel("telegram", new Error("blocked"))] as never });
    const delivery = { mode: "announce", channel: "telegram", to: "42" };
    const id = await add(on, { schedule: every, payload: turn, delivery });
    await on.call("cron.run", { id });
    const state = await stateOf(on);
    expect(state).toMatchObject({ lastStatus: "error", lastError: "blocked", lastDeliveryError: "blocked" });
    await on.call("cron.update", { id, patch: { delivery: { bestEffort: true } } });
    await on.call("cron.run", { id });
    expect(await stateOf(on)).toMatchObject({ lastStatus: "ok", lastDeliveryStatus: "not-delivered" });
    const nowhere = await add(on, {
      schedule: every,
      payload: turn,
      delivery: { mode: "announce", channel: "irc" },
    });
    await on.call("cron.run", { id: nowhere });
    expect((await runs(on))[0]?.["error"]).toBe("delivering to irc needs a target; set delivery.to");
  });

  test("for the last chat is kept for the conversation as long as there was none", async () => {
    await using on = await bench();
    const id = await add(on, { schedule: every, payload: turn, delivery: { mode: "announce" } });
    await on.call("cron.run", { id });
    expect(on.asked.at(-1)).toEqual({ mode: "next-heartbeat", text: "Cron: all is well" });
  });

  test("is posted to a webhook with the token, and a job that keeps failing is reported", async () => {
    const posted: { url: string; auth: string | null; body: Asked }[] = [];
    let isBroken = false;
    await using on = await bench({
      config: { webhookToken: "t0ken" },
      agent: () => (isBroken ? Promise.reject(new Error("no model")) : answerOf("done")),
      fetch: async (url, init) => {
        const body = JSON.parse(init?.body as string) as Asked;
        posted.push({ url: url as string, auth: new Headers(init?.headers).get("authorization"), body });
        return new Response(null, { status: 204 });
      },
    });
    const id = await add(on, {
      schedule: every,
      payload: turn,
      delivery: { mode: "webhook", to: "https://hooks.example.org/a" },
      failureAlert: { after: 2, mode: "webhook", to: "https://hooks.example.org/alarm" },
    });
    await on.call("cron.run", { id });
    await vi.advanceTimersByTimeAsync(0);
    expect(posted).toMatchObject([
      { url: "https://hooks.example.org/a", auth: "Bearer t0ken", body: { jobId: id, summary: "done" } },
    ]);
    isBroken = true;
    for (let i = 0; i < 4; i++) await on.call("cron.run", { id });
    await vi.advanceTimersByTimeAsync(0);
    expect(posted.slice(1).map(({ url, body }) => [url, body["text"]])).toEqual([
      ["https://hooks.example.org/alarm", 'Cron job "look around" failed 2 times in a row: no model'],
    ]);
  });
});

test("what cannot be kept is refused, and says what to do", async () => {
  await using on = await bench();
  const schedule = { kind: "every", everyMs: hour };
  await expect(add(on, { schedule, text: "x".repeat(70_000) })).rejects.toThrow(
    /the job has \d+ bytes, and 65536 can be kept; put the text into a file/,
  );
  await expect(add(on, { schedule, payload: { ...turn, toolsAllow: ["read"] } })).rejects.toThrow(
    "payload.toolsAllow is not supported",
  );
  for (let i = 0; i < 11; i++) await add(on, { schedule, text: `${i}${"x".repeat(50_000)}` });
  await expect(
    (async () => {
      for (let i = 0; i < 3; i++) await add(on, { schedule, text: "x".repeat(50_000) });
    })(),
  ).rejects.toThrow(/cron jobs would take \d+ bytes together, and 600000 can be kept; remove one/);
  const [{ id } = {}] = await jobs(on);
  expect(await on.call("cron.remove", { id })).toEqual({ ok: true, removed: true });
  for (let i = 0; i < 200; i++) await on.call("cron.run", { id: (await jobs(on))[0]?.["id"] });
  const stored = JSON.stringify([await on.context.storage.get("jobs"), await on.context.storage.get("runs")]);
  expect(stored.length).toBeLessThan(1_000_000);
});

test("jobs are found by words, state, kind and agent, in any order and page", async () => {
  await using on = await bench();
  const list = async (query: object): Promise<unknown[]> =>
    ((await on.call("cron.list", query)) as { jobs: Asked[] }).jobs.map(({ name }) => name);
  await add(on, { name: "b", schedule: { kind: "every", everyMs: hour }, text: "x", description: "plants" });
  await add(on, { name: "A", schedule: { kind: "every", everyMs: minute }, text: "x", agentId: "ops" });
  await add(on, { name: "c", schedule: { expr: "0 9 * * *" }, text: "x", enabled: false });
  expect(await list({})).toEqual(["A", "b"]);
  expect(await list({ enabled: "all", sortBy: "name" })).toEqual(["A", "b", "c"]);
  expect(await list({ enabled: "disabled" })).toEqual(["c"]);
  expect(await list({ query: "PLANT" })).toEqual(["b"]);
  expect(await list({ agentId: "ops" })).toEqual(["A"]);
  expect(await list({ includeDisabled: true, scheduleKind: "cron" })).toEqual(["c"]);
  expect(await list({ sortBy: "name", sortDir: "desc", limit: 1, offset: 1 })).toEqual(["A"]);
  const [compact] = ((await on.call("cron.list", { compact: true, limit: 1 })) as { jobs: Asked[] }).jobs;
  expect(compact).toMatchObject({ name: "A", scheduleKind: "every", nextRunAt: "2026-03-28T12:01:00.000Z" });
  expect(compact).toMatchObject({ effectiveAgentId: "ops" });
  expect(compact).not.toHaveProperty("payload");
  const revision = async (query: object): Promise<unknown> =>
    ((await on.call("cron.list", query)) as Asked)["snapshotRevision"];
  expect(await revision({ limit: 10 })).toBeUndefined();
  const before = await revision({ limit: 200 });
  expect(before).toMatch(/^sha256:/);
  expect(await revision({ limit: 200, offset: 1 })).toBe(before);
  await on.call("cron.remove", { id: (await jobs(on))[0]?.["id"] });
  expect(await revision({ limit: 200 })).not.toBe(before);
});

test("a client of protocol 4 changes the job that it saw, and none that was changed meanwhile", async () => {
  await using on = await bench();
  const id = await add(on, { schedule: { kind: "every", everyMs: hour }, text: "x" });
  const [listed] = ((await on.call("cron.list", { limit: 200 })) as { jobs: Asked[] }).jobs;
  const seen = listed?.["configRevision"];
  expect(await on.call("cron.get", { id })).toMatchObject({ configRevision: seen });
  const update = (expectedConfigRevision: unknown, patch: object): Promise<unknown> =>
    on.call("cron.update", { id, expectedConfigRevision, patch });
  // That it ran changes nothing about what it is.
  await on.call("cron.run", { id });
  const changed = (await update(seen, { enabled: false })) as Asked;
  expect(changed).toMatchObject({
    enabled: false,
    configRevision: expect.stringMatching(/^sha256:/) as string,
  });
  await expect(update(seen, { name: "late" })).rejects.toMatchObject({
    code: "INVALID_REQUEST",
    message:
      "cron job definition no longer matches the loaded version; review the latest version before retrying",
    details: {
      code: "CRON_JOB_CHANGED",
      expectedConfigRevision: seen,
      actualConfigRevision: changed["configRevision"],
    },
  });
  expect(await update(changed["configRevision"], { name: "new" })).toMatchObject({ name: "new" });
  // Those of protocol 3 are shown what they know.
  expect(await on.call("cron.update", { id, patch: {} })).not.toHaveProperty("configRevision");
});

test("a job is changed in part, and an impossible change leaves it as it was", async () => {
  await using on = await bench();
  const id = await add(on, {
    schedule: { kind: "cron", expr: "0 * * * *", staggerMs: 7 },
    payload: { ...turn, model: "a/b" },
    agentId: "ops",
  });
  const update = (patch: object): Promise<unknown> => on.call("cron.update", { jobId: id, patch });
  expect(
    await update({
      payload: { kind: "agentTurn", message: "new" },
      schedule: { kind: "cron", expr: "5 * * * *" },
      delivery: { mode: "announce", channel: "telegram", to: "1" },
      agentId: null,
    }),
  ).toMatchObject({
    payload: { kind: "agentTurn", message: "new", model: "a/b" },
    schedule: { kind: "cron", expr: "5 * * * *", staggerMs: 7 },
    delivery: { mode: "announce", channel: "telegram", to: "1" },
  });
  const [before] = await jobs(on);
  expect(before).not.toHaveProperty("agentId");
  await expect(update({ payload: { kind: "systemEvent" } })).rejects.toThrow("requires text");
  await expect(update({ payload: reminder })).rejects.toThrow("isolated cron jobs require");
  await expect(update({ schedule: { kind: "cron", expr: "x" } })).rejects.toThrow("CronPattern");
  await expect(update({ delivery: { mode: "webhook", to: "ftp://x" } })).rejects.toThrow("valid http(s) URL");
  await expect(update({ nonsense: 1 })).rejects.toThrow("invalid cron.update params: ");
  expect(await jobs(on)).toEqual([before]);
  const moved = (await update({ payload: reminder, sessionTarget: "main" })) as Asked;
  expect(moved).not.toHaveProperty("delivery");
});

test("there is room for a thousand jobs, and the next one is told so", async () => {
  const rclaw = await bench();
  const job = (name: string): object => ({
    name,
    schedule: { kind: "every", everyMs: hour },
    sessionTarget: "main",
    payload: reminder,
  });
  for (let number = 0; number < 1_000; number++) await rclaw.call("cron.add", job(`job ${number}`));
  await expect(rclaw.call("cron.add", job("one more"))).rejects.toMatchObject({
    code: "TOO_LARGE",
    message: expect.stringContaining("1000 cron jobs can be kept"),
  });
  expect(await rclaw.call("cron.status")).toMatchObject({ jobs: 1_000 });
});
