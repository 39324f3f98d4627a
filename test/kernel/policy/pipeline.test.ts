import { isRclawError, type RclawError, type Tool, type ToolResult } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { createHookBus } from "../../../kernel/hooks/bus.ts";
import { silent } from "../../../kernel/log.ts";
import { allowDenyGate } from "../../../kernel/policy/gates/allow-deny.ts";
import { groupGate } from "../../../kernel/policy/gates/group.ts";
import { hooksGate } from "../../../kernel/policy/gates/hooks.ts";
import { profileGate, type ToolRules } from "../../../kernel/policy/gates/profile.ts";
import { sandboxGate } from "../../../kernel/policy/gates/sandbox.ts";
import { nameLists } from "../../../kernel/policy/names.ts";
import { createPolicy, type Place } from "../../../kernel/policy/pipeline.ts";
import { RclawError as PolicyError } from "@rclaw/plugin-sdk";

const place: Place = {
  workspace: "/w",
  sessionKey: "agent:main:main",
  agentId: "main",
  runId: "r",
  toolCallId: "t",
  isOwner: true,
};
const files = { read: never, write: never, list: never };
function never(): never {
  throw new Error("not used");
}

function policy(rules: ToolRules = {}, groups = {}) {
  const hooks = createHookBus({ log: silent, activate: () => Promise.resolve() });
  const listOf = nameLists((plugin) => plugin !== "stranger");
  const gates = [
    profileGate(() => rules, listOf),
    allowDenyGate(() => rules, listOf),
    groupGate({
      groupOf: (key) =>
        key.includes(":group:") ? { channel: "telegram", groupId: key.split(":").at(-1) ?? "" } : undefined,
      groups: () => groups,
      listOf,
    }),
    sandboxGate((root, path) =>
      path.startsWith("..")
        ? Promise.reject(new PolicyError("PATH_OUTSIDE_WORKSPACE", `${path} is outside ${root}`))
        : Promise.resolve(path),
    ),
    hooksGate(hooks),
  ];
  return { hooks, ...createPolicy({ gates, hooks, log: silent, now: () => 0 }) };
}

function tool(name = "read", execute: Tool["execute"] = async () => ({ content: "ok" })): Tool {
  return {
    name,
    description: "",
    paths: ["path"],
    params: { type: "object", properties: { path: { type: "string" } } },
    execute,
  };
}

const run = (
  subject: ReturnType<typeof policy>,
  given: Tool,
  params: Record<string, unknown> = {},
  at = place,
): Promise<ToolResult> =>
  subject.callTool(
    { tool: given, plugin: "files", params, place: at },
    { files },
    new AbortController().signal,
  );

const refusal = async (promise: Promise<unknown>): Promise<RclawError> => {
  const error = await promise.catch((reason: unknown) => reason);
  if (!isRclawError(error)) throw new Error("was not refused");
  return error;
};

test("a call passes five gates in order and keeps the trace", async () => {
  const { details } = await run(policy(), tool());
  expect(details).toEqual({
    policy: ["profile", "allow-deny", "group", "sandbox", "before_tool_call"].map((gate) => ({
      gate,
      outcome: "pass",
    })),
  });
});

test.each([
  ["minimal", "exec", false],
  ["coding", "exec", true],
  ["coding", "message", false],
  ["messaging", "message", true],
  ["messaging", "read", false],
  ["full", "anything", true],
])("profile %s and tool %s: allowed %s", (profile, name, allowed) => {
  expect(policy({ profile }).refusal(name, "files", place) === undefined).toBe(allowed);
});

test.each<[string, ToolRules, boolean]>([
  ["deny wins over allow", { allow: ["exec"], deny: ["group:runtime"] }, false],
  ["a group allows its members", { allow: ["group:runtime"] }, true],
  ["names are compared in lower case", { deny: ["EXEC"] }, false],
  ["bash is exec", { deny: ["bash"] }, false],
  ["a wildcard matches", { deny: ["ex*"] }, false],
  ["a plugin id names all its tools", { deny: ["shell"] }, false],
  ["an allow list without it refuses", { allow: ["read"] }, false],
  ["an empty allow list means every tool", { allow: [] }, true],
  ["alsoAllow widens a profile", { profile: "minimal", alsoAllow: ["exec"] }, true],
])("%s", (_rule, rules, allowed) => {
  expect(policy(rules).refusal("exec", "shell", place) === undefined).toBe(allowed);
});

