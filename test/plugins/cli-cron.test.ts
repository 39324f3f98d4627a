import { expect, test } from "vitest";
import { rclaw } from "./cli-terminal.ts";

const id = "10e975bf-b82a-413e-a55a-6da47aff53c2";
const job = {
  id,
  name: "Morning",
  enabled: true,
  schedule: { kind: "cron", expr: "0 9 * * *", tz: "Europe/Vienna" },
  state: { nextRunAtMs: Date.now() + 2 * 3_600_000 + 60_000, lastStatus: "ok" },
};
const answers = {
  "cron.list": { jobs: [job, { ...job, id: "20", name: "Plants", enabled: false }] },
  "cron.status": { enabled: true, jobs: 2, storePath: "/x", nextWakeAtMs: null },
};

test("cron lists the jobs with when they run", async () => {
  const { code, out, calls } = await rclaw(["cron"], { answers });
  expect(code).toBe(0);
  expect(out).toBe(
    [
      "ID        NAME     WHEN                       NEXT    LAST   STATUS",
      "10e975bf  Morning  0 9 * * * (Europe/Vienna)  in 2 h  never  ok",
      "20        Plants   0 9 * * * (Europe/Vienna)  -       never  off",
      "",
    ].join("\n"),
  );
  expect(calls).toEqual([{ method: "cron.list", params: { includeDisabled: false, limit: 200 } }]);
});

test.each([
  [
    "--cron|0 * * * *|--exact|--tz|UTC|-m|look|--channel|telegram|--to|42|--model|a/b|--timeout|60",
    {
      schedule: { kind: "cron", expr: "0 * * * *", tz: "UTC", staggerMs: 0 },
      payload: { kind: "agentTurn", message: "look", model: "a/b", timeoutSeconds: 60 },
      delivery: { mode: "announce", channel: "telegram", to: "42" },
    },
    `Morning runs in 2 h. Its id is ${id}.`,
  ],
  [
    "--at|2030-01-01T00:00:00Z|--system-event|oven|--name|N|--wake|next-heartbeat|--keep|--off",
    {
      name: "N",
      schedule: { kind: "at", at: "2030-01-01T00:00:00Z" },
      wakeMode: "next-heartbeat",
      payload: { kind: "systemEvent", text: "oven" },
      deleteAfterRun: false,
      enabled: false,
    },
    `Morning runs in 2 h. Its id is ${id}.`,
  ],
  ["--every|soon|-m|x", undefined, '--every needs a time such as 30m, 2h or 1d, not "soon"'],
  ["-m|x", undefined, "cron add needs one of --at, --every, --cron"],
  ["--every|1h|-m|x|--system-event|y", undefined, "cron add needs one of --message, --system-event"],
  ["--every|1h|--system-event|y|--to|4", undefined, "--to and --account go with --message only"],
])("cron add %s", async (line, params, says) => {
  const { notes, calls } = await rclaw(["cron", "add", ...line.split("|")], {
    answers: { ...answers, "cron.add": job },
  });
  if (params) expect(calls[0]).toEqual({ method: "cron.add", params });
  else expect(calls).toEqual([]);
  expect(notes).toContain(says);
});

test("a job is named by the beginning of its id or by its name", async () => {
  const update = { "cron.update": { ...job, enabled: false } };
  for (const word of ["10e9", "Morning", id]) {
    const { code, notes, calls } = await rclaw(["cron", "disable", word], {
      answers: { ...answers, ...update },
    });
    expect({ code, notes }).toEqual({ code: 0, notes: "Morning is off.\n" });
    expect(calls.at(-1)).toEqual({ method: "cron.update", params: { id, patch: { enabled: false } } });
  }
});

test("cron run prints the answer, and fails when the job did", async () => {
  const entry = { status: "ok", summary: "It rains.\u001b[2J" };
  const ran = { ...answers, "cron.run": { ok: true, ran: true }, "cron.runs": { entries: [entry] } };
  const good = await rclaw(["cron", "run", "10e9"], { answers: ran });
  expect({ code: good.code, out: good.out }).toEqual({ code: 0, out: "It rains.\\u{1b}[2J\n" });
  const bad = { ...ran, "cron.runs": { entries: [{ status: "error", error: "no model" }] } };
  expect(await rclaw(["cron", "run", "10e9"], { answers: bad })).toMatchObject({
    code: 1,
    notes: "It failed: no model\n",
  });
  const idle = { ...answers, "cron.run": { ok: true, ran: false, reason: "not-due" } };
  const late = await rclaw(["cron", "run", "10e9", "--due"], { answers: idle });
  expect(late).toMatchObject({ code: 1, notes: "It is not due.\n" });
  expect(late.calls.at(-1)?.params).toEqual({ id, mode: "due" });
});

test("cron remove asks first, and cron runs shows what came of it", async () => {
  const removing = { ...answers, "cron.remove": { ok: true, removed: true } };
  const asked = await rclaw(["cron", "remove", "10e9"], {
    answers: removing,
    interactive: true,
    typed: ["n"],
  });
  expect(asked).toMatchObject({ code: 1, notes: "Nothing was changed.\n" });
  expect((await rclaw(["cron", "remove", "10e9", "--yes"], { answers: removing })).code).toBe(0);
  const entries = [
    { jobId: id, ts: Date.now(), durationMs: 1_200, status: "error", deliveryStatus: "unknown", error: "x" },
  ];
  const { out } = await rclaw(["cron", "runs"], { answers: { "cron.runs": { entries } } });
  expect(out).toContain("10e975bf  just now  1.2 s  error   unknown   x");
});

test("a command without a gateway says that nothing runs by itself", async () => {
  const off = { ...answers, "cron.status": { enabled: false, jobs: 2, storePath: "/x", nextWakeAtMs: null } };
  const { out, notes } = await rclaw(["cron", "status"], { answers: off });
  expect(out).toBe("2 jobs. They stand in /x\n");
  expect(notes).toContain("No job runs by itself now");
});
