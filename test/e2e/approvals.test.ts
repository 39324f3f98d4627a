import { describe, expect, test } from "vitest";
import { freshForAll, startFresh } from "../support/fresh.ts";
import { ask, rclaw, startProduct } from "../support/product.ts";
import { type Client, createDevice, type Frame } from "../support/ws-client.ts";

/** Approvals against the whole product, with the frames and the words that OpenClaw's gateway was recorded with. */

const product = freshForAll();

const approver = (): Promise<Client> =>
  product.connect({ scopes: ["operator.approvals"], client: { id: "cli", mode: "cli" } });
const requested = (client: Client, command: string): Promise<Frame> =>
  client.find(
    ({ event, payload }) => event === "exec.approval.requested" && payload.request.command === command,
  );
const resolved = (client: Client, id: string): Promise<Frame> =>
  client.find(({ event, payload }) => event === "exec.approval.resolved" && payload.id === id);

/** All answers to one request, in order: there may be two. */
function answers(client: Client, id: string, count: number): Promise<readonly Frame[]> {
  const found = (): readonly Frame[] =>
    client.frames.filter((frame) => frame.type === "res" && frame.id === id);
  return client.find(() => found().length >= count).then(found);
}

const unbound = {
  systemRunBindingV1: null,
  systemRunPlanV2: null,
  cwd: null,
  nodeId: null,
  resolvedPath: null,
  turnSourceChannel: null,
  turnSourceTo: null,
  turnSourceAccountId: null,
  turnSourceThreadId: null,
};

describe("SEC-073: a command that waits for somebody's consent", () => {
  test("is shown to those who may decide, decided once, and answered to whoever asked", async () => {
    const requester = await approver();
    const decider = await approver();
    const reader = await product.connect({ scopes: ["operator.read"] });
    requester.send({
      type: "req",
      id: "ask",
      method: "exec.approval.request",
      params: {
        command: "ls -la",
        host: "gateway",
        security: "allowlist",
        ask: "on-miss",
        agentId: "main",
        sessionKey: "agent:main:main",
        timeoutMs: 10_000,
        twoPhase: true,
      },
    });
    const shown = await requested(decider, "ls -la");
    const { id, createdAtMs, expiresAtMs, request } = shown.payload;
    expect(request).toEqual({
      command: "ls -la",
      host: "gateway",
      security: "allowlist",
      ask: "on-miss",
      agentId: "main",
      sessionKey: "agent:main:main",
      ...unbound,
    });
    expect(expiresAtMs - createdAtMs).toBe(10_000);
    expect((await answers(requester, "ask", 1))[0]?.payload).toEqual({
      status: "accepted",
      id,
      createdAtMs,
      expiresAtMs,
    });
    expect(await ask(decider, "exec.approval.list")).toEqual([{ id, request, createdAtMs, expiresAtMs }]);
    expect(await ask(decider, "exec.approval.get", { id })).toMatchObject({ id, commandText: "ls -la" });
    expect((await decider.request("exec.approval.resolve", { id, decision: "maybe" })).error).toEqual({
      code: "INVALID_REQUEST",
      message: "invalid decision",
    });
    expect(await ask(decider, "exec.approval.resolve", { id, decision: "allow-once" })).toEqual({ ok: true });
    expect((await resolved(requester, id)).payload).toEqual({
      id,
      decision: "allow-once",
      resolvedBy: "cli",
      ts: expect.any(Number),
      request,
    });
    expect((await answers(requester, "ask", 2))[1]?.payload).toEqual({
      id,
      decision: "allow-once",
      createdAtMs,
      expiresAtMs,
    });
    for (const again of [id, "zzz"])
      expect((await decider.request("exec.approval.resolve", { id: again, decision: "deny" })).error).toEqual(
        {
          code: "INVALID_REQUEST",
          message: "unknown approval id",
        },
      );
    expect(await ask(decider, "exec.approval.waitDecision", { id })).toMatchObject({
      decision: "allow-once",
    });
    await ask(reader, "status");
    expect(reader.frames.filter(({ event }) => event?.startsWith("exec."))).toEqual([]);
    await Promise.all([requester.close(), decider.close(), reader.close()]);
  });

  test("is not allowed when nobody answers in time, and an answer that comes later changes nothing", async () => {
    const requester = await approver();
    const answer = await ask(requester, "exec.approval.request", { command: "ls", timeoutMs: 50 });
    expect(answer).toEqual({
      id: expect.any(String),
      decision: null,
      createdAtMs: expect.any(Number),
      expiresAtMs: answer.createdAtMs + 50,
    });
    expect(
      (await requester.request("exec.approval.resolve", { id: answer.id, decision: "allow-always" })).error
        ?.message,
    ).toBe("unknown approval id");
    expect((await requester.request("exec.approval.waitDecision", { id: "nope" })).error?.message).toBe(
      "approval expired or not found",
    );
    expect((await requester.request("exec.approval.waitDecision", {})).error?.message).toBe("id is required");
    await requester.close();
  });

  test("SEC-111: shows what cannot be seen, and keeps nothing back", async () => {
    const requester = await approver();
    const answer = requester.request("exec.approval.request", {
      command: "ls\u202e\u200b\r\nrm -rf x",
      timeoutMs: 50,
    });
    const { payload } = await requester.find(({ event }) => event === "exec.approval.requested");
    expect(payload.request.command).toBe("ls\\u{202E}\\u{200B}\\u{D}\\u{A}rm -rf x");
    expect((await answer).payload.decision).toBe(null);
    const long = await requester.request("exec.approval.request", { command: "x".repeat(20_000) });
    expect(long.error?.message).toBe("command exceeds exec approval display limit");
    await requester.close();
  });

  test("may have an id of the client's choice, which is nobody else's then", async () => {
    const requester = await approver();
    const params = { id: "mine", command: "date", timeoutMs: 5_000 };
    const first = requester.request("exec.approval.request", params);
    await requested(requester, "date");
    expect((await requester.request("exec.approval.request", params)).error).toEqual({
      code: "INVALID_REQUEST",
      message: "approval id already pending",
    });
    await ask(requester, "exec.approval.resolve", { id: "mine", decision: "deny" });
    expect((await first).payload).toMatchObject({ id: "mine", decision: "deny" });
    await requester.close();
  });

  test("is answered on the command line by the start of its id", async () => {
    const requester = await approver();
    const answer = requester.request("exec.approval.request", { command: "make all", timeoutMs: 60_000 });
    const { id } = (await requested(requester, "make all")).payload;
    const listed = await rclaw(product.stateDir, ["approvals", "list"]);
    expect(listed.stdout).toContain(`${id}  make all`);
    const allowed = await rclaw(product.stateDir, ["approvals", "allow", id.slice(0, 8), "--always"]);
    expect(allowed).toMatchObject({ code: 0, stderr: "Allowed: make all\n" });
    expect((await answer).payload.decision).toBe("allow-always");
    expect((await rclaw(product.stateDir, ["approvals", "deny", "nothing"])).code).toBe(1);
    await requester.close();
  });
});

