import { randomUUID } from "node:crypto";
import {
  definePlugin,
  defineTool,
  type PluginContext,
  type ToolContext,
  type ToolResult,
} from "@rclaw/plugin-sdk";
import { nodesParams } from "./node-control.schema.ts";

type Fields = Readonly<Record<string, unknown>>;
type Params = Parameters<Parameters<typeof defineTool<typeof nodesParams>>[0]["execute"]>[0];

interface NodeRow {
  readonly nodeId: string;
  readonly displayName?: string;
  readonly platform?: string;
  readonly commands: readonly string[];
  readonly connected: boolean;
}

const maxContent = 20_000;

/** Lets the assistant use the phones and computers that are its owner's. */
export default definePlugin({
  activate(plugin) {
    plugin.tools.register(
      defineTool({
        name: "nodes",
        description:
          "Phones and computers of the owner that do things for you: list them, notify, take a picture, record the screen, ask for the location, run a program there.",
        params: nodesParams,
        // Whoever has to consent to a command may need longer than a tool has by itself.
        timeoutMs: 0,
        execute: (params, context) =>
          act(params, context, plugin.methods).catch((error: unknown) => failed((error as Error).message)),
      }),
    );
  },
});

async function act(
  params: Params,
  context: ToolContext,
  methods: PluginContext["methods"],
): Promise<ToolResult> {
  const { signal } = context;
  const call = (method: string, given: Fields): Promise<unknown> => methods.call(method, given, { signal });
  const { nodes } = (await call("node.list", {})) as { nodes: readonly NodeRow[] };
  if (params.action === "status") return answer(nodes.map(shortened));
  const node = nodeOf(nodes, params.node);
  if (typeof node === "string") return failed(node);
  const { nodeId } = node;
  if (params.action === "describe") return answer(await call("node.describe", { nodeId }));
  if (!context.isOwner) return failed("only the owner of this assistant may use nodes");
  const invoke = async (command: string, given?: Fields): Promise<unknown> => {
    const { timeoutMs } = params;
    const result = await call("node.invoke", {
      nodeId,
      command,
      ...(given && { params: given }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      idempotencyKey: randomUUID(),
    });
    return (result as { payload?: unknown }).payload;
  };
  return carryOut(params, { node, context, call, invoke });
}

interface Means {
  readonly node: NodeRow;
  readonly context: ToolContext;
  call(method: string, params: Fields): Promise<unknown>;
  invoke(command: string, params?: Fields): Promise<unknown>;
}

async function carryOut(params: Params, { node, context, call, invoke }: Means): Promise<ToolResult> {
  const { title, body, priority, facing = "front", maxWidth = 1_600, desiredAccuracy } = params;
  switch (params.action) {
    case "notify":
      if (!title?.trim() && !body?.trim()) return failed("notify needs a title or a body");
      return answer(
        (await invoke("system.notify", { title, body, ...(priority && { priority }) })) ?? "shown",
      );
    case "location_get":
      return answer(await invoke("location.get", desiredAccuracy && { desiredAccuracy }));
    case "camera_snap":
      return saved(
        await invoke("camera.snap", { facing, maxWidth, quality: 0.95, format: "jpg" }),
        "camera",
        context,
      );
    case "screen_record": {
      const { durationMs = 10_000, screenIndex = 0, includeAudio = true } = params;
      const record = { durationMs, screenIndex, includeAudio, fps: 10, format: "mp4" };
      return saved(await invoke("screen.record", record), "screen", context);
    }
    case "run": {
      if (!params.command) return failed("run needs a command");
      const { command, cwd, env, timeoutMs } = params;
      const { runOnNode } = await import("./run.ts");
      return answer(
        await runOnNode({
          nodeId: node.nodeId,
          canPrepare: node.commands.includes("system.run.prepare"),
          params: { command, cwd, env, timeoutMs },
          context,
          call,
          invoke,
        }),
      );
    }
    default:
      if (!params.invokeCommand) return failed("invoke needs invokeCommand");
      return answer((await invoke(params.invokeCommand, params.invokeParams)) ?? "done");
  }
}

async function saved(payload: unknown, what: string, context: ToolContext): Promise<ToolResult> {
  const { saveMedia } = await import("./media.ts");
  const file = await saveMedia(payload, what, context.files);
  if (!file) return failed(`the node's ${what} gave no picture or film that can be kept`);
  return { content: `Saved as ${file.path} (${file.bytes} bytes).`, details: file };
}

/** The node that is meant, or why none can be found. */
function nodeOf(nodes: readonly NodeRow[], wanted: string | undefined): NodeRow | string {
  if (wanted === undefined || wanted.trim() === "") {
    const connected = nodes.filter((node) => node.connected);
    if (connected.length === 1 && connected[0]) return connected[0];
    return connected.length === 0 ? "no node is connected" : "several nodes are connected; say which one";
  }
  const name = wanted.trim().toLowerCase();
  const found = nodes.filter(
    ({ nodeId, displayName = "" }) =>
      displayName.toLowerCase() === name || (name.length >= 6 && nodeId.startsWith(name)) || nodeId === name,
  );
  if (found.length > 1) return `"${wanted}" may be ${found.length} nodes; give more of the id`;
  return found[0] ?? `there is no node "${wanted}"; status lists them`;
}

const shortened = ({ nodeId, displayName, platform, connected, commands }: NodeRow): Fields => ({
  node: nodeId,
  name: displayName,
  platform,
  connected,
  commands,
});

function answer(value: unknown): ToolResult {
  const text = typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "done");
  const cut = text.length > maxContent ? `${text.slice(0, maxContent)}\n[cut off]` : text;
  return { content: cut };
}

const failed = (content: string): ToolResult => ({ content, isError: true });
