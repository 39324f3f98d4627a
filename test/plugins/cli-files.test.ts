import { expect, test } from "vitest";
import { patchOf, rclaw } from "./cli-terminal.ts";

const file = {
  path: "/c.json",
  exists: true,
  valid: true,
  raw: '{ gateway: { port: 18789 }, // mine\n  hooks: { rules: [{ id: "a", on: true }, { name: "x" }] } }\n',
  parsed: { gateway: { port: 18789 }, hooks: { rules: [{ id: "a", on: true }, { name: "x" }] } },
  config: {
    gateway: { port: 18789, bind: "loopback" },
    "my.key": { deep: 1 },
    hooks: { rules: [{ id: "a", on: true }, { name: "x" }] },
  },
  hash: "abc",
  issues: [],
  warnings: [{ path: "gateway.bind", message: "is old" }],
};

test("config show prints the file as it is, its problems apart", async () => {
  const { code, out, notes } = await rclaw(["config"], { answers: { "config.get": file } });
  expect({ code, out, notes }).toEqual({
    code: 0,
    out: file.raw,
    notes: "/c.json\nwarning: gateway.bind: is old\n",
  });
});

test.each([
  ["gateway.bind", "loopback\n"],
  ["gateway.port", "18789\n"],
  ['["my.key"].deep', "1\n"],
  ["hooks.rules[1].name", "x\n"],
  ["hooks.rules.1", '{\n  "name": "x"\n}\n'],
])("config get %s prints the value", async (path, printed) => {
  expect(await rclaw(["config", "get", path], { answers: { "config.get": file } })).toMatchObject({
    code: 0,
    out: printed,
  });
});

test("config get of nothing says what is near", async () => {
  const { code, out, notes } = await rclaw(["config", "get", "gateway.prot"], {
    answers: { "config.get": file },
  });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(notes).toBe(
    'rclaw: nothing is set at gateway.prot; did you mean "port"? See: rclaw config show [NOT_FOUND]\n',
  );
});

test.each([
  [["gateway.port", "8080"], { gateway: { port: 8080 } }],
  [["gateway.name", "my gateway"], { gateway: { name: "my gateway" } }],
  [["agents.defaults", "{model: 'a/b'}"], { agents: { defaults: { model: "a/b" } } }],
  [["x.offset", "-3"], { x: { offset: -3 } }],
  [["hooks.rules[0].on", "false"], { hooks: { rules: [{ id: "a", on: false }, { name: "x" }] } }],
])("config set %j sends a patch with the hash of what was read", async (words, patch) => {
  const answers = { "config.get": file, "config.patch": { ok: true, path: "/c.json", config: {} } };
  const { code, calls } = await rclaw(["config", "set", ...words], { answers });
  expect(code).toBe(0);
  expect(calls[1]?.method).toBe("config.patch");
  expect(patchOf(calls)).toEqual(patch);
  expect(calls[1]?.params["baseHash"]).toBe("abc");
});

test("config set reads a secret from stdin with a dash, and warns when it came by argument", async () => {
  const answers = {
    "config.get": file,
    "config.patch": {
      ok: true,
      path: "/c.json",
      config: { gateway: { auth: { token: "__OPENCLAW_REDACTED__" } } },
    },
  };
  const piped = await rclaw(["config", "set", "gateway.auth.token", "-"], { answers, typed: ["s3cret"] });
  expect(patchOf(piped.calls)).toEqual({
    gateway: { auth: { token: "s3cret" } },
  });
  expect(piped.notes).not.toContain("s3cret");
  const argued = await rclaw(["config", "set", "gateway.auth.token", "s3cret"], { answers });
  expect(argued.notes).toContain("Next time: rclaw config set gateway.auth.token -");
});

test("config unset removes, from a list too", async () => {
  const answers = { "config.get": file, "config.patch": { ok: true, path: "/c.json", config: {} } };
  const key = await rclaw(["config", "unset", "gateway.port"], { answers });
  expect(patchOf(key.calls)).toEqual({ gateway: { port: null } });
  expect(key.notes).toBe("gateway.port is removed in /c.json\n");
  const entry = await rclaw(["config", "unset", "hooks.rules[0]"], { answers });
  expect(patchOf(entry.calls)).toEqual({
    hooks: { rules: [{ name: "x" }] },
  });
  expect(await rclaw(["config", "unset", "nothing.here"], { answers })).toMatchObject({ code: 1 });
});

test("sessions list is a table for people and the payload for programs", async () => {
  const sessions = [
    {
      key: "agent:main:main",
      label: "Rechnungen 日本",
      modelProvider: "a",
      model: "b",
      totalTokens: 12,
      updatedAt: Date.now() - 7_200_000,
    },
    {
      key: "agent:main:telegram:direct:42",
      derivedTitle: "[Tue 2026-11-24 02:52 UTC] hello",
      updatedAt: Date.now(),
    },
  ];
  const answers = { "sessions.list": { sessions, count: 2 } };
  const { out } = await rclaw(["sessions", "list", "--limit", "5"], { answers });
  const rows = out.split("\n");
  expect(rows[0]).toBe("KEY                            TITLE            MODEL  TOKENS  LAST");
  expect(rows[1]).toBe("agent:main:main                Rechnungen 日本  a/b    12      2 h ago");
  expect(rows[2]).toMatch(/^agent:main:telegram:direct:42 +hello +just now$/);
  expect(JSON.parse((await rclaw(["sessions"], { answers, json: true })).out)).toEqual({
    sessions,
    count: 2,
  });
});

test("sessions show prints what was said and the tools that were used", async () => {
  const messages = [
    { role: "user", content: [{ type: "text", text: "look" }], timestamp: 0 },
    {
      role: "assistant",
      content: [{ type: "toolCall", id: "1", name: "exec", arguments: { command: "ls" } }],
    },
    {
      role: "toolResult",
      toolCallId: "1",
      toolName: "exec",
      content: [{ type: "text", text: "a\nb" }],
      isError: false,
    },
    { role: "assistant", content: [{ type: "text", text: "Two files." }] },
  ];
  const { out, calls } = await rclaw(["sessions", "show", "main"], {
    answers: { "chat.history": { messages } },
  });
  expect(calls[0]?.params).toEqual({ sessionKey: "main", limit: 30 });
  expect(out).toBe(
    'You 1970-01-01 00:00\n  look\n\nAssistant\n  runs exec {"command":"ls"}\n\n  exec done\n    a\n    b\n\nAssistant\n  Two files.\n',
  );
});

test("sessions delete asks a person, and wants --yes where there is none", async () => {
  const answers = { "sessions.delete": { ok: true, key: "agent:main:x", deleted: true, archived: [] } };
  const no = await rclaw(["sessions", "delete", "x"], { answers, interactive: true, typed: ["n"] });
  expect({ code: no.code, calls: no.calls }).toEqual({ code: 1, calls: [] });
  expect(await rclaw(["sessions", "delete", "x"], { answers })).toMatchObject({ code: 2, calls: [] });
  const yes = await rclaw(["sessions", "delete", "x", "--yes"], { answers });
  expect({ code: yes.code, notes: yes.notes }).toEqual({
    code: 0,
    notes: "agent:main:x is deleted; its transcript is archived.\n",
  });
});
