import type { Files, ToolContext, ToolResult } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { expect, test } from "vitest";
import nodeControl from "../../plugins/tools/node-control/index.ts";

type Asked = readonly [method: string, params: Readonly<Record<string, unknown>>];

interface Answers {
  /** What the node answers, by command; a function may fail. */
  readonly [command: string]: (params: Readonly<Record<string, unknown>>) => unknown;
}

const phone = {
  nodeId: "aaaaaaaa1111",
  displayName: "Phone",
  platform: "ios",
  commands: ["camera.snap", "system.notify"],
  connected: true,
};
const laptop = {
  nodeId: "bbbbbbbb2222",
  displayName: "Laptop",
  platform: "linux",
  commands: ["system.run", "system.run.prepare"],
  connected: true,
};

interface Setting {
  readonly nodes?: readonly object[];
  readonly answers?: Answers;
  readonly decision?: string | null;
  readonly isOwner?: boolean;
}

async function assistant({
  nodes = [phone],
  answers = {},
  decision = "allow-once",
  isOwner = true,
}: Setting = {}) {
  const asked: Asked[] = [];
  const written: string[] = [];
  const files: Files = {
    write: async (path, data) => void written.push(`${path} ${String(data)}`),
    read: () => Promise.reject(new Error("not read")),
    list: () => Promise.resolve([]),
  };
  const rclaw = createTestContext({
    id: "node-control",
    methods: {
      "node.list": () => ({ nodes }),
      "node.describe": () => phone,
      "node.invoke": (params) => {
        const given = params as { command: string; params: Readonly<Record<string, unknown>> };
        asked.push([given.command, given.params]);
        const answer = answers[given.command];
        return { payload: answer?.(given.params) };
      },
      "exec.approval.request": (params) => {
        asked.push(["exec.approval.request", params as Asked[1]]);
        return { decision };
      },
    },
  });
  await rclaw.activate(nodeControl);
  const place: ToolContext = {
    sessionKey: "agent:main:main",
    agentId: "main",
    runId: "run",
    toolCallId: "1",
    isOwner,
    workspace: "/workspace",
    files,
    signal: rclaw.context.signal,
  };
  const tool = rclaw.contributions.tools.get("nodes");
  const use = (params: object): Promise<ToolResult> =>
    tool?.execute(params, place) ?? Promise.reject(new Error("no tool"));
  return { rclaw, asked, written, use };
}

test("everybody may see which nodes there are, and only the owner has them do something", async () => {
  const { rclaw, use, asked } = await assistant({ isOwner: false });
  await using _ = rclaw;
  expect((await use({ action: "status" })).content).toContain('"name": "Phone"');
  expect((await use({ action: "describe" })).content).toContain("camera.snap");
  for (const action of ["notify", "camera_snap", "screen_record", "location_get", "run", "invoke"])
    expect(await use({ action, title: "x", command: ["ls"], invokeCommand: "x" })).toMatchObject({
      isError: true,
      content: "only the owner of this assistant may use nodes",
    });
  expect(asked).toEqual([]);
});

test("a picture is written into the workspace, and the model gets its path", async () => {
  const base64 = Buffer.from("picture").toString("base64");
  const { rclaw, use, written, asked } = await assistant({
    answers: { "camera.snap": () => ({ format: "jpg", base64, width: 1, height: 1 }) },
  });
  await using _ = rclaw;
  const { content } = await use({ action: "camera_snap", node: "phone", facing: "back" });
  expect(asked).toEqual([["camera.snap", { facing: "back", maxWidth: 1_600, quality: 0.95, format: "jpg" }]]);
  expect(content).toMatch(/^Saved as nodes\/camera-[0-9a-f-]+\.jpg \(7 bytes\)\.$/);
  expect(written).toEqual([expect.stringMatching(/^nodes\/camera-[0-9a-f-]+\.jpg picture$/)]);
});

test("what the node says about the kind of a file is not believed", async () => {
  const { rclaw, use, written } = await assistant({
    answers: { "camera.snap": () => ({ format: "../../x.sh", base64: "eA==" }) },
  });
  await using _ = rclaw;
  expect(await use({ action: "camera_snap" })).toMatchObject({ isError: true });
  expect(written).toEqual([]);
});

test("a node has to be one that is there, and the only one of that name", async () => {
  const { rclaw, use } = await assistant({ nodes: [phone, laptop, { ...laptop, nodeId: "bbbbbbbb3333" }] });
  await using _ = rclaw;
  for (const [node, content] of [
    [undefined, "several nodes are connected; say which one"],
    ["tablet", 'there is no node "tablet"; status lists them'],
    ["bbbbbbbb", '"bbbbbbbb" may be 2 nodes; give more of the id'],
  ] as const)
    expect(await use({ action: "notify", node, title: "x" })).toEqual({ isError: true, content });
  expect(await use({ action: "notify", node: "aaaaaaaa", title: "Tea" })).toEqual({ content: "shown" });
});

const plan = {
  version: 2,
  argv: ["/bin/ls"],
  cwd: "/srv",
  rawCommand: "ls",
  agentId: "main",
  sessionKey: "agent:main:main",
};
const careful: Answers = {
  "system.run.prepare": () => ({ plan, cmdText: "ls" }),
  "system.run": ({ approved }) => {
    if (approved !== true) throw new Error("SYSTEM_RUN_DENIED: approval required");
    return { exitCode: 0, stdout: "notes.txt\n" };
  },
};

test("a program on a node that wants consent runs as the node has planned it, once the owner agrees", async () => {
  const { rclaw, use, asked } = await assistant({ nodes: [laptop], answers: careful });
  await using _ = rclaw;
  expect((await use({ action: "run", command: ["ls"] })).content).toContain("notes.txt");
  const planned = {
    command: ["/bin/ls"],
    cwd: "/srv",
    rawCommand: "ls",
    agentId: "main",
    sessionKey: "agent:main:main",
  };
  const request = asked.find(([method]) => method === "exec.approval.request")?.[1];
  expect(request).toMatchObject({
    command: "ls",
    commandArgv: ["/bin/ls"],
    systemRunPlanV2: plan,
    nodeId: laptop.nodeId,
    host: "node",
  });
  expect(asked.at(-1)).toEqual([
    "system.run",
    { ...planned, runId: request?.["id"], approved: true, approvalDecision: "allow-once" },
  ]);
});

test.each([
  ["deny", "the owner does not allow this command"],
  [null, "nobody answered in time whether this may run"],
])("with the answer %s it does not run", async (decision, content) => {
  const { rclaw, use, asked } = await assistant({ nodes: [laptop], answers: careful, decision });
  await using _ = rclaw;
  expect(await use({ action: "run", command: ["ls"] })).toEqual({ isError: true, content });
  expect(asked.map(([method]) => method)).toEqual([
    "system.run.prepare",
    "system.run",
    "exec.approval.request",
  ]);
});
