import { RclawError } from "@rclaw/plugin-sdk";
import { afterEach, expect, test } from "vitest";
import { rclaw, type Params } from "./cli-terminal.ts";

const plan = {
  manifest: {
    id: "telegram",
    name: "Telegram",
    version: "0.1.0",
    description: "Telegram bots over long polling.",
  },
  trust: "in-process (full trust)",
  adds: ["channel telegram"],
  mayReach: ["api.telegram.org"],
  mayRead: ["secret telegram.*"],
  mayUse: [],
  questions: [
    {
      key: "botToken",
      title: "Bot token",
      description: "from @BotFather",
      secret: true,
      required: true,
      isSet: false,
    },
  ],
};
const added = {
  id: "telegram",
  enabled: true,
  started: true,
  probe: { ok: true, name: "@ada_bot" },
  next: "rclaw channels status",
};
const answers = { "plugins.plan": plan, "plugins.add": added };
const conversation = `Telegram 0.1.0 - Telegram bots over long polling.
  runs        in-process (full trust)
  adds        channel telegram
  may reach   api.telegram.org
  may read    secret telegram.*
`;

afterEach(() => {
  delete process.env["RCLAW_TEST_TOKEN"];
});

test("plugin add shows what it may do, asks hidden, tests, starts and says what is next", async () => {
  const { code, out, notes, asked, calls } = await rclaw(["plugin", "add", "telegram"], {
    answers,
    interactive: true,
    typed: ["123:abc "],
  });
  expect(code).toBe(0);
  expect(out).toBe("");
  expect(asked).toEqual([{ question: "Bot token: from @BotFather", hidden: true }]);
  expect(notes).toBe(
    `${conversation}Testing ...\nTesting ... ok, this is @ada_bot\nAdded Telegram. It runs now.\nNext: rclaw channels status\n`,
  );
  expect(calls[1]).toEqual({
    method: "plugins.add",
    params: { id: "telegram", values: { botToken: "123:abc" } },
  });
});

test("plugin add --json prints the result as the one document and talks on stderr", async () => {
  process.env["RCLAW_TEST_TOKEN"] = "123:abc";
  const { code, out, calls } = await rclaw(
    ["plugin", "add", "telegram", "--token-env", "RCLAW_TEST_TOKEN", "--account", "work"],
    { answers, json: true },
  );
  expect(code).toBe(0);
  expect(JSON.parse(out)).toEqual(added);
  expect(calls[1]?.params).toEqual({ id: "telegram", account: "work", values: { botToken: "123:abc" } });
});

test("without a terminal plugin add reads its secrets from stdin, one a line", async () => {
  const questions = [
    ...plan.questions,
    { key: "appToken", title: "App token", secret: true, required: true, isSet: false },
  ];
  const { code, calls } = await rclaw(["plugin", "add", "slack"], {
    answers: { ...answers, "plugins.plan": { ...plan, questions } },
    typed: ["xoxb-1", "xapp-2"],
  });
  expect(code).toBe(0);
  expect(calls[1]?.params).toEqual({ id: "slack", values: { botToken: "xoxb-1", appToken: "xapp-2" } });
});

test("without a terminal and without a secret nothing is added", async () => {
  const { code, notes, calls } = await rclaw(["plugin", "add", "telegram"], { answers });
  expect(code).toBe(1);
  expect(notes).toContain(
    "Bot token is needed and nobody is there to ask; pass it on stdin or with --token-env botToken=<name> [INVALID_REQUEST]",
  );
  expect(calls.map(({ method }) => method)).toEqual(["plugins.plan"]);
});

test("a secret is never taken from the command line", async () => {
  const { code, notes, calls } = await rclaw(["plugin", "add", "telegram", "--set", "botToken=123:abc"], {
    answers,
  });
  expect(code).toBe(2);
  expect(notes).toContain("botToken is a secret and is not taken from the command line");
  expect(notes).not.toContain("123:abc");
  expect(calls.map(({ method }) => method)).toEqual(["plugins.plan"]);
  expect(await rclaw(["plugin", "add", "telegram", "--token", "123:abc"], { answers })).toMatchObject({
    code: 2,
    calls: [],
  });
});

