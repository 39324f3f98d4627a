import { expect, test } from "vitest";
import { startModelPeer } from "../support/aimock.ts";
import { startTelegramPeer } from "../support/crabline.ts";
import { startFresh } from "../support/fresh.ts";
import { ask, startProduct, tempState } from "../support/product.ts";
import type { Client, Frame } from "../support/ws-client.ts";

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

const told = (client: Client): readonly Frame[] => client.frames.filter(({ event }) => event === "cron");

const cronEvent = (client: Client, action: string, jobId?: string): Promise<Frame> =>
  client.find(
    ({ event, payload }) =>
      event === "cron" && payload.action === action && (jobId === undefined || payload.jobId === jobId),
  );

test("a job is added, listed, changed, run and removed in the frames that OpenClaw answered with", async () => {
  await using gateway = await startFresh();
  const client = await gateway.connect();
  const empty = { jobs: [], total: 0, offset: 0, hasMore: false, nextOffset: null };
  expect(await ask(client, "cron.list")).toEqual({ ...empty, limit: 50 });
  expect(await ask(client, "cron.list", { includeDisabled: true, limit: 10, offset: 0 })).toEqual({
    ...empty,
    limit: 10,
  });
  expect(await ask(client, "cron.status")).toEqual({
    enabled: true,
    storePath: `${gateway.stateDir}/plugins/cron/storage.json`,
    jobs: 0,
    nextWakeAtMs: null,
  });

  const schedule = { kind: "every", everyMs: 3_600_000 };
  const payload = { kind: "systemEvent", text: "tick" };
  const wanted = { name: "job1", schedule, sessionTarget: "main", wakeMode: "next-heartbeat", payload };
  const job = await ask(client, "cron.add", wanted);
  const { id, createdAtMs: at } = job;
  const nextRunAtMs = at + 3_600_000;
  const kept = { ...schedule, anchorMs: at };
  expect(id).toMatch(uuid);
  expect(job).toEqual({
    ...wanted,
    id,
    enabled: true,
    createdAtMs: at,
    updatedAtMs: at,
    schedule: kept,
    state: { nextRunAtMs },
  });
  expect(told(client).at(-1)?.payload).toEqual({ jobId: id, action: "added", nextRunAtMs });
  expect(await ask(client, "cron.list", {})).toEqual({
    jobs: [job],
    total: 1,
    offset: 0,
    limit: 1,
    hasMore: false,
    nextOffset: null,
  });
  expect((await ask(client, "cron.status")).nextWakeAtMs).toBe(nextRunAtMs);
  // What was acknowledged is on the disk where the answer says.
  expect(await gateway.state.read("plugins/cron/storage.json")).toContain(id);

  const off = await ask(client, "cron.update", { id, patch: { enabled: false } });
  expect(off).toEqual({ ...job, enabled: false, updatedAtMs: off.updatedAtMs, state: {} });
  expect(told(client).at(-1)?.payload).toEqual({ jobId: id, action: "updated" });

  expect(await ask(client, "cron.run", { id, mode: "due" })).toEqual({
    ok: true,
    ran: false,
    reason: "not-due",
  });
  expect(await ask(client, "cron.run", { id, mode: "force" })).toEqual({ ok: true, ran: true });
  const [started, finished] = told(client).slice(-2);
  const { runAtMs, durationMs } = finished?.payload ?? {};
  expect(started?.payload).toEqual({ jobId: id, action: "started", runAtMs });
  const outcome = {
    jobId: id,
    action: "finished",
    status: "ok",
    summary: "tick",
    runAtMs,
    durationMs,
    deliveryStatus: "not-requested",
  };
  expect(finished?.payload).toEqual(outcome);
  const { entries, ...page } = await ask(client, "cron.runs", { id });
  expect(entries).toEqual([{ ts: entries[0].ts, ...outcome }]);
  expect(page).toEqual({ total: 1, offset: 0, limit: 50, hasMore: false, nextOffset: null });
  expect((await ask(client, "cron.runs")).entries).toEqual([{ ...entries[0], jobName: "job1" }]);

  expect(await ask(client, "cron.remove", { id })).toEqual({ ok: true, removed: true });
  expect(told(client).at(-1)?.payload).toEqual({ jobId: id, action: "removed" });
  expect(await ask(client, "cron.remove", { id })).toEqual({ ok: true, removed: false });
});

