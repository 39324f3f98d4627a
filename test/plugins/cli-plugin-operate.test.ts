import { RclawError } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { rclaw } from "./cli-terminal.ts";

test("plugin trust explains in two lines, and wants a yes", async () => {
  const answers = { "plugins.runtime": { id: "dice", runtime: "worker", state: "active" } };
  const line = ["plugin", "trust", "dice", "--runtime", "worker"];
  const asked = await rclaw(line, { answers, interactive: true, typed: ["y"] });
  expect(asked.code).toBe(0);
  expect(asked.asked.map(({ question }) => question)).toEqual(["Let dice run as worker? (y/N)"]);
  expect(asked.calls).toEqual([
    { method: "plugins.runtime", params: { id: "dice", runtime: "worker", widen: true } },
  ]);
  expect(asked.notes).toMatch(/^As worker .*\nyour files.*\ndice runs as worker, from now on\.\nTo undo: /);
  expect(await rclaw(line, { answers, interactive: true, typed: ["n"] })).toMatchObject({
    code: 1,
    calls: [],
  });
  expect(await rclaw(line, { answers })).toMatchObject({ code: 2, calls: [] });
  expect((await rclaw([...line, "--yes"], { answers })).code).toBe(0);
  expect((await rclaw(["plugin", "trust", "dice"], { answers })).code).toBe(2);
});

test("plugin isolate never gives more freedom, and shows why", async () => {
  const refusal = new RclawError("CONFLICT", "more freedom; rclaw plugin trust dice --runtime worker", {
    details: { plugin: "dice" },
  });
  const refused = await rclaw(["plugin", "isolate", "dice", "worker"], {
    answers: { "plugins.runtime": refusal },
  });
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.calls[0]?.params).toEqual({ id: "dice", runtime: "worker" });
  expect(refused.notes).toContain("rclaw plugin trust dice --runtime worker [CONFLICT]");
  expect((await rclaw(["plugin", "isolate", "dice", "jail"])).code).toBe(2);
});

test("plugin panic wants a yes and says how to come back", async () => {
  const answers = { "plugins.panic": { off: ["dice", "hook"] } };
  expect(await rclaw(["plugin", "panic"], { answers })).toMatchObject({ code: 2, calls: [] });
  const { code, notes } = await rclaw(["plugin", "panic", "--yes"], { answers });
  expect(code).toBe(0);
  expect(notes).toContain("Off: dice, hook.\n");
  expect(notes).toContain(
    "To come back: rclaw config unset plugins.enabled, then: rclaw plugin enable dice\n",
  );
});

const use = {
  runtime: "wasm",
  loaded: true,
  calls: 12,
  failures: 1,
  cpuMs: 40.4,
  peakBytes: 2_359_296,
  egressBytes: 20_480,
  denials: 0,
  kills: 2,
};

test("plugin top is one table in a pipe, the busiest first", async () => {
  const plugins = [
    { id: "idle", ...use, cpuMs: 1, loaded: false, calls: 0, failures: 0, kills: 0 },
    { id: "dice", ...use },
  ];
  const { code, out } = await rclaw(["plugin", "top"], { answers: { "plugins.top": { plugins } } });
  expect(code).toBe(0);
  expect(out).toBe(
    `ID    RUNS          CALLS  FAILED  CPU ms  PEAK MB  EGRESS  DENIED  KILLS
dice  wasm          12     1       40      2.3      20 KB   0       2
idle  wasm, asleep  0      0       1       2.3      20 KB   0       0
`,
  );
});

test("plugin top is drawn anew on a terminal until it is left", async () => {
  const stop = new AbortController();
  let asked = 0;
  const { out } = await rclaw(["plugin", "top"], {
    interactive: true,
    signal: stop.signal,
    answers: {
      "plugins.top": () => {
        if (++asked === 2) stop.abort();
        return { plugins: [{ id: "dice", ...use, calls: asked }] };
      },
    },
  });
  expect(asked).toBe(2);
  expect(out.split("\u001b[2A\u001b[J")).toHaveLength(2);
});

const lines = [
  { level: 30, time: "2026-01-02T03:04:05.678Z", plugin: "dice", msg: "rolled", sides: 6 },
  {
    level: 50,
    time: "2026-01-02T03:04:06.000Z",
    plugin: "dice",
    err: { message: "boom\u001b[2J" },
    msg: "failed",
  },
];

