import { RclawError } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { agentAnswer, commands, rclaw, type Params } from "./cli-terminal.ts";

test("every command of the manifest has a complete usage text", async () => {
  const found = await commands();
  expect([...found.keys()].toSorted()).toEqual([
    "agent",
    "channels",
    "config",
    "cron",
    "devices",
    "logs",
    "methods",
    "models",
    "pairing",
    "plugin",
    "sessions",
    "status",
  ]);
  for (const [name, { usage }] of found) expect(usage).toMatch(new RegExp(`^Usage: rclaw ${name}`));
});

test("--help of a command goes to stdout and succeeds", async () => {
  const { code, out, calls } = await rclaw(["plugin", "add", "--help"]);
  expect(code).toBe(0);
  expect(out).toContain("add <id or source>");
  expect(calls).toEqual([]);
});

test.each([
  [["plugin", "lst"], 'unknown subcommand "lst"; did you mean "list"?'],
  [["sessions", "shwo", "main"], 'unknown subcommand "shwo"; did you mean "show"?'],
  [["agent", "--sesion", "x"], 'unknown flag --sesion; did you mean "--session"?'],
  [["agent", "-m"], "-m needs a value"],
  [["agent", "-m", "--session"], "-m needs a value"],
  [["agent", "-m", "a", "-m", "b"], "-m was given twice"],
  [["agent", "hello"], '"hello" is not understood; to say it, add -m before it, in quotes'],
  [
    ["agent", "-m", "x", "--thinking", "hgih"],
    '--thinking is one of off, minimal, low, medium, high, xhigh; did you mean "high"?',
  ],
  [["config", "get"], "config get needs <path>"],
  [["config", "get", "a", "b"], 'config get takes no further word, and "b" is one'],
  [["config", "get", "a..b"], '"a..b" is no path; write it as gateway.port or channels["my.channel"]'],
  [["sessions", "list", "--limit", "0"], '--limit needs a number from 1 to 9999, and "0" is none'],
  [["plugin", "list", "--timings=yes"], "--timings takes no value"],
  [["pairing", "approve", "telegram"], "pairing approve needs <code>"],
])("%j is a usage error that says what was meant", async (line, message) => {
  const { code, out, notes, calls } = await rclaw(line);
  expect({ code, out, notes }).toEqual({
    code: 2,
    out: "",
    notes: `rclaw: ${message}${message.endsWith("?") ? "" : "."} See: rclaw ${line[0]} --help\n`,
  });
  expect(calls).toEqual([]);
});

test("an error says what happened and its code, and fails with 1", async () => {
  const answers = { "sessions.reset": new RclawError("NOT_FOUND", "there is no session x") };
  const { code, out, notes } = await rclaw(["sessions", "reset", "x"], { answers });
  expect({ code, out, notes }).toEqual({
    code: 1,
    out: "",
    notes: "rclaw: there is no session x [NOT_FOUND]\n",
  });
});

test("the code that came in an error's details is the one shown, with the config issues it names", async () => {
  const details = { code: "CONFIG_INVALID", issues: [{ path: "gateway.port", message: "must be integer" }] };
  const answers = {
    "config.get": { path: "/c.json", parsed: {}, config: {}, hash: "h" },
    "config.patch": new RclawError("INVALID_REQUEST", "invalid config", { details }),
  };
  const { code, notes } = await rclaw(["config", "set", "gateway.port", "abc"], { answers });
  expect(code).toBe(1);
  expect(notes).toBe("rclaw: invalid config: gateway.port: must be integer [CONFIG_INVALID]\n");
});

test("a gateway that cannot be reached is exit code 3, and with --json the error is the document", async () => {
  const answers = { "sessions.list": new RclawError("GATEWAY_UNREACHABLE", "no gateway answers") };
  const { code, out, notes } = await rclaw(["sessions"], { answers, json: true });
  expect(code).toBe(3);
  expect(JSON.parse(out)).toEqual({ error: { code: "GATEWAY_UNREACHABLE", message: "no gateway answers" } });
  expect(notes).toBe("");
});