describe("SEC-112: a command on a node", () => {
  const run = { command: ["/bin/sh", "-lc", "uname -a"], rawCommand: "uname -a", cwd: "/tmp" };

  async function setUp() {
    const device = createDevice();
    const node = await product.connect({
      role: "node",
      scopes: [],
      caps: ["system"],
      commands: ["system.run"],
      client: { id: "node-host", mode: "node" },
      device,
    });
    const writer = await product.connect({ device: createDevice() });
    const close = () => Promise.all([node.close(), writer.close()]);
    const invoke = (params: object, from = writer): Promise<Frame> =>
      from.request("node.invoke", {
        nodeId: device.id,
        command: "system.run",
        params,
        timeoutMs: 5_000,
        idempotencyKey: crypto.randomUUID(),
      });
    let seen = 0;
    /** Takes the next command, and answers it. */
    async function taken(): Promise<unknown> {
      const all = (): readonly Frame[] => node.frames.filter(({ event }) => event === "node.invoke.request");
      await node.find(() => all().length > seen);
      const { id, paramsJSON } = all()[seen++]?.payload ?? {};
      await ask(node, "node.invoke.result", { id, nodeId: device.id, ok: true, payloadJSON: "{}" });
      return JSON.parse(paramsJSON);
    }
    async function approve(id: string, more: object = {}, shown = run.rawCommand): Promise<void> {
      const { command: commandArgv, rawCommand: command, cwd } = run;
      const asked = writer.request("exec.approval.request", {
        id,
        command,
        commandArgv,
        cwd,
        host: "node",
        nodeId: device.id,
        ...more,
      });
      await requested(writer, shown);
      await ask(writer, "exec.approval.resolve", { id, decision: "allow-once" });
      await asked;
    }
    return { invoke, taken, approve, close, nodeId: device.id };
  }

  test("goes to it without the client's word that it was approved", async () => {
    const { invoke, taken, close } = await setUp();
    const answer = invoke({ ...run, ask: "off", security: "full", evil: true });
    expect(await taken()).toEqual(run);
    expect((await answer).ok).toBe(true);
    const codes = [
      [{ ...run, approved: true }, "approval override requires params.runId", "MISSING_RUN_ID"],
      [
        { ...run, approvalDecision: "allow-always", runId: "x" },
        "unknown or expired approval id",
        "UNKNOWN_APPROVAL_ID",
      ],
      [
        { command: ["rm", "-rf", "/"], rawCommand: "ls" },
        "INVALID_REQUEST: rawCommand does not match command",
        "RAW_COMMAND_MISMATCH",
      ],
    ] as const;
    for (const [params, message, code] of codes)
      expect((await invoke(params)).error).toMatchObject({
        code: "INVALID_REQUEST",
        message,
        details: { code },
      });
    await close();
  });

  test("that was approved runs once, as it was approved, and for whoever asked", async () => {
    const { invoke, taken, approve, close } = await setUp();
    await approve("once");
    const granted = { ...run, runId: "once", approved: true, approvalDecision: "allow-once" };
    for (const other of [
      { command: ["/bin/sh", "-lc", "uname -a; id"], rawCommand: "uname -a; id" },
      { cwd: "/etc" },
      { sessionKey: "agent:main:other" },
    ])
      expect((await invoke({ ...granted, ...other })).error).toMatchObject({
        message: "approval id does not match request",
        details: { code: "APPROVAL_REQUEST_MISMATCH", runId: "once" },
      });
    expect((await invoke({ ...granted, env: { LD_PRELOAD: "x" } })).error).toMatchObject({
      message: "approval id missing env binding for requested env overrides",
      details: { code: "APPROVAL_ENV_BINDING_MISSING", envKeys: ["LD_PRELOAD"] },
    });
    const stranger = await product.connect({ device: createDevice() });
    expect((await invoke(granted, stranger)).error).toMatchObject({
      message: "approval id not valid for this device",
      details: { code: "APPROVAL_DEVICE_MISMATCH" },
    });
    const answer = invoke(granted);
    expect(await taken()).toEqual(granted);
    expect((await answer).ok).toBe(true);
    expect((await invoke(granted)).error).toMatchObject({
      message: "approval required",
      details: { code: "APPROVAL_REQUIRED", runId: "once" },
    });
    await Promise.all([close(), stranger.close()]);
  });

  test("is what its plan says, whatever is said later; and an approval is for one node", async () => {
    const { invoke, taken, approve, close, nodeId } = await setUp();
    const other = await setUp();
    const plan = {
      version: 2,
      argv: ["/bin/uname", "-a"],
      cwd: "/srv",
      rawCommand: "uname -a",
      agentId: null,
      sessionKey: null,
    };
    // What will run is shown, and not what it is called.
    await approve("planned", { systemRunPlanV2: plan }, "/bin/uname -a");
    const granted = { ...run, runId: "planned", approved: true };
    const answer = invoke(granted);
    expect(await taken()).toEqual({
      command: ["/bin/uname", "-a"],
      rawCommand: "uname -a",
      cwd: "/srv",
      runId: "planned",
      approved: true,
      approvalDecision: "allow-once",
    });
    expect((await answer).ok).toBe(true);
    await other.approve("elsewhere", { nodeId });
    expect((await other.invoke({ ...run, runId: "elsewhere", approved: true })).error).toMatchObject({
      message: "approval id not valid for this node",
      details: { code: "APPROVAL_NODE_MISMATCH" },
    });
    await Promise.all([close(), other.close()]);
  });
});