test("plugin logs shows a line each, with nothing that could act on the terminal", async () => {
  const { code, out, calls } = await rclaw(["plugin", "logs", "dice", "--limit", "7"], {
    answers: { "plugins.logs": { lines, cursor: "1:2" } },
  });
  expect(code).toBe(0);
  expect(calls[0]?.params).toEqual({ id: "dice", limit: 7 });
  expect(out).toBe("03:04:05 info  rolled  sides=6\n03:04:06 error failed  boom\\u{1b}[2J\n");
});

test("plugin logs --follow asks for what came since, until it is left", async () => {
  const stop = new AbortController();
  const cursors: unknown[] = [];
  const { code, out } = await rclaw(["plugin", "logs", "dice", "--follow"], {
    json: true,
    signal: stop.signal,
    answers: {
      "plugins.logs": ({ cursor }) => {
        cursors.push(cursor);
        if (cursors.length === 2) stop.abort();
        return { lines: lines.slice(cursors.length - 1, cursors.length), cursor: `1:${cursors.length}` };
      },
    },
  });
  expect(code).toBe(0);
  expect(cursors).toEqual([undefined, "1:1"]);
  expect(
    out
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { msg: string }).msg),
  ).toEqual(["rolled", "failed"]);
});

test("plugin doctor has a line and a next step for what is not well, and fails for what is broken", async () => {
  const plugins = [
    { id: "fine", enabled: true, state: "active", runtime: "wasm" },
    { id: "off", enabled: false, state: "disabled" },
    {
      id: "torn",
      enabled: true,
      state: "failed",
      error: "401",
      next: "rclaw plugin reload torn tries it now",
    },
    { id: "agent", builtIn: true, enabled: true, state: "active" },
  ];
  const refused = [{ id: "odd", reason: "no id" }];
  const answers = {
    "plugins.list": { plugins, refused },
    "plugins.top": { plugins: [{ id: "fine", gaveWay: "is back", kills: 1, denials: 2 }] },
    "plugins.verify": { plugins: [{ id: "off", ok: false, tampered: ["index.js"], missing: [], extra: [] }] },
    "plugins.plan": { questions: [] },
  };
  const { code, out, notes } = await rclaw(["plugin", "doctor"], { answers });
  expect(code).toBe(1);
  expect(out).toBe(
    `! fine is back
    Next: rclaw plugin logs fine
! fine was ended 1 time
    Next: rclaw plugin logs fine
! fine was refused 2 requests
    Next: rclaw plugin approvals
- off is off
    Next: rclaw plugin enable off
✗ off was changed on the disk: index.js
    Next: rclaw plugin remove off, then add it again
✗ torn 401
    Next: rclaw plugin reload torn tries it now
✗ odd was not taken: no id
    Next: correct it, then: rclaw plugin reload
`,
  );
  expect(notes).toBe("3 broken, 3 to look at.\n");
});

const card = {
  id: "c1",
  plugin: "dice",
  host: "api.example.org",
  port: 443,
  line: "api.example.org",
  firstAt: Date.now(),
  count: 3,
};

test("plugin approvals lists what waits; allow and deny answer it", async () => {
  const listed = await rclaw(["plugin", "approvals"], { answers: { "egress.pending": { pending: [card] } } });
  expect(listed.out).toMatch(/^CARD.*\nc1 +dice +api\.example\.org:443 +3 +just now\n$/);
  expect(listed.notes).toContain("rclaw plugin allow c1 [--always], or: rclaw plugin deny c1");
  const given = async (...line: string[]) => {
    const { calls, notes } = await rclaw(["plugin", ...line], {
      answers: { "egress.resolve": { card, answer: "x" } },
    });
    return [calls[0]?.params, notes.split("\n")[0]];
  };
  expect(await given("allow", "c1")).toEqual([
    { id: "c1", answer: "once" },
    "dice may reach api.example.org, once, within the next ten minutes.",
  ]);
  expect(await given("allow", "c1", "--always")).toEqual([
    { id: "c1", answer: "always" },
    "dice may reach api.example.org, from now on.",
  ]);
  expect(await given("deny", "c1")).toEqual([
    { id: "c1", answer: "deny" },
    "dice may not reach api.example.org, and does not ask again until the gateway starts anew.",
  ]);
});