test("--token-env names a variable that must hold something", async () => {
  const { code, notes } = await rclaw(["plugin", "add", "telegram", "--token-env", "RCLAW_TEST_TOKEN"], {
    answers,
  });
  expect(code).toBe(2);
  expect(notes).toContain("the environment variable RCLAW_TEST_TOKEN is not set or empty");
});

test("a token that the platform refuses is asked for again, three times at most", async () => {
  const refusal = new RclawError(
    "UNAVAILABLE",
    "Telegram refused the settings: Unauthorized. Nothing was stored",
    {
      details: { plugin: "telegram" },
    },
  );
  const tried: unknown[] = [];
  const picky = {
    "plugins.plan": plan,
    "plugins.add": (params: Params) => {
      tried.push(params["values"]);
      return tried.length < 2 ? refusal : added;
    },
  };
  const good = await rclaw(["plugin", "add", "telegram"], {
    answers: picky,
    interactive: true,
    typed: ["bad", "good"],
  });
  expect(good.code).toBe(0);
  expect(tried).toEqual([{ botToken: "bad" }, { botToken: "good" }]);
  expect(good.notes).toContain(
    "Telegram refused the settings: Unauthorized. Nothing was stored. Try again.\n",
  );
  const never = await rclaw(["plugin", "add", "telegram"], {
    answers: { "plugins.plan": plan, "plugins.add": refusal },
    interactive: true,
    typed: ["a", "b", "c", "d"],
  });
  expect(never.code).toBe(1);
  expect(never.asked).toHaveLength(3);
});

test("what is stored already is not asked for again, and Enter keeps it when it is", async () => {
  const stored = { ...plan, questions: [{ ...plan.questions[0], isSet: true }] };
  const silent = await rclaw(["plugin", "add", "telegram"], {
    answers: { ...answers, "plugins.plan": stored },
    interactive: true,
  });
  expect(silent.asked).toEqual([]);
  expect(silent.calls[1]?.params).toEqual({ id: "telegram", values: {} });
  expect(silent.notes).not.toContain("Testing ...\nTesting ...");
  const login = await rclaw(["channels", "login", "telegram"], {
    answers: {
      ...answers,
      "plugins.plan": stored,
      "plugins.list": { plugins: [{ id: "telegram", contributes: { channels: ["telegram"] } }] },
    },
    interactive: true,
    typed: [""],
  });
  expect(login.asked).toEqual([
    { question: "Bot token: from @BotFather (Enter keeps what is stored)", hidden: true },
  ]);
});

test("hidden characters in a plan are spelled out before anybody consents to it", async () => {
  const hostile = { ...plan, mayReach: ["api.example.org\u202e\u001b[1A"] };
  const { notes } = await rclaw(["plugin", "add", "x"], {
    answers: { ...answers, "plugins.plan": hostile },
    interactive: true,
    typed: ["t"],
  });
  expect(notes).toContain("may reach   api.example.org\\u{202e}\\u{1b}[1A\n");
});

const list = {
  plugins: [
    {
      id: "telegram",
      state: "failed",
      runtime: "in-process",
      description: "Bots.",
      error: "401",
      timings: { importMs: 96.6, activateMs: 3 },
    },
    { id: "agent", state: "active", runtime: "in-process", description: "Answers.", conflicts: ["other"] },
  ],
};

test("plugin list is sorted and names failures; --timings adds what starting cost", async () => {
  const { code, out, notes } = await rclaw(["plugin", "list", "--timings"], {
    answers: { "plugins.list": list },
  });
  expect(code).toBe(0);
  expect(out).toBe(
    `ID        STATE   RUNS        IMPORT  START  WHAT IT IS
agent     active  in-process                 Answers.
telegram  failed  in-process  97 ms   3 ms   401
`,
  );
  expect(notes).toBe("agent: conflicts with other\n");
  const short = await rclaw(["plugin"], { answers: { "plugins.list": list }, colour: true });
  expect(short.out).toContain("\u001b[31mfailed\u001b[0m");
  expect(
    JSON.parse((await rclaw(["plugin"], { answers: { "plugins.list": list }, json: true })).out),
  ).toEqual(list);
});