test("agent -m prints the answer alone where nobody watches", async () => {
  const answers = { agent: agentAnswer("Four.", [["assistant", { text: "Fo", delta: "Fo" }]]) };
  const { code, out, notes, calls } = await rclaw(["agent", "-m", "2+2?", "--session", "work"], { answers });
  expect({ code, out, notes }).toEqual({ code: 0, out: "Four.\n", notes: "" });
  expect(calls[0]).toEqual({
    method: "agent",
    params: {
      message: "2+2?",
      sessionKey: "work",
      idempotencyKey: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    },
  });
});

test("agent takes its message from stdin when there is no terminal", async () => {
  const { calls } = await rclaw(["agent"], {
    answers: { agent: agentAnswer("ok") },
    typed: ["first", "second"],
  });
  expect(calls[0]?.params).toMatchObject({ message: "first\nsecond" });
});

test("agent without anything to say is a usage error", async () => {
  const { code, notes } = await rclaw(["agent"], {});
  expect(code).toBe(2);
  expect(notes).toContain("there is nothing to say; add -m <text>, or pipe text in");
});

test("agent -m on a terminal streams the text and shows the tools as they run", async () => {
  const answers = {
    agent: agentAnswer("It holds a.txt.", [
      ["assistant", { text: "I look.", delta: "I look." }],
      ["tool", { phase: "start", name: "exec", toolCallId: "1", args: { command: "ls\n-la" } }],
      ["tool", { phase: "result", name: "exec", toolCallId: "1", isError: true }],
      ["assistant", { text: "It holds", delta: "It holds" }],
      ["assistant", { text: "It holds a.txt", delta: " a.txt" }],
    ]),
  };
  const { out, notes } = await rclaw(["agent", "-m", "look"], { answers, interactive: true });
  expect(out).toBe("I look.\nIt holds a.txt.\n");
  expect(notes).toBe("[exec] ls -la\n[exec] failed\n");
});

test("agent --json is one document", async () => {
  const { out, notes } = await rclaw(["agent", "-m", "x"], {
    answers: { agent: agentAnswer("Hi") },
    json: true,
  });
  expect(JSON.parse(out)).toMatchObject({
    sessionKey: "main",
    status: "ok",
    text: "Hi",
    result: { payloads: [{ text: "Hi" }] },
  });
  expect(notes).toBe("");
});

test("Ctrl-C stops a one-shot answer at the gateway and the command ends with 130", async () => {
  const stop = new AbortController();
  let finish: (value: unknown) => void = () => undefined;
  const answers = {
    agent(params: Params) {
      setImmediate(() => stop.abort());
      return new Promise((resolve) => {
        finish = () =>
          resolve({ runId: params["idempotencyKey"], status: "aborted", result: { payloads: [] } });
      });
    },
    "chat.abort"() {
      finish(undefined);
      return { ok: true, aborted: true };
    },
  };
  const { code, notes, calls } = await rclaw(["agent", "-m", "x"], { answers, signal: stop.signal });
  expect(calls[1]?.method).toBe("chat.abort");
  expect(calls[1]?.params).toEqual({
    sessionKey: "main",
    runId: calls[0]?.params["idempotencyKey"],
  });
  expect({ code, notes }).toEqual({ code: 130, notes: "Stopped.\n" });
});

