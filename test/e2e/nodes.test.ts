import { describe, expect, test } from "vitest";
import { freshForAll, startFresh } from "../support/fresh.ts";
import { ask, rclaw, say, startProduct } from "../support/product.ts";
import {
  type Client,
  type ConnectOptions,
  createDevice,
  type Device,
  type Frame,
} from "../support/ws-client.ts";

/** Nodes against the whole product, with the frames and the words that OpenClaw's gateway was recorded with. */

const product = freshForAll();

const testNode = {
  role: "node",
  scopes: [],
  caps: ["system"],
  commands: ["system.run", "system.which", "evil.cmd"],
  permissions: { x: true },
  pathEnv: "/usr/bin",
  client: { id: "node-host", mode: "node", displayName: "Test Node", deviceFamily: "Linux" },
} as const satisfies ConnectOptions;

async function connectNode(
  options: ConnectOptions = {},
  at = product,
): Promise<{ node: Client; device: Device }> {
  const device = options.device ?? createDevice();
  return { node: await at.connect({ ...testNode, ...options, device }), device };
}

const invoked = (client: Client, command: string): Promise<Frame> =>
  client.find(({ event, payload }) => event === "node.invoke.request" && payload.command === command);

async function refusal(client: Client, method: string, params: object): Promise<Frame["error"]> {
  const answer = await client.request(method, params);
  expect(answer.ok).toBe(false);
  return answer.error;
}