test("plugin info tells what a plugin adds and may", async () => {
  const info = {
    id: "telegram",
    name: "Telegram",
    version: "0.1.0",
    description: "Bots.",
    state: "inactive",
    runtime: "in-process",
    builtIn: true,
    contributes: {
      channels: ["telegram"],
      hooks: [{ name: "message_sending" }],
      methods: { "x.y": "operator.read" },
    },
    permissions: { net: ["api.telegram.org"], process: true },
    configPath: "channels.telegram",
  };
  const { out } = await rclaw(["plugin", "info", "telegram"], { answers: { "plugins.info": info } });
  expect(out).toContain("Adds        channel telegram, hook message_sending, method x.y\n");
  expect(out).toContain("May         net: api.telegram.org; process: true\n");
  expect(out).toContain("Config      channels.telegram\n");
});

test.each([
  ["enable", "active", "telegram is enabled and now active.\nSee: rclaw plugin info telegram\n"],
  [
    "enable",
    "inactive",
    "telegram is enabled; it starts when it is needed.\nSee: rclaw plugin info telegram\n",
  ],
  ["disable", "disabled", "telegram is disabled.\nTo undo: rclaw plugin enable telegram\n"],
  ["reload", "active", "telegram is reloaded and now active.\nSee: rclaw plugin info telegram\n"],
])("plugin %s says how it is now", async (name, state, notes) => {
  const result = await rclaw(["plugin", name, "telegram"], {
    answers: { [`plugins.${name}`]: { id: "telegram", state } },
  });
  expect(result).toMatchObject({ code: 0, out: "", notes });
  expect(result.calls).toEqual([{ method: `plugins.${name}`, params: { id: "telegram" } }]);
});

test("plugin remove wants a yes", async () => {
  const remove = { "plugins.remove": { id: "telegram", state: "disabled" } };
  expect(await rclaw(["plugin", "remove", "telegram"], { answers: remove })).toMatchObject({
    code: 2,
    calls: [],
  });
  const yes = await rclaw(["plugin", "remove", "telegram"], {
    answers: remove,
    interactive: true,
    typed: ["y"],
  });
  expect(yes.code).toBe(0);
  expect(yes.asked).toEqual([
    { question: "Remove telegram with its settings, secrets and storage? (y/N)", hidden: false },
  ]);
});

test("a plugin that fails when it is enabled makes the command fail", async () => {
  const result = await rclaw(["plugin", "enable", "x"], {
    answers: { "plugins.enable": { id: "x", state: "failed" } },
  });
  expect(result.code).toBe(1);
});

const channelAccounts = {
  telegram: [
    {
      accountId: "default",
      enabled: true,
      configured: true,
      running: true,
      connected: true,
      name: "@ada_bot",
      lastInboundAt: Date.now(),
    },
    { accountId: "work", enabled: true, configured: true, running: false, lastError: "401 Unauthorized" },
  ],
  slack: [{ accountId: "default", enabled: true, configured: false, running: false }],
};

test("channels status shows every account, and fails when a probe is refused", async () => {
  const { code, out } = await rclaw(["channels"], { answers: { "channels.status": { channelAccounts } } });
  expect(code).toBe(0);
  expect(out).toBe(
    `CHANNEL   ACCOUNT  STATE       LAST IN   LAST OUT  DETAIL
telegram  default  running     just now  never     @ada_bot
telegram  work     stopped     never     never     401 Unauthorized
slack     default  not set up  never     never     rclaw channels login slack
`,
  );
  const probed = {
    telegram: [
      { accountId: "default", running: true, configured: true, probe: { ok: false, error: "no route" } },
    ],
  };
  const refused = await rclaw(["channels", "status", "--probe"], {
    answers: { "channels.status": { channelAccounts: probed } },
  });
  expect(refused.code).toBe(1);
  expect(refused.out).toContain("refused");
  expect(refused.calls[0]?.params).toEqual({ probe: true });
});

