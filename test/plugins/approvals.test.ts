import { createTestContext } from "@rclaw/plugin-sdk/testing";
import type { Caller } from "@rclaw/plugin-sdk";
import type { ConnectedClient } from "@rclaw/plugin-sdk/gateway";
import { describe, expect, test } from "vitest";
import approvals from "../../plugins/services/approvals/index.ts";
import { asLine, wordsOf } from "../../plugins/services/approvals/command-line.ts";

const callerOf = (fields: Partial<Caller>): Caller => ({
  kind: "client",
  principal: "client:token",
  role: "operator",
  scopes: ["operator.approvals"],
  caps: [],
  isOwner: true,
  ...fields,
});
const approver = callerOf({ connId: "approver", client: { id: "openclaw-macos", mode: "ui" } });
const reader = callerOf({ connId: "reader", scopes: ["operator.read"] });
const plugin = callerOf({ kind: "plugin", principal: "plugin:tool", isOwner: false });
const connected = (caller: Caller): ConnectedClient => ({
  caller,
  connectedAt: 1,
  ended: new AbortController().signal,
});

async function gatewayWith(...callers: readonly Caller[]) {
  const rclaw = createTestContext({
    id: "approvals",
    clients: callers.map(connected),
    methods: { "config.get": () => ({ path: "/state/config.json" }) },
  });
  await rclaw.activate(approvals);
  return rclaw;
}

const waiting = { command: "make", timeoutMs: 60_000 };

describe("a question", () => {
  test("is answered with nothing at once when nobody who may decide is connected", async () => {
    await using rclaw = await gatewayWith(reader);
    const accepted: unknown[] = [];
    const asked = { ...waiting, twoPhase: true };
    const answer = await rclaw.call("exec.approval.request", asked, { caller: plugin, accepted });
    expect(answer).toMatchObject({ decision: null });
    expect(accepted).toEqual([expect.objectContaining({ status: "accepted" })]);
    expect(await rclaw.call("exec.approval.list")).toEqual([]);
  });

  test("is not answered by the plugin that asked it, nor by any other", async () => {
    await using rclaw = await gatewayWith(approver);
    const answer = rclaw.call("exec.approval.request", { ...waiting, id: "q" }, { caller: plugin });
    for (const [method, params] of [
      ["exec.approval.resolve", { id: "q", decision: "allow-always" }],
      ["plugin.approval.resolve", { id: "q", decision: "allow-always" }],
      ["exec.approvals.set", { file: { version: 1 } }],
    ] as const)
      await expect(rclaw.call(method, params, { caller: plugin })).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
      });
    await rclaw.call("exec.approval.resolve", { id: "q", decision: "deny" }, { caller: approver });
    expect(await answer).toMatchObject({ id: "q", decision: "deny" });
  });

  test("is withdrawn with the plugin's call, and when the plugin that keeps it ends", async () => {
    const rclaw = await gatewayWith(approver);
    const gone = new AbortController();
    const first = rclaw.call("exec.approval.request", waiting, { caller: plugin, signal: gone.signal });
    const second = rclaw.call("exec.approval.request", waiting, { caller: approver });
    gone.abort();
    expect(await first).toMatchObject({ decision: null });
    expect(await rclaw.call("exec.approval.list")).toHaveLength(1);
    await rclaw[Symbol.asyncDispose]();
    expect(await second).toMatchObject({ decision: null });
  });

  test("of a plugin goes to those who may decide, and takes only the answers that it offers", async () => {
    await using rclaw = await gatewayWith(approver, reader);
    const answer = rclaw.call(
      "plugin.approval.request",
      {
        pluginId: "mailer",
        title: "Send a mail\u202e",
        description: "To everybody.",
        severity: "warning",
        allowedDecisions: ["allow-once", "deny"],
      },
      { caller: plugin },
    );
    const [listed] = (await rclaw.call("plugin.approval.list")) as { id: string; request: object }[];
    const id = listed?.id ?? "";
    expect(id).toMatch(/^plugin:[0-9a-f-]{36}$/);
    expect(listed?.request).toMatchObject({
      pluginId: "mailer",
      title: "Send a mail\\u{202E}",
      description: "To everybody.",
      severity: "warning",
      allowedDecisions: ["allow-once", "deny"],
      agentId: null,
      toolName: null,
    });
    const decide = (decision: string): Promise<unknown> =>
      rclaw.call("plugin.approval.resolve", { id, decision }, { caller: approver });
    await expect(decide("perhaps")).rejects.toMatchObject({ message: "invalid decision" });
    await expect(decide("allow-always")).rejects.toMatchObject({
      message: "allow-always is unavailable for this plugin approval",
      details: { allowedDecisions: ["allow-once", "deny"] },
    });
    expect(await decide("allow-once")).toEqual({ ok: true });
    expect(await answer).toMatchObject({ id, decision: "allow-once" });
    await expect(decide("allow-once")).rejects.toMatchObject({
      message: "unknown or expired approval id",
      details: { reason: "APPROVAL_NOT_FOUND" },
    });
    expect(rclaw.events.map(({ event, connId }) => [event, connId])).toEqual([
      ["plugin.approval.requested", "approver"],
      ["plugin.approval.resolved", "approver"],
    ]);
    expect(rclaw.events[1]?.payload).toMatchObject({ id, resolvedBy: "openclaw-macos" });
  });

  test("is one of a thousand at most", async () => {
    await using rclaw = await gatewayWith(approver);
    const ask = (): Promise<unknown> => rclaw.call("exec.approval.request", waiting, { caller: approver });
    const all = Array.from({ length: 1_000 }, ask);
    await expect(ask()).rejects.toMatchObject({ code: "RATE_LIMITED", retryable: true });
    await rclaw[Symbol.asyncDispose]();
    await Promise.all(all);
  });

  test.each([
    [{ ...waiting, host: "node" }, "nodeId is required for host=node"],
    [{ ...waiting, host: "node", nodeId: "n" }, "commandArgv is required for host=node"],
    [{ timeoutMs: 1 }, "invalid exec.approval.request params: must have required property 'command'"],
    [{ ...waiting, id: "plugin:x" }, "approval ids starting with plugin: are reserved"],
  ])("that says too little is refused: %#", async (params, message) => {
    await using rclaw = await gatewayWith(approver);
    await expect(rclaw.call("exec.approval.request", params, { caller: approver })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      message,
    });
  });
});

