import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { LLMock } from "@copilotkit/aimock";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Product, startProduct, tempState } from "../support/product.ts";
import { type Conditions, readCases, replay } from "../support/replay.ts";
import { type Client, openClient } from "../support/ws-client.ts";

const frames = (name: string): string => path.resolve(import.meta.dirname, `../fixtures/frames/${name}.jsonl`);
const recorded = readCases(...["connect", "methods", "runs", "connections"].map(frames));
/** The token the recorded clients had. */
const token = "proto-test-token";
const said = "Hello from the mock provider. This reply is streamed in several deltas. ";

/** A difference, with `*` for any text, and why it is meant to be there. */
type Differences = Readonly<Record<string, string>>;
interface Case extends Omit<Conditions, "url" | "headers"> {
  readonly headers?: (port: number) => Record<string, string>;
  readonly differs?: Differences;
}
/** What has nothing to be compared with in this release, or is compared by another test. */
type Elsewhere = { readonly later: string } | { readonly elsewhere: string };

const hello: Differences = {
  "connect: /server/host is new": "Android shows it as the gateway's name",
  "connect: /auth is new": "sent to everybody, as protocol 4 demands; clients of 3 ignore it",
  "connect: /canvasHostUrl is missing": "there is no canvas yet",
};
const noDeviceToken: Differences = {
  "connect: /auth/deviceToken is missing": "device tokens come with pairing",
  "connect: /auth/issuedAtMs is missing": "device tokens come with pairing",
};
const noHeartbeat: Differences = {
  "*/heartbeat*/enabled is false instead of true": "heartbeats come later",
  '*/heartbeat*/every is "disabled" instead of "30m"': "heartbeats come later",
  "*/heartbeat*/everyMs is null instead of 1800000": "heartbeats come later",
};
const page = (port: number): Record<string, string> => ({ origin: `http://127.0.0.1:${port}` });
const evil = (): Record<string, string> => ({ origin: "https://evil.example" });
const device = { differs: noDeviceToken };
const pairing = { later: "pairing and device tokens" };
const nodes = { later: "methods of nodes and exec approvals" };
const accepted = (why: string): Differences => ({ "connect: ok instead of INVALID_REQUEST *": why });
const injected = "gateway-injected messages name this product, not OpenClaw";

/** Every case that was recorded, in its order. What a case does not name must be as it was. */
const cases: Readonly<Record<string, Case | Elsewhere>> = {
  "hs-first-not-connect": {},
  "hs-not-a-request": {},
  "hs-not-json": {},
  "hs-bad-params": {
    differs: {
      "connect: /message is *": "any non-empty client id is accepted, and there is a mode more",
      "closed 1008 *": "the reason repeats the message",
    },
  },
  "hs-protocol-mismatch-low": {
    differs: { "connect: /details/expectedProtocol is 4 instead of 3": "4 would have been taken as well" },
  },
  "hs-protocol-mismatch-high": { differs: accepted("4 is spoken here") },
  "hs-protocol-range-ok": { differs: { "connect: /protocol is 4 instead of 3": "the highest both sides speak" } },
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
  "hs-sig-v2-ok": { sign: { version: "v2" }, ...device },
  "hs-sig-v3-ok-then-device-token": device,
  "hs-sig-v3-ok-then-device-token/reconnect": pairing,
  "hs-sig-v3-ok-then-device-token/token-fallback": pairing,
  "hs-sig-v3-ok-then-device-token/bad-device-token": {},
  "hs-sig-v3-ok-then-device-token/metadata-change": pairing,
  "hs-shared-token-no-device-scopes-kept": {},
  "hs-control-ui-bad-origin": { headers: evil },
  "hs-control-ui-no-device": { headers: page },
  "hs-control-ui-device-ok": { headers: page, ...device },
  "hs-cli-with-evil-origin": { headers: evil },
  "hs-nonlocal-host-header-pairing": pairing,
  "hs-timeout": {},
  "node-role-connect": {},
  "node-role-connect/op": nodes,
  main: {},
  "exec-approval/requester": nodes,
  "exec-approval/approver": nodes,
  "exec-approval/reader-no-scope": nodes,
  "pairing-remote/op": pairing,
  "pairing-remote/dev": pairing,
  "pairing-remote/dev-paired": pairing,
  "pairing-remote/scope-upgrade": pairing,
  "agent-run": {},
  "chat-run": {},
  "chat-abort": {},
  "chat-tool": {},
  "chat-tool/no-tool-cap": {},
  "unauthorized-flood": {},
  "rate-limit-control-plane": {},
  "idle-ticks": { elsewhere: "kernel/gateway/broadcast.test.ts, where half a minute takes less" },
  "binary-frames": {},
  oversize: {},
  subpath: { path: "/any/path" },
  "canvas-ws": { later: "there is no canvas yet" },
  shutdown: {},
};

const differences = new Map<string, readonly string[]>();

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
  const product = await startProduct({
    stateDir: state.dir,
    env: { RUSTY_CLAW_GATEWAY_TOKEN: "" },
    config: {
      gateway: { mode: "local", port: 19_789, bind: "loopback", auth: { mode: "token", token } },
      models: { providers: { openai: { baseUrl: `${mock.url}/v1`, apiKey: "sk-test-key-000000000000", models: [model] } } },
      agents: { defaults: { workspace, userTimezone: "UTC", model: { primary: "openai/mock-1" } } },
    },
  });
  const groups = new Map<string,string[]>(); for (const name of recorded.keys()) { const g = name.split("/")[0] ?? name; groups.set(g, [...(groups.get(g) ?? []), name]); }
  for (const [group, names] of groups) {
    const lines = [...names].flatMap((name) => ("later" in (cases[name] ?? {}) || "elsewhere" in (cases[name]??{}) ? [] : (recorded.get(name) ?? [])));
    if (group==="hs-timeout"||group==="shutdown" || group==="oversize" || group==="binary-frames") continue;
    for (const [n,d] of await replay(lines, (name) => { const c = cases[name] as Case; return { ...c, url: product.url, headers: c.headers?.(product.port) ?? {} }})) differences.set(n,d);
  }
  await product.stop();
  await mock.stop();
}, 60_000);
test("all", () => {
  for (const [n,d] of differences) { const c = cases[n] as Case; const all = { ...hello, ...c.differs};
   const left = d.filter((x) => !Object.keys(all).some((p) => new RegExp("^"+p.split("*").map((t) => t.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")+"$","s").test(x)));
   if (left.length) console.log(n + "\n  " + left.join("\n  ")); }
});