test("what makes no sense is refused in OpenClaw's words", async () => {
  await using gateway = await startFresh();
  const client = await gateway.connect();
  const refused = async (method: string, params: unknown): Promise<Frame["error"]> =>
    (await client.request(method, params)).error;
  const payload = { kind: "systemEvent", text: "x" };
  const base = { name: "n", sessionTarget: "main", wakeMode: "now", payload };
  expect(await refused("cron.add", { name: "bad" })).toEqual({
    code: "INVALID_REQUEST",
    message:
      "invalid cron.add params: must have required property 'schedule'; must have required property 'sessionTarget'; must have required property 'payload'",
  });
  const past = await refused("cron.add", { ...base, schedule: { kind: "at", at: "2020-01-01T00:00:00Z" } });
  expect(past?.message).toMatch(
    /^schedule\.at is in the past: 2020-01-01T00:00:00\.000Z \(\d+ minutes ago\)\. Current time: \d{4}-.*Z$/,
  );
  const far = await refused("cron.add", { ...base, schedule: { kind: "at", at: "2999-01-01" } });
  expect(far?.message).toMatch(/^schedule\.at is too far in the future: .* Maximum allowed: 10 years$/);
  const turn = { kind: "agentTurn", message: "x" };
  const every = { kind: "every", everyMs: 60_000 };
  expect((await refused("cron.add", { ...base, schedule: every, payload: turn }))?.message).toContain(
    'main cron jobs require payload.kind="systemEvent"',
  );
  expect(
    (await refused("cron.add", { ...base, schedule: every, sessionTarget: "isolated" }))?.message,
  ).toContain('isolated cron jobs require payload.kind="agentTurn"');
  for (const expr of ["nonsense", "61 * * * *"]) {
    expect((await refused("cron.add", { ...base, schedule: { kind: "cron", expr } }))?.message).toMatch(
      /^invalid cron\.add params: CronPattern: /,
    );
  }
  const nowhere = { kind: "cron", expr: "0 9 * * *", tz: "Nowhere/Land" };
  expect((await refused("cron.add", { ...base, schedule: nowhere }))?.message).toContain("Invalid time");
  for (const method of ["cron.update", "cron.run"]) {
    const params = method === "cron.run" ? { id: "nope" } : { id: "nope", patch: {} };
    expect(await refused(method, params)).toMatchObject({
      code: "UNAVAILABLE",
      message: "Error: unknown cron job id: nope",
    });
  }
  expect((await refused("cron.runs", { id: "../x" }))?.message).toMatch(
    /^invalid cron\.runs params: at \/id/,
  );
  expect((await refused("cron.runs", { scope: "job" }))?.message).toBe(
    "invalid cron.runs params: missing id",
  );
  const reader = await gateway.connect({ scopes: ["operator.write"] });
  expect((await reader.request("cron.list")).ok).toBe(true);
  for (const method of ["cron.add", "cron.update", "cron.remove", "cron.run", "system-event"])
    expect((await reader.request(method, {})).error?.message).toBe("missing scope: operator.admin");
  expect((await ask(client, "cron.status")).jobs).toBe(0);
});

test("a job that came due while the gateway was away runs once when it is back, and is gone when it should be", async () => {
  await using state = await tempState();
  // Jobs are kept, and none runs: as if it were not there when the time comes.
  const first = await startProduct({ stateDir: state.dir, config: { cron: { enabled: false } } });
  const client = await first.connect();
  // Sloppily written: no name, no target, a time as a number.
  const { id } = await ask(client, "cron.add", {
    schedule: { atMs: Date.now() + 1 },
    payload: { text: "the oven" },
    wakeMode: "next-heartbeat",
  });
  const daily = await ask(client, "cron.add", {
    name: "daily",
    schedule: { expr: "0 9 * * *", tz: "Europe/Vienna" },
    message: "what is new?",
    delivery: { mode: "none" },
  });
  expect(daily).toMatchObject({
    schedule: { kind: "cron", expr: "0 9 * * *", tz: "Europe/Vienna" },
    sessionTarget: "isolated",
    wakeMode: "now",
    payload: { kind: "agentTurn", message: "what is new?" },
  });
  await first.kill();

  await using again = await startProduct({ stateDir: state.dir, config: {} });
  const back = await again.connect();
  await expect
    .poll(async () => (await ask(back, "cron.runs", { id })).entries, { timeout: 15_000 })
    .toMatchObject([{ status: "ok", summary: "the oven" }]);
  const { jobs } = await ask(back, "cron.list", { includeDisabled: true });
  expect(jobs).toEqual([daily]);
  // The line waits for the next prompt of the main session.
  await ask(back, "chat.send", { sessionKey: "main", message: "hello", idempotencyKey: "hello" });
  await back.find(({ event, payload }) => event === "chat" && payload.state === "final");
  expect((await state.filesWith("UTC] the oven")).filter((file) => file.endsWith(".jsonl"))).not.toEqual([]);
});