test("SEC-112: what a person is shown of a command on a node is what will run there", async () => {
  await using rclaw = await gatewayWith(approver);
  const ask = (command: string, commandArgv: readonly string[]): Promise<unknown> =>
    rclaw.call(
      "exec.approval.request",
      { command, commandArgv, host: "node", nodeId: "n", timeoutMs: 60_000 },
      { caller: approver },
    );
  const answers = [ask("ls", ["rm", "-rf", "/srv"]), ask("ls", ["sh", "-c", "ls"])];
  const shown = rclaw.events.map(({ payload }) => (payload["request"] as { command: string }).command);
  expect(shown).toEqual(["rm -rf /srv", "ls"]);
  await expect(ask("ls", ["ls", "x".repeat(300_000)])).rejects.toMatchObject({
    message: "command exceeds exec approval display limit",
  });
  const env = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`VARIABLE_${i}`, "x"]));
  await expect(
    rclaw.call("exec.approval.request", {
      ...waiting,
      commandArgv: ["make"],
      host: "node",
      nodeId: "n",
      env,
    }),
  ).rejects.toMatchObject({ code: "TOO_LARGE" });
  await rclaw[Symbol.asyncDispose]();
  await Promise.all(answers);
});

test("what a node is told of a command is the gateway's own to ask", async () => {
  await using rclaw = await gatewayWith(approver);
  const params = { nodeId: "n", params: { command: ["ls"] }, requester: { principal: "client:token" } };
  await expect(rclaw.call("approvals.systemRun", params)).rejects.toMatchObject({
    code: "PERMISSION_DENIED",
  });
  expect(await rclaw.call("approvals.systemRun", params, { caller: plugin })).toEqual({
    params: { command: ["ls"] },
  });
});

describe("the line that is shown for a command", () => {
  test.each([
    [["ls", "-la"], "ls -la"],
    [["echo", "a b", "", 'say "x"'], 'echo "a b" "" "say \\"x\\""'],
    [["/bin/sh", "-lc", "ls -la"], "ls -la"],
    [["/usr/bin/bash", "-c", " ls "], "ls"],
    [["cmd.exe", "/c", "dir", "/b"], "dir /b"],
    [["pwsh", "-Command", "Get-Date"], "Get-Date"],
    // With more behind it, what runs is not only what stands there.
    [["sh", "-c", "$0", "rm"], "sh -c $0 rm"],
    [["env", "X=1", "sh", "-c", "ls"], "env X=1 sh -c ls"],
    [["sh", "script.sh"], "sh script.sh"],
  ])("says what the words say: %j", (command, rawCommand) => {
    expect(wordsOf({ command, rawCommand })).toEqual(command);
    expect(() => wordsOf({ command, rawCommand: `${rawCommand} #` })).toThrow(
      "rawCommand does not match command",
    );
  });

  test("needs words, and words need no line", () => {
    expect(() => wordsOf({ command: [], rawCommand: "ls" })).toThrow("rawCommand requires params.command");
    expect(wordsOf({ command: undefined, rawCommand: undefined })).toEqual([]);
    expect(wordsOf({ command: ["ls"], rawCommand: " " })).toEqual(["ls"]);
    expect(asLine([])).toBe("");
  });
});