test("the chat answers, starts afresh, explains itself and leaves", async () => {
  const answers = {
    "models.default": { provider: "offline", model: "demo", reason: "no key" },
    agent: agentAnswer("Hello."),
    "sessions.reset": { ok: true },
  };
  const typed = ["", "hi", "/help", "/nwe", "/new", "/exit", "never"];
  const { code, out, notes, calls } = await rclaw(["agent"], { answers, interactive: true, typed });
  expect(code).toBe(0);
  expect(out).toBe("> > Hello.\n> > > > ");
  expect(notes).toContain("Talking to offline/demo in main.");
  expect(notes).toContain('There is no /nwe here; did you mean "/new"? /help lists what there is.');
  expect(notes).toContain("Ctrl-C stops a running answer;");
  expect(calls.map(({ method }) => method)).toEqual(["models.default", "agent", "sessions.reset"]);
});

test("the chat survives an answer that fails", async () => {
  const answers = {
    agent: () => new RclawError("UNAVAILABLE", "the model is away"),
  };
  const { code, notes } = await rclaw(["agent"], { answers, interactive: true, typed: ["a", "/exit"] });
  expect(code).toBe(0);
  expect(notes).toContain("the model is away\n");
});

test("in the chat each Ctrl-C stops the answer that runs, the third like the first", async () => {
  const keys = new EventTarget();
  let finish: () => void = () => undefined;
  const answers = {
    agent(params: Params) {
      setImmediate(() => keys.dispatchEvent(new Event("press")));
      return new Promise((resolve) => {
        finish = () =>
          resolve({ runId: params["idempotencyKey"], status: "aborted", result: { payloads: [] } });
      });
    },
    "chat.abort": () => {
      finish();
      return { ok: true, aborted: true };
    },
  };
  const typed = ["a", "b", "c", "/exit"];
  const result = await rclaw(["agent"], { answers, interactive: true, typed, keys });
  expect(result.code).toBe(0);
  expect(result.notes.match(/Stopped\./g)).toHaveLength(3);
  expect(result.calls.filter(({ method }) => method === "chat.abort")).toHaveLength(3);
});

test("in the chat Ctrl-C leaves when nothing runs", async () => {
  const keys = new EventTarget();
  async function* lines(): AsyncGenerator<string> {
    setImmediate(() => keys.dispatchEvent(new Event("press")));
    await new Promise(() => undefined);
    yield "never";
  }
  const { code } = await rclaw(["agent"], { interactive: true, lines, keys });
  expect(code).toBe(130);
});

const known = [
  { id: "claude-opus", name: "Opus", provider: "anthropic", contextWindow: 200_000 },
  { id: "guide", name: "Guide", provider: "offline" },
];

test("models lists what there is and marks the one that answers", async () => {
  const answers = {
    "models.list": { models: known },
    "models.default": { provider: "offline", model: "guide", reason: "the built-in guide" },
  };
  const all = await rclaw(["models"], { answers });
  expect(all.out).toBe(
    "MODEL                  CONTEXT\nanthropic/claude-opus  200k\noffline/guide          -        answers\n",
  );
  expect(all.notes).toContain("offline/guide answers: the built-in guide.");
  const some = await rclaw(["models", "OPUS", "anth"], { answers, json: true });
  expect(JSON.parse(some.out)).toEqual({ default: answers["models.default"], models: [known[0]] });
  const none = await rclaw(["models", "llama"], { answers: { "models.list": { models: known } } });
  expect(none.out).toBe("");
  expect(none.notes).toContain("No model has such a name.");
  expect(none.notes).toContain("No model answers yet.");
});

test("a table fits the terminal, and is whole where nobody looks", async () => {
  const description = "What it is, in a sentence that goes on and on and on until the line has long ended.";
  const plugins = [{ id: "wordy", state: "active", runtime: "in-process", description }];
  const answers = { "plugins.list": { plugins } };
  const narrow = await rclaw(["plugin", "list"], { answers, width: 60 });
  expect(Math.max(...narrow.out.split("\n").map((line) => line.length))).toBe(60);
  expect((await rclaw(["plugin", "list"], { answers })).out).toContain(description);
});

