import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { LLMock } from "@copilotkit/aimock";
import { beforeAll, expect, test } from "vitest";
import { type Product, startProduct, tempState } from "../support/product.ts";
import { type Conditions, createMemory, readGroups, replay } from "../support/replay.ts";

const recorded = readGroups(path.resolve(import.meta.dirname, "../fixtures/frames/recorded.jsonl"));
/** The token the recorded clients had. */
const token = "proto-test-token";
const said = "Hello from the mock provider. This reply is streamed in several deltas. ";

/** A difference, with `*` for any text, and why it is meant to be there. */
type Differences = Readonly<Record<string, string>>;
interface Case extends Omit<Conditions, "url" | "headers"> {
  /** Headers were not recorded. */
  readonly headers?: (port: number) => Record<string, string>;
  readonly differs?: Differences;
  /** Differences that come and go with the clock. */
  readonly may?: Differences;
}
/** What has nothing to be compared with in this release, or is compared by another test. */
type Elsewhere = { readonly later: string } | { readonly elsewhere: string };

const hello: Differences = {
  "connect: /server/host is new": "Android shows it as the gateway's name",
  "connect: /auth is new": "sent to everybody, as protocol 4 demands; clients of 3 ignore it",
  "connect: /canvasHostUrl is missing": "there is no canvas yet",
};
const noHeartbeat: Differences = {
  "health: /heartbeatSeconds is 0 instead of 1800": "heartbeats come later",
  "*/enabled is false instead of true": "heartbeats come later",
  '*/every is "disabled" instead of "30m"': "heartbeats come later",
  "*/everyMs is null instead of 1800000": "heartbeats come later",
  "health: /agents/0/heartbeat/* is missing": "heartbeats come later",
};
const config: Differences = {
  "config.get: /parsed/*": "the file of this gateway has other sections",
  "config.get: /resolved/*": "as above",
  "config.get: /config/*": "and so have its defaults",
};
const streams: Differences = {
  "chat:delta: /deltaText is new": "demanded by protocol 4; clients of 3 ignore it",
};
const status: Differences = {
  "chat:final: /message/content/0/text is *": "/status tells of this gateway",
  "chat:final: /message/usage/cost is missing": "no prices are known here",
};
const places: Differences = {
  "agents.files.*: /workspace is *": "the folder of this test",
  "cron.status: /storePath is *": "jobs stand in the plugin's own storage",
  "tts.status: /prefsPath is *": "so does what was chosen about speech",
  "skills.status: /*Dir is *": "the folders of this test",
  "logs.tail: /file is *": "the log of this gateway",
  "logs.tail: /cursor is *": "as above",
  "logs.tail: /size is *": "as above",
  "logs.tail: /lines/* is *": "as above",
  "sessions.usage: /*Date is *": "today is another day",
};
const noneShipped: Differences = {
  "skills.status: /skills has 0 instead of 2": "no skills ship with rclaw",
};
const ownThings: Differences = {
  "tools.catalog: /groups has 6 instead of 11": "the tools that are here",
  "tools.catalog: /groups/*/tools/*/description is *": "in the words of this gateway",
  "tools.catalog: /groups/0/tools has 3 instead of 4": "there is no apply_patch",
  "tools.catalog: /groups/1/tools has 1 instead of 2": "there is no process",
  "tools.catalog: /groups/2/*": "other tools come after those for files and commands",
  "tools.catalog: /groups/3/*": "as above",
  "tools.catalog: /groups/4/*": "as above",
  "tools.catalog: /groups/5/*": "as above",
  "tts.status: /* is new": "what releases after it have on top",
  "tts.status: /edgeEnabled is false instead of true": "no speech is made here, so no provider is ready",
  "tts.providers: /providers/2/configured is false instead of true": "as above",
  "device.pair.list: /paired has 6 instead of 5": "the device that signed no nonce was let in here",
  "doctor.memory.status: /embedding/error is *": "there is no memory search, with or without a key",
  "config.schema: /schema/* is new": "of the schema only the first level was kept, and others stand there",
  "config.schema: /uiHints/* is new": "the hints of these keys",
  "config.schema: /uiHints/wizard is missing": "what was set up with is not written down",
};
const counting = "system events wait for the next message of any kind, there only for one of chat.send";
const page = (port: number): Record<string, string> => ({ origin: `http://127.0.0.1:${port}` });
const evil = (): Record<string, string> => ({ origin: "https://evil.example" });
/** What the recorded client called the gateway, to be taken for one on another machine. */
const elsewhere = (): Record<string, string> => ({ host: "gateway.example" });
const accepted = (why: string): Differences => ({ "connect: ok instead of INVALID_REQUEST *": why });
const oversized = 26 * 1_024 * 1_024 + 1;