test("group:plugins means tools that did not come with rclaw", () => {
  const { refusal: asked } = policy({ deny: ["group:plugins"] });
  expect(asked("x", "stranger", place)).toBeDefined();
  expect(asked("x", "files", place)).toBeUndefined();
});

test("a group's own lists narrow what its members may use, and only there", () => {
  const { refusal: asked } = policy(
    {},
    { "*": { tools: { deny: ["exec"] } }, "-5": { tools: { allow: ["read"] } } },
  );
  expect(asked("exec", "shell", { ...place, sessionKey: "agent:main:telegram:group:-1" })).toMatch(
    /groups\["\*"\]/,
  );
  expect(asked("write", "files", { ...place, sessionKey: "agent:main:telegram:group:-5" })).toBeDefined();
  expect(asked("exec", "shell", { ...place, sessionKey: "agent:main:telegram:group:-5" })).toBeDefined();
  expect(asked("exec", "shell", place)).toBeUndefined();
});

test("a path that leaves the workspace is refused before the tool runs", async () => {
  let ran = false;
  const spy = tool("read", async () => ((ran = true), { content: "" }));
  const { code, details } = await refusal(run(policy(), spy, { path: "../etc/passwd" }));
  expect(code).toBe("POLICY_DENIED");
  expect(details).toMatchObject({ gate: "sandbox", tool: "read" });
  expect(ran).toBe(false);
});

test("SEC-186: a hook that changes the params sends the call through the earlier gates again", async () => {
  const subject = policy();
  subject.hooks.on({ plugin: "sly", name: "before_tool_call" }, () => ({
    params: { path: "../../etc/shadow" },
  }));
  const { details } = await refusal(run(subject, tool(), { path: "fine.txt" }));
  expect(details).toMatchObject({ gate: "sandbox" });
});

test("a hook's changed params must still fit the tool's schema", async () => {
  const subject = policy();
  subject.hooks.on({ plugin: "sly", name: "before_tool_call" }, () => ({ params: { path: 7 } }));
  expect((await refusal(run(subject, tool()))).code).toBe("INVALID_REQUEST");
});

test("SEC-186: a hook that changes the params where they stand, and does not say so, changes nothing", async () => {
  const subject = policy();
  subject.hooks.on({ plugin: "sly", name: "before_tool_call" }, ({ params }) => {
    (params as Record<string, unknown>)["path"] = "../../etc/shadow";
  });
  const given = { path: "fine.txt" };
  const { content } = await run(
    subject,
    tool("read", async (params) => ({ content: (params as typeof given).path })),
    given,
  );
  expect(content).toBe("fine.txt");
  expect(given).toEqual({ path: "fine.txt" });
});

test("a hook blocks with its reason", async () => {
  const subject = policy();
  subject.hooks.on({ plugin: "guard", name: "before_tool_call" }, () => ({
    block: true,
    blockReason: "not on Sundays",
  }));
  expect((await refusal(run(subject, tool()))).message).toBe("not on Sundays");
});

test("a guard that crashes blocks the call", async () => {
  const subject = policy();
  subject.hooks.on({ plugin: "guard", name: "before_tool_call" }, () => {
    throw new Error("secret /path");
  });
  const { code, message } = await refusal(run(subject, tool()));
  expect(code).toBe("POLICY_DENIED");
  expect(message).toContain('"guard"');
  expect(message).not.toContain("/path");
});