test("the rules of who may run what are written by whoever read them last, and outlive a restart", async () => {
  await using first = await startFresh();
  const admin = await first.connect();
  const before = await ask(admin, "exec.approvals.get");
  expect(before).toEqual({
    path: expect.stringContaining(first.stateDir),
    exists: true,
    hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    file: { version: 1, socket: { path: expect.any(String) }, defaults: {}, agents: {} },
  });
  const file = {
    version: 1,
    socket: { token: "hidden-socket-token" },
    defaults: { security: "allowlist", ask: "on-miss" },
    agents: { main: { allowlist: [{ pattern: "/usr/bin/git" }] } },
  };
  expect((await admin.request("exec.approvals.set", { file })).error?.message).toBe(
    "exec approvals base hash required; re-run exec.approvals.get and retry",
  );
  const after = await ask(admin, "exec.approvals.set", { file, baseHash: before.hash });
  expect(after.file).toEqual({
    version: 1,
    socket: before.file.socket,
    defaults: file.defaults,
    agents: { main: { allowlist: [{ pattern: "/usr/bin/git", id: expect.any(String) }] } },
  });
  expect((await admin.request("exec.approvals.set", { file, baseHash: before.hash })).error?.message).toBe(
    "exec approvals changed since last load; re-run exec.approvals.get and retry",
  );
  expect(JSON.stringify(after)).not.toContain("hidden-socket-token");
  await first.kill();
  await using second = await startProduct({ stateDir: first.stateDir });
  expect(await ask(await second.connect(), "exec.approvals.get")).toEqual(after);
});