test("channels status without channels says what to do, gateway or not", async () => {
  const empty = { "channels.status": { channelAccounts: {} } };
  const off = await rclaw(["channels"], { answers: empty });
  expect(off.notes).toBe("No gateway runs here, so no channel does.\nNext: rclaw gateway\n");
  const on = await rclaw(["channels"], { answers: empty, gateway: { url: "ws://x", pid: 1 } });
  expect(on.notes).toContain("Next: rclaw plugin add telegram\n");
});

test("channels login knows only channels that are there", async () => {
  const plugins = {
    "plugins.list": { plugins: [{ id: "telegram", contributes: { channels: ["telegram"] } }] },
  };
  const { code, notes } = await rclaw(["channels", "login", "telegarm"], { answers: plugins });
  expect(code).toBe(1);
  expect(notes).toBe(
    'rclaw: there is no channel "telegarm"; did you mean "telegram"? See: rclaw plugin list [NOT_FOUND]\n',
  );
});

test("channels logout names the account it forgot, and says when there was nothing to forget", async () => {
  const gateway = { url: "ws://127.0.0.1:1", pid: 1 };
  const line = ["channels", "logout", "telegram", "--account", "work", "--yes"];
  const answer = { channel: "telegram", accountId: "work", cleared: true };
  const live = await rclaw(line, { gateway, answers: { "channels.logout": answer } });
  expect(live.calls.at(-1)?.params).toEqual({ channel: "telegram", accountId: "work" });
  expect(live.notes).toBe("Logged out of telegram (work).\nNext: rclaw channels login telegram\n");

  const stored = await rclaw(line, { answers: { "plugins.logout": { ...answer, cleared: false } } });
  expect(stored.calls.at(-1)?.params).toEqual({ channel: "telegram", account: "work" });
  expect(stored.notes).toMatch(/^No login of telegram \(work\) is stored\./);
});

const waiting = {
  requests: [
    {
      channel: "telegram",
      id: "42",
      code: "ABCD2345",
      createdAt: new Date(Date.now() - 120_000).toISOString(),
      meta: { accountId: "default", name: "Ada\u001b[31m" },
    },
  ],
  allowed: [{ channel: "telegram", accountId: "default", id: "7" }],
};

test("pairing list shows who waits and who may talk, and what to type", async () => {
  const { out, notes, calls } = await rclaw(["pairing", "list", "telegram"], {
    answers: { "pairing.list": waiting },
  });
  expect(calls[0]?.params).toEqual({ channel: "telegram" });
  expect(out).toBe(
    `CHANNEL   CODE      ID  NAME           ASKED
telegram  ABCD2345  42  Ada\\u{1b}[31m  2 min ago

CHANNEL   ACCOUNT  MAY TALK
telegram  default  7
`,
  );
  expect(notes).toBe("Next: rclaw pairing approve telegram ABCD2345\n");
  expect(
    JSON.parse((await rclaw(["pairing"], { answers: { "pairing.list": waiting }, json: true })).out),
  ).toEqual(waiting);
});

test("pairing approve and revoke say what changed", async () => {
  const approved = {
    "pairing.approve": { channel: "telegram", accountId: "default", id: "42", notified: false },
  };
  const approve = await rclaw(["pairing", "approve", "telegram", "abcd2345"], { answers: approved });
  expect(approve.calls[0]?.params).toEqual({ channel: "telegram", code: "abcd2345", notify: true });
  expect(approve.notes).toBe(
    "42 may now talk to the assistant on telegram.\nThey could not be told; ask them to write again.\n",
  );
  const revoke = await rclaw(["pairing", "revoke", "telegram", "42"], {
    answers: { "pairing.revoke": { revoked: false } },
  });
  expect(revoke.notes).toBe("42 was not allowed on telegram anyway.\n");
});