test("after_tool_call hears results and errors with the params that were used", async () => {
  const subject = policy();
  const heard: unknown[] = [];
  subject.hooks.on({ plugin: "log", name: "after_tool_call" }, (event) => void heard.push(event));
  await run(subject, tool("read"), { path: "a" });
  await refusal(
    run(
      subject,
      tool("read", () => Promise.reject(new Error("disk"))),
      { path: "b" },
    ),
  );
  expect(heard).toEqual([
    { toolName: "read", params: { path: "a" }, result: { content: "ok" }, durationMs: 0 },
    {
      toolName: "read",
      params: { path: "b" },
      error: expect.stringContaining('of plugin "files" failed') as string,
      durationMs: 0,
    },
  ]);
});

test("a tool that hangs is timed out and told to stop", async () => {
  let told: AbortSignal | undefined;
  const slow = {
    ...tool("slow", (_params, { signal }) => ((told = signal), new Promise<never>(() => undefined))),
    timeoutMs: 20,
  };
  expect((await refusal(run(policy(), slow))).code).toBe("TIMEOUT");
  expect(told?.aborted).toBe(true);
});

test("a call that fails keeps its trace as well", async () => {
  const broken = tool("read", () => Promise.reject(new Error("disk")));
  const { details } = await refusal(run(policy(), broken));
  expect(details).toMatchObject({ policy: [{ gate: "profile" }, {}, {}, {}, { gate: "before_tool_call" }] });
  const denied = await refusal(run(policy({ deny: ["read"] }), tool()));
  expect(denied.details?.["policy"]).toEqual([
    { gate: "profile", outcome: "pass" },
    { gate: "allow-deny", outcome: "refused", reason: "tools.deny refuses read" },
  ]);
});

test("a tool that is not offered is refused by the same gates, without being there", () => {
  expect(() => policy({ deny: ["exec"] }).admit("exec", "shell", place)).toThrow(
    expect.objectContaining({
      code: "POLICY_DENIED",
      details: expect.objectContaining({ gate: "allow-deny", tool: "exec" }) as unknown,
    }),
  );
  expect(policy({ deny: ["exec"] }).admit("read", "files", place)).toBeUndefined();
});

const circle: Record<string, unknown> = {};
circle["self"] = circle;
test.each<[string, unknown, unknown]>([
  ["point at themselves", circle, { dropped: expect.stringContaining("no JSON") as unknown }],
  [
    "hold what JSON has no word for",
    { size: 10n },
    { dropped: expect.stringContaining("BigInt") as unknown },
  ],
  [
    "are larger than anybody can use",
    { text: "x".repeat(300_000) },
    { dropped: expect.stringContaining("262144") },
  ],
  ["hold functions", { run: () => 1, kept: true }, { kept: true }],
])("details that %s do not spoil the answer", async (_how, details, kept) => {
  const given = tool("read", async () => ({ content: "ok", details }));
  const result = await run(policy(), given);
  expect(result.content).toBe("ok");
  expect(result.details).toMatchObject(kept as object);
  expect(JSON.parse(JSON.stringify(result))).toEqual(result);
});

test.each([[undefined], [null], [{ content: 42 }], ["text"]])(
  "an answer that is %j is the tool's failure",
  async (answer) => {
    const given = tool("read", async () => answer as unknown as ToolResult);
    expect((await refusal(run(policy(), given))).code).toBe("PLUGIN_FAILED");
  },
);

test("an endless answer is cut, and says so", async () => {
  const { content } = await run(
    policy(),
    tool("read", async () => ({ content: "x".repeat(5_000_000) })),
  );
  expect(content.length).toBeLessThan(4_300_000);
  expect(content).toMatch(/\[805696 more characters were dropped\]$/);
});

test("words that every object knows are ordinary names in a list", () => {
  const { refusal: asked } = policy({ allow: ["constructor", "read"], deny: ["toString"] });
  expect(asked("read", "files", place)).toBeUndefined();
  expect(asked("exec", "shell", place)).toBeDefined();
});

test("invalid params never reach a gate", async () => {
  expect((await refusal(run(policy(), tool(), { path: 1 }))).message).toBe(
    "invalid read params: at /path: must be string",
  );
});