describe("a node that connects", () => {
  test("may offer skills and tools of its own, as OpenClaw's does since 2026.9, and hears that none was taken", async () => {
    const { node, device } = await connectNode();
    const skill = { name: "tea", description: "Makes tea.", content: "# Tea" };
    expect(await ask(node, "node.skills.update", { skills: [skill] })).toEqual({
      nodeId: device.id,
      skills: [],
    });
    const tool = { pluginId: "kettle", name: "boil", description: "Boils." };
    expect(await ask(node, "node.pluginTools.update", { tools: [tool] })).toEqual({
      nodeId: device.id,
      tools: [],
    });
  });

  test("is listed and described with what it can and may, and nothing that it may not", async () => {
    const { node, device } = await connectNode();
    const operator = await product.connect();
    const row = {
      nodeId: device.id,
      displayName: "Test Node",
      platform: "linux",
      version: "0.0.1",
      deviceFamily: "Linux",
      caps: ["system"],
      commands: ["system.run", "system.which"],
      pathEnv: "/usr/bin",
      permissions: { x: true },
      connectedAtMs: expect.any(Number),
      paired: true,
      connected: true,
    };
    const { ts, nodes } = await ask(operator, "node.list");
    expect(ts).toBeGreaterThan(0);
    expect(nodes.find(({ nodeId }: { nodeId: string }) => nodeId === device.id)).toEqual(row);
    expect(await ask(operator, "node.describe", { nodeId: device.id })).toEqual({
      ts: expect.any(Number),
      ...row,
    });
    expect(await refusal(operator, "node.describe", { nodeId: "nope" })).toEqual({
      code: "INVALID_REQUEST",
      message: "unknown nodeId",
    });
    await node.close();
    await operator.find(
      ({ event, payload }) =>
        event === "presence" &&
        payload.presence.some(
          (entry: { deviceId?: string; reason?: string }) =>
            entry.deviceId === device.id && entry.reason === "disconnect",
        ),
    );
    const away = await ask(operator, "node.describe", { nodeId: device.id });
    expect(away).toEqual({
      ts: expect.any(Number),
      nodeId: device.id,
      displayName: "Test Node",
      platform: "linux",
      caps: [],
      commands: [],
      paired: true,
      connected: false,
    });
    await operator.close();
  });

  test("carries out a command, and its answer reaches whoever asked", async () => {
    const { node, device } = await connectNode();
    const operator = await product.connect();
    const answer = operator.request("node.invoke", {
      nodeId: device.id,
      command: "system.which",
      params: { bins: ["sh"] },
      timeoutMs: 5_000,
      idempotencyKey: "inv-1",
    });
    const asked = await invoked(node, "system.which");
    expect(asked).toEqual({
      type: "event",
      event: "node.invoke.request",
      payload: {
        id: expect.any(String),
        nodeId: device.id,
        command: "system.which",
        paramsJSON: '{"bins":["sh"]}',
        timeoutMs: 5_000,
        idempotencyKey: "inv-1",
      },
    });
    const payloadJSON = '{"bins":{"sh":"/bin/sh"}}';
    const result = { id: asked.payload.id, nodeId: device.id, ok: true, payloadJSON };
    expect((await node.request("node.invoke.result", result)).payload).toEqual({ ok: true });
    expect((await answer).payload).toEqual({
      ok: true,
      nodeId: device.id,
      command: "system.which",
      payload: { bins: { sh: "/bin/sh" } },
      payloadJSON,
    });
    // Once more is too late.
    expect((await node.request("node.invoke.result", result)).payload).toEqual({ ok: true, ignored: true });
    await Promise.all([node.close(), operator.close()]);
  });

  test("refuses in the protocol's own words", async () => {
    const { node, device } = await connectNode();
    const operator = await product.connect();
    const invoke = (command: string, nodeId = device.id, more = {}): Promise<Frame["error"]> =>
      refusal(operator, "node.invoke", { nodeId, command, idempotencyKey: command, ...more });
    expect(await invoke("evil.cmd")).toEqual({
      code: "INVALID_REQUEST",
      message: 'node command not allowed: "evil.cmd" is not in the allowlist for platform "linux"',
      details: { reason: "command not allowlisted", command: "evil.cmd" },
    });
    expect(await invoke("system.notify")).toEqual({
      code: "INVALID_REQUEST",
      message: 'node command not allowed: the node (platform: linux) does not support "system.notify"',
      details: { reason: "command not declared by node", command: "system.notify" },
    });
    expect(await invoke("system.which", "nope")).toEqual({
      code: "UNAVAILABLE",
      message: "node not connected",
      details: { code: "NOT_CONNECTED" },
    });
    expect(await invoke("system.execApprovals.get")).toEqual({
      code: "INVALID_REQUEST",
      message: "node.invoke does not allow system.execApprovals.*; use exec.approvals.node.*",
      details: { command: "system.execApprovals.get" },
    });
    expect(await invoke("system.which", device.id, { timeoutMs: 50 })).toEqual({
      code: "UNAVAILABLE",
      message: "node invoke timed out",
      details: { nodeError: { code: "TIMEOUT", message: "node invoke timed out" } },
    });
    expect((await invoked(node, "system.which")).payload.paramsJSON).toBe(null);
    expect(await refusal(operator, "node.rename", { nodeId: device.id, displayName: "Renamed" })).toEqual({
      code: "INVALID_REQUEST",
      message: "unknown nodeId",
    });
    expect(await refusal(operator, "browser.request", { method: "GET", path: "/" })).toEqual({
      code: "UNAVAILABLE",
      message: "browser control is disabled",
    });
    expect(await refusal(node, "sessions.list", {})).toMatchObject({ message: "unauthorized role: node" });
    expect(await refusal(operator, "node.event", { event: "x" })).toMatchObject({
      message: "unauthorized role: operator",
    });
    await Promise.all([node.close(), operator.close()]);
  });

  test("whose command fails hands its reason on; one that goes away ends what it was asked at once", async () => {
    const { node, device } = await connectNode();
    const operator = await product.connect();
    const invoke = (idempotencyKey: string): Promise<Frame> =>
      operator.request("node.invoke", { nodeId: device.id, command: "system.which", idempotencyKey });
    const failing = invoke("fail");
    const { payload } = await invoked(node, "system.which");
    const error = { code: "INVALID_REQUEST", message: "bins required" };
    await ask(node, "node.invoke.result", {
      id: payload.id,
      nodeId: device.id,
      ok: false,
      payloadJSON: null,
      error,
    });
    expect((await failing).error).toEqual({
      code: "UNAVAILABLE",
      message: "bins required",
      details: { nodeError: error },
    });
    const started = performance.now();
    const hanging = invoke("hang");
    await node.find(
      ({ event, payload: asked }) => event === "node.invoke.request" && asked.idempotencyKey === "hang",
    );
    await node.close();
    expect((await hanging).error).toMatchObject({
      code: "UNAVAILABLE",
      message: "node disconnected (system.which)",
    });
    expect(performance.now() - started).toBeLessThan(5_000);
    await operator.close();
  });

  test("answers for nobody but itself", async () => {
    const [first, second] = [await connectNode(), await connectNode()];
    const operator = await product.connect();
    const answer = operator.request("node.invoke", {
      nodeId: first.device.id,
      command: "system.which",
      idempotencyKey: "own",
    });
    const { id } = (await invoked(first.node, "system.which")).payload;
    const forged = { id, nodeId: first.device.id, ok: true, payloadJSON: '"forged"' };
    expect(await refusal(second.node, "node.invoke.result", forged)).toEqual({
      code: "INVALID_REQUEST",
      message: "nodeId mismatch",
    });
    const own = { ...forged, nodeId: second.device.id };
    expect(await ask(second.node, "node.invoke.result", own)).toEqual({ ok: true, ignored: true });
    await ask(first.node, "node.invoke.result", { ...forged, payloadJSON: '"real"' });
    expect((await answer).payload.payload).toBe("real");
    await Promise.all([first.node.close(), second.node.close(), operator.close()]);
  });
});