/** Every case that was recorded, in its order. What a case does not name must be as it was. */
const cases: Readonly<Record<string, Case | Elsewhere>> = {
  "hs-first-not-connect": {},
  "hs-not-a-request": {},
  "hs-not-json": {},
  "hs-bad-params": {
    differs: {
      "connect: /message is *": "any non-empty client id is accepted, and there is one mode more",
      "closed 1008 *": "the reason repeats the message",
    },
  },
  "hs-protocol-mismatch-low": {
    differs: { "connect: /details/expectedProtocol is 4 instead of 3": "4 would have been taken as well" },
  },
  "hs-protocol-mismatch-high": { differs: accepted("4 is spoken here") },
  "hs-protocol-range-ok": {
    differs: {
      "connect: /protocol is 4 instead of 3": "the highest both sides speak",
      "connect: /features/capabilities is new": "clients of 4 want to know what else they may ask",
    },
  },
  "hs-invalid-role": {},
  "hs-wrong-token": {},
  "hs-no-auth-no-device": {},
  "hs-wrong-token-with-device": {},
  "hs-bad-device-signature": { tamper: { signature: Buffer.alloc(64, 7).toString("base64url") } },
  "hs-stale-signature": { sign: { version: "v3", ageMs: 130_000 } },
  "hs-nonce-mismatch": { tamper: { nonce: "00000000-0000-0000-0000-000000000000" } },
  "hs-device-id-mismatch": { tamper: { id: "f".repeat(64) } },
  "hs-sig-v1-no-nonce": {
    sign: { version: "v1" },
    differs: accepted("releases before 2026.2.26 sign no nonce; taken on this machine only"),
  },
  "hs-sig-v2-ok": { sign: { version: "v2" } },
  "hs-sig-v3-ok-then-device-token": {},
  "hs-sig-v3-ok-then-device-token/reconnect": { differs: config },
  "hs-sig-v3-ok-then-device-token/token-fallback": {},
  "hs-sig-v3-ok-then-device-token/bad-device-token": {},
  "hs-sig-v3-ok-then-device-token/metadata-change": {},
  "hs-shared-token-no-device-scopes-kept": {
    differs: {
      ...config,
    },
  },
  "hs-control-ui-bad-origin": { headers: evil },
  "hs-control-ui-no-device": { headers: page },
  "hs-control-ui-device-ok": { headers: page },
  "hs-cli-with-evil-origin": { headers: evil },
  "hs-nonlocal-host-header-pairing": { headers: elsewhere },
  "hs-timeout": {},
  "node-role-connect": {
    differs: { ...noHeartbeat, "skills.bins: /bins has 0 instead of 46": "no skills ship with rclaw" },
    may: { "health: */sessions/* instead of 0": "other cases left sessions here" },
  },
  "node-role-connect/op": {},
  main: {
    differs: {
      ...noHeartbeat,
      ...config,
      "system-presence: /*/text is *": "the gateway's version, which other members are masked for",
      ...places,
      'cron.add: /message is "schedule.at is in the past: *': "the text names the time",
      ...noneShipped,
      ...ownThings,
      "config.set: /details/issues/0/message is *": "issues are told in this gateway's words",
      'config.set: ok instead of INVALID_REQUEST "invalid config"':
        "a bug there: redaction of the text cut words apart, so what config.get answered could not be set",
    },
    may: {
      "health: */sessions/* instead of 0": "there the answer was a minute old",
      "system-presence: /1/deviceFamily is missing": "the last to connect here may be another client",
    },
  },
  "exec-approval/requester": {},
  "exec-approval/approver": {},
  "exec-approval/reader-no-scope": {},
  "pairing-remote/op": {
    differs: {
      "device.pair.list: /paired has * instead of *": "the device that signed no nonce was let in here",
    },
  },
  "pairing-remote/dev": { headers: elsewhere },
  "pairing-remote/dev-paired": { headers: elsewhere },
  "pairing-remote/scope-upgrade": { headers: elsewhere },
  "agent-run": {
    differs: {
      ...streams,
      "agent: /result/meta/systemPromptReport is missing": "the prompt is nobody's business on the wire",
    },
  },
  "chat-run": {
    differs: {
      ...streams,
      "chat.history: /messages/*/content/0/text is *": counting,
      "sessions.preview: /previews/0/items/*/text is *": counting,
      "sessions.list: /sessions/0/derivedTitle is *": counting,
    },
  },
  "chat-abort": {
    differs: {
      ...streams,
      "chat-2: * chat:aborted agent:lifecycle:end instead of * chat:aborted":
        "a run that began also ends in `agent` events; that client had gone before",
    },
  },
  "chat-tool": {
    differs: {
      ...streams,
      ...status,
      'agent:tool:*: /data/name is "read" instead of "session_status"':
        "there is no session_status; a file is read in its place",
      "agent:tool:start: /data/args/path is new": "the path of that file",
      "chat.history: /messages/5, assistant text stop, is missing":
        "there the text of a stopped run was stored twice",
      "chat.history: /messages/11/content/0/text is *":
        "what the gateway answers to a command is no part of the conversation",
      "chat.history: /messages/12, assistant text stop, is missing":
        "so what was injected stands in its place",
      "chat.history: /messages/9/*": "the result of the other tool",
      "chat.history: /messages/2/content/0/text is *": counting,
      'chat.history: /messages/6/content/0/text is "Hello" instead of "Hello "':
        "a stopped text is stored as it was shown",
      "chat.history: /messages/8/content/0/*": "the call of the other tool",
    },
  },
  "chat-tool/no-tool-cap": { differs: { ...streams, ...status } },
  "unauthorized-flood": {},
  "rate-limit-control-plane": {},
  "idle-ticks": { elsewhere: "kernel/gateway/broadcast.test.ts, where half a minute takes less" },
  "binary-frames": {
    before({ frame }, client) {
      if (typeof frame === "object" && frame.id === "b2")
        client.send({ type: "req", id: "b2", method: "health" }, { binary: true });
    },
    differs: {
      "b2: / is * instead of null":
        "the recorded request was last-heartbeat, which comes later; health is asked",
    },
  },
  oversize: {
    before({ dir, frame }, client) {
      if (dir === "->" && frame === undefined) client.send("x".repeat(oversized));
    },
  },
  subpath: { path: "/any/path" },
  "canvas-ws": { later: "there is no canvas yet" },
  shutdown: {
    before({ frame }) {
      if (typeof frame === "object" && frame.event === "shutdown") void stop();
    },
  },
};