test("a task runs in a session of its own, anew each time, and its answer stands in the log", async () => {
  await using gateway = await startFresh();
  const client = await gateway.connect();
  const { id } = await ask(client, "cron.add", {
    schedule: { kind: "every", everyMs: 86_400_000 },
    payload: { kind: "agentTurn", message: "say hello" },
  });
  expect(await ask(client, "cron.run", { jobId: id })).toEqual({ ok: true, ran: true });
  const { payload } = await cronEvent(client, "finished", id);
  expect(payload).toMatchObject({
    status: "ok",
    sessionKey: `agent:main:cron:${id}`,
    delivered: false,
    deliveryStatus: "not-delivered",
  });
  expect(payload.summary).not.toBe("");
  const [first] = (await ask(client, "cron.runs", { id })).entries;
  await ask(client, "cron.run", { id });
  const [second] = (await ask(client, "cron.runs", { id })).entries;
  expect(second.sessionId).not.toBe(first.sessionId);
  const { messages } = await ask(client, "chat.history", { sessionKey: `cron:${id}` });
  expect(messages.filter(({ role }: { role: string }) => role === "user")).toHaveLength(1);
});

test("a task that a kill cut short is taken up, and its answer arrives once", async () => {
  await using state = await tempState();
  await using telegram = await startTelegramPeer();
  await using model = await startModelPeer();
  model.mock.on(
    { userMessage: "count the sheep" },
    { content: "There are twelve sheep in the field, and one of them is black." },
    { chunkSize: 4, streamingProfile: { ttft: 20, tps: 20 } },
  );
  const { env, config: provider } = model.anthropic();
  const { token: botToken, apiRoot } = telegram;
  const config = { ...provider, channels: { telegram: { botToken, apiRoot, allowFrom: [4711] } } };
  const first = await startProduct({ stateDir: state.dir, env, config });
  const client = await first.connect();
  const { id } = await ask(client, "cron.add", {
    schedule: { kind: "every", everyMs: 86_400_000 },
    message: "count the sheep",
    delivery: { mode: "announce", channel: "telegram", to: "4711" },
  });
  client.send({ type: "req", id: "run", method: "cron.run", params: { id } });
  await client.find(({ event, payload }) => event === "agent" && payload.stream === "assistant");
  await first.kill();

  await using again = await startProduct({ stateDir: state.dir, env });
  const back = await again.connect();
  await expect
    .poll(async () => (await ask(back, "cron.runs", { id })).entries, { timeout: 20_000 })
    .toMatchObject([{ status: "ok", delivered: true, deliveryStatus: "delivered" }]);
  expect((await telegram.sent()).filter((text) => text.includes("twelve sheep"))).toHaveLength(1);
  const { messages } = await ask(back, "chat.history", { sessionKey: `cron:${id}` });
  expect(messages.filter(({ role }: { role: string }) => role === "user")).toHaveLength(1);
});

test("two who change a job at once do not undo each other's settings unseen", async () => {
  await using state = await tempState();
  await using gateway = await startProduct({ stateDir: state.dir });
  const client = await gateway.connect();
  const schedule = { kind: "every", everyMs: 3_600_000 };
  const payload = { kind: "systemEvent", text: "tick" };
  const wanted = { name: "job1", schedule, sessionTarget: "main", wakeMode: "next-heartbeat", payload };
  const { id } = await ask(client, "cron.add", { ...wanted, enabled: false });
  const { configRevision: seen } = await ask(client, "cron.get", { id });
  const listed = await ask(client, "cron.list", { includeDisabled: true, agentId: "main" });
  expect(listed.jobs).toMatchObject([{ id, configRevision: seen }]);

  const change = { id, patch: { name: "job2" }, expectedConfigRevision: seen };
  expect(await ask(client, "cron.update", change)).toMatchObject({ name: "job2" });
  const late = await client.request("cron.update", { ...change, patch: { name: "job3" } });
  expect(late.error?.message).toBe(
    "cron job definition no longer matches the loaded version; review the latest version before retrying",
  );
  expect(late.error?.details).toMatchObject({ code: "CRON_JOB_CHANGED", expectedConfigRevision: seen });
  const { name, configRevision } = await ask(client, "cron.get", { id });
  expect([name, configRevision === seen]).toEqual(["job2", false]);
  expect(await ask(client, "cron.run", { id, mode: "if-enabled" })).toEqual({
    ok: true,
    ran: false,
    reason: "disabled",
  });
});