describe("what a node tells", () => {
  test("a node hears of the conversation that it follows, and of no other", async () => {
    const { node } = await connectNode();
    const operator = await product.connect();
    const subscribe = { event: "chat.subscribe", payload: { sessionKey: "agent:main:main" } };
    expect(await ask(node, "node.event", subscribe)).toEqual({ ok: true });
    const followed = (await say(operator, "hello")).payload.runId;
    await say(operator, "hello", { sessionKey: "agent:main:other" });
    const final = await node.find(({ event, payload }) => event === "chat" && payload.state === "final");
    expect(final.payload).toMatchObject({ runId: followed, sessionKey: "agent:main:main" });
    // Copies are meant for this node alone and carry no number.
    expect(final.seq).toBe(undefined);
    await ask(node, "node.event", { ...subscribe, event: "chat.unsubscribe" });
    await say(operator, "hello");
    await ask(node, "health");
    const heard = node.frames.filter(({ event }) => event === "chat").map(({ payload }) => payload.runId);
    expect([...new Set(heard)]).toEqual([followed]);
    await Promise.all([node.close(), operator.close()]);
  });

  test("what is said to it is a message in the session, once", async () => {
    const { node, device } = await connectNode();
    const operator = await product.connect();
    const said = { text: "what is the time", sessionKey: "agent:main:voice", eventId: "1" };
    for (const event of ["voice.transcript", "voice.transcript"])
      expect(await ask(node, "node.event", { event, payloadJSON: JSON.stringify(said) })).toEqual({
        ok: true,
      });
    await ask(node, "node.event", { event: "agent.request", payload: { message: "shared", deliver: false } });
    const texts = async (sessionKey: string): Promise<string[]> =>
      (await ask(operator, "chat.history", { sessionKey })).messages
        .filter(({ role }: { role: string }) => role === "user")
        .map(({ content }: { content: { text: string }[] }) => content[0]?.text);
    await operator.find(
      ({ event, payload }) =>
        event === "chat" && payload.sessionKey === "agent:main:voice" && payload.state === "final",
    );
    await operator.find(
      ({ event, payload }) =>
        event === "chat" &&
        payload.sessionKey === `agent:main:node-${device.id}` &&
        payload.state === "final",
    );
    expect(await texts("agent:main:voice")).toEqual([expect.stringContaining("what is the time")]);
    expect(await texts(`agent:main:node-${device.id}`)).toEqual([expect.stringContaining("shared")]);
    await Promise.all([node.close(), operator.close()]);
  });

  test("what it ran stands before the session's next message; what nobody knows is ignored", async () => {
    const { node } = await connectNode();
    const operator = await product.connect();
    const payload = {
      sessionKey: "main",
      runId: "r1",
      command: "make",
      exitCode: 2,
      output: "no rule\nto make",
      success: false,
    };
    for (const event of ["exec.finished", "exec.finished", "no.such.event"])
      expect(await ask(node, "node.event", { event, payload })).toEqual({ ok: true });
    await say(operator, "and?");
    // Clients are shown what the person said; the model was told the rest.
    expect(await product.state.filesWith("id=r1, code 2")).not.toEqual([]);
    await Promise.all([node.close(), operator.close()]);
  });
});

test("what the operator allows counts at once, and the book of nodes outlives a restart", async () => {
  await using first = await startFresh({ config: { gateway: { nodes: { denyCommands: ["system.run"] } } } });
  const { node, device } = await connectNode({ commands: ["system.run", "camera.snap"] }, first);
  const operator = await first.connect();
  const commands = async (): Promise<readonly string[]> =>
    (await ask(operator, "node.describe", { nodeId: device.id })).commands;
  expect(await commands()).toEqual([]);
  await ask(node, "node.event", { event: "chat.subscribe", payload: { sessionKey: "main" } });
  expect(
    await refusal(operator, "node.invoke", {
      nodeId: device.id,
      command: "camera.snap",
      idempotencyKey: "1",
    }),
  ).toMatchObject({ details: { reason: "command not allowlisted" } });
  await ask(operator, "config.patch", {
    raw: '{ gateway: { nodes: { allowCommands: ["camera.snap"], denyCommands: null } } }',
    baseHash: (await ask(operator, "config.get")).hash,
  });
  expect(await commands()).toEqual(["camera.snap", "system.run"]);
  // A node that follows a conversation is not told of the operator's change, and need not be.
  const { runId } = (await say(operator, "hello")).payload;
  await node.find(({ event, payload }) => event === "chat" && payload.runId === runId);

  const { request } = await ask(operator, "node.pair.request", { nodeId: "old", displayName: "Old" });
  const paired = await ask(operator, "node.pair.approve", { requestId: request.requestId });
  await Promise.all([node.close(), operator.close()]);
  await first.kill();
  await using second = await startProduct({ stateDir: first.stateDir });
  const again = await second.connect();
  const { token } = paired.node;
  expect(await ask(again, "node.pair.verify", { nodeId: "old", token })).toEqual({
    ok: true,
    node: paired.node,
  });
  expect(await ask(again, "node.rename", { nodeId: "old", displayName: "New" })).toEqual({
    nodeId: "old",
    displayName: "New",
  });
  expect((await ask(again, "node.list")).nodes).toMatchObject([{ nodeId: device.id, connected: false }]);
  const listed = await rclaw(first.stateDir, ["nodes", "list"]);
  expect(listed.stdout).toContain("Test Node");
});