test("what a model or a title says cannot act on the terminal", async () => {
  const hostile = "safe\u001b]52;c;ZXZpbA==\u0007\u001b[2J\u202etxt\r\n";
  const answer = await rclaw(["agent", "-m", "x"], { answers: { agent: agentAnswer(hostile) } });
  expect(answer.out).toBe("safe\\u{1b}]52;c;ZXZpbA==\\u{7}\\u{1b}[2J\\u{202e}txt\n");
  const sessions = [{ key: "agent:main:main", label: "a\u001b[31mb", updatedAt: Date.now() }];
  const list = await rclaw(["sessions"], { answers: { "sessions.list": { sessions } } });
  expect(list.out).toContain("a\\u{1b}[31mb");
  expect(list.out).not.toContain("\u001b");
});

const healthy = {
  "config.get": {
    path: "/home/ada/.rusty_claw/config.json",
    exists: true,
    valid: true,
    issues: [],
    warnings: [],
  },
  status: { channelSummary: ["Telegram: running"], sessions: { count: 2 } },
  "models.default": { provider: "anthropic", model: "claude-sonnet", reason: "ANTHROPIC_API_KEY is set" },
  "plugins.list": {
    plugins: [
      { id: "agent", state: "active" },
      { id: "exec", state: "inactive" },
    ],
  },
  "sessions.list": { sessions: [{ key: "agent:main:main", updatedAt: Date.now() }] },
};

test("status says what runs and which model answers", async () => {
  const gateway = { url: "ws://127.0.0.1:18789", pid: 4242 };
  const { code, out, notes } = await rclaw(["status"], { answers: healthy, gateway });
  expect(code).toBe(0);
  expect(notes).toBe("");
  expect(out).toBe(
    [
      "Gateway   running at ws://127.0.0.1:18789 (process 4242)",
      "Model     anthropic/claude-sonnet (ANTHROPIC_API_KEY is set)",
      "Config    /home/ada/.rusty_claw/config.json",
      "Channels  Telegram: running",
      "Sessions  2, last agent:main:main just now",
      "Plugins   1 active, 1 ready when needed",
      "",
    ].join("\n"),
  );
});

test("status without a gateway says how to start one", async () => {
  const { out, notes } = await rclaw(["status"], {
    answers: { ...healthy, status: { channelSummary: [], sessions: { count: 0 } } },
  });
  expect(out).toContain("Gateway   not running\n");
  expect(out).toContain("Channels  start with the gateway\n");
  expect(notes).toBe("Next: rclaw gateway\n");
});

test("status names everything that is not well, and works when parts of it do not answer", async () => {
  const answers = {
    ...healthy,
    "models.default": new RclawError("UNAVAILABLE", "no provider is ready"),
    status: {
      channelSummary: [],
      sessions: { count: 1 },
      config: { source: "last-known-good", issues: [{ path: "gateway.port", message: "must be integer" }] },
      store: { status: "degraded", reason: "the disk is full", quarantined: 2 },
    },
    "plugins.list": { plugins: [{ id: "telegram", state: "failed", error: "401 Unauthorized" }] },
  };
  const { code, out } = await rclaw(["status"], { answers, gateway: { url: "ws://x", pid: 1 } });
  expect(code).toBe(0);
  expect(out).toContain("Model     none\n");
  expect(out).toContain("Config    last good copy\n");
  for (const line of [
    "model: no provider is ready",
    "configuration: gateway.port: must be integer",
    "sessions: nothing can be stored: the disk is full",
    "sessions: 2 damaged lines were set aside",
    "plugin telegram: 401 Unauthorized; try again: rclaw plugin reload telegram",
  ]) {
    expect(out).toContain(`  ${line}\n`);
  }
});

test("status --json is one document with the same findings", async () => {
  const { out } = await rclaw(["status"], { answers: healthy, json: true });
  expect(JSON.parse(out)).toMatchObject({
    gateway: { running: false },
    model: { provider: "anthropic" },
    config: { source: "file" },
    sessions: { count: 2 },
    problems: [],
  });
});