let product: Product;
let stopping: Promise<unknown> | undefined;
const stop = (): Promise<unknown> => (stopping ??= product.stop());
const differences = new Map<string, readonly string[]>();
const isPlayed = (name: string): boolean => {
  const found = cases[name];
  return found !== undefined && !("later" in found) && !("elsewhere" in found);
};

// The cases follow each other on one gateway, as they did when they were recorded.
beforeAll(async () => {
  const mock = new LLMock({ port: 0 });
  const usage = { prompt_tokens: 10, completion_tokens: 12 };
  const call = { id: "call_1", name: "read", arguments: '{"path":"note.txt"}' };
  mock.on({ userMessage: "use tool", hasToolResult: false }, { toolCalls: [call], usage });
  mock.onMessage("slow please", { content: said, usage }, { chunkSize: 6, latency: 200 });
  mock.onMessage(/./, { content: said, usage }, { chunkSize: 6, latency: 20 });
  await mock.start();
  await using state = await tempState();
  const workspace = path.join(state.dir, "workspace");
  await mkdir(workspace);
  await writeFile(path.join(workspace, "note.txt"), "hi");
  const model = { id: "mock-1", name: "Mock 1", contextWindow: 128_000, reasoning: false, input: ["text"] };
  product = await startProduct({
    stateDir: state.dir,
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "" },
    config: {
      gateway: { mode: "local", port: 19_789, bind: "loopback", auth: { mode: "token", token } },
      models: {
        providers: {
          openai: { baseUrl: `${mock.url}/v1`, apiKey: "sk-test-key-000000000000", models: [model] },
        },
      },
      agents: { defaults: { workspace, userTimezone: "UTC", model: { primary: "openai/mock-1" } } },
    },
  });
  const conditions = (name: string): Conditions => {
    const { headers, differs: _differs, may: _may, ...rest } = (cases[name] ?? {}) as Case;
    return { ...rest, url: product.url, ...(headers && { headers: headers(product.port) }) };
  };
  const memory = createMemory();
  const play = async (group: string): Promise<void> => {
    const lines = recorded.get(group)?.filter((line) => isPlayed(line.case)) ?? [];
    for (const [name, found] of await replay(lines, conditions, memory)) differences.set(name, found);
  };
  try {
    const silent = play("hs-timeout");
    for (const group of recorded.keys())
      if (group !== "hs-timeout" && group !== "shutdown") await play(group);
    await silent;
    await play("shutdown");
  } finally {
    await stop();
    await mock.stop();
  }
}, 180_000);

test("the table names every case that was recorded, and every case it plays is there", () => {
  expect(Object.keys(cases)).toHaveLength(52);
  const names = new Set([...recorded.values()].flat().map((line) => line.case));
  expect([...names].filter((name) => !(name in cases))).toEqual([]);
  expect(Object.keys(cases).filter((name) => isPlayed(name) && !names.has(name))).toEqual([]);
});

test.each(Object.keys(cases).filter(isPlayed))("%s goes as recorded", (name) => {
  const { differs = {}, may = {} } = (cases[name] ?? {}) as Case;
  const found = differences.get(name) ?? ["was not played"];
  const patterns = Object.keys({ ...hello, ...differs, ...may }).map((pattern) => ({
    pattern,
    regex: toRegex(pattern),
  }));
  expect(found.filter((difference) => !patterns.some(({ regex }) => regex.test(difference)))).toEqual([]);
  // An allowance that nothing needs any more would hide the next mistake.
  const idle = Object.keys(differs).filter(
    (pattern) => !found.some((difference) => toRegex(pattern).test(difference)),
  );
  expect(idle).toEqual([]);
});

function toRegex(pattern: string): RegExp {
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s");
}
