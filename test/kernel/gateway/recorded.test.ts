import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  type Client,
  createDevice,
  type Frame,
  openClient,
  signDevice,
  type SignedParams,
} from "../../support/ws-client.ts";
import { startGateway, type TestGateway, token } from "./gateway.ts";

interface Line {
  readonly case: string;
  readonly dir?: "open" | "->" | "<-" | "close";
  readonly frame?: Frame & { readonly method?: string; readonly params?: Record<string, unknown> };
  readonly code?: number;
  readonly reason?: string;
}

/** How a recorded case is played again; headers were not recorded, so they are named here. */
interface Replay {
  readonly headers?: (port: number) => Record<string, string>;
  readonly sign?: { readonly version: "v1" | "v2" | "v3"; readonly ageMs?: number };
  readonly tamper?: Readonly<Record<string, unknown>>;
  /** What we answer differently, and why. */
  readonly differs?: {
    readonly why: string;
    readonly error?: Frame["error"] | null;
    readonly code?: number;
    readonly reason?: string;
  };
}

const page = (port: number): Record<string, string> => ({ origin: `http://127.0.0.1:${port}` });
const evil = (): Record<string, string> => ({ origin: "https://evil.example" });
const later = { later: "pairing and device tokens" };
const methods = { later: "answers of methods, not of the gateway" };

/** Every case of the recorded transcript, in its order. */
const cases: Record<string, Replay | { readonly later: string } | { readonly elsewhere: string }> = {
  "hs-first-not-connect": {},
  "hs-not-a-request": {},
  "hs-not-json": {},
  "hs-bad-params": {
    differs: {
      why: "any non-empty client id is accepted",
      error: {
        code: "INVALID_REQUEST",
        message:
          "invalid connect params: at root: unexpected property 'bogus'; at /client/mode: must be equal to constant; at /client/mode: must match a schema in anyOf",
      },
      reason:
        "invalid connect params: at root: unexpected property 'bogus'; at /client/mode: must be equal to constant; at /client/mod",
    },
  },
  "hs-protocol-mismatch-low": {
    differs: {
      why: "we would have taken 4",
      error: { code: "INVALID_REQUEST", message: "protocol mismatch", details: { expectedProtocol: 4 } },
    },
  },
  "hs-protocol-mismatch-high": { differs: { why: "we speak 4", error: null } },
  "hs-protocol-range-ok": {},
  "hs-invalid-role": {},
  "hs-wrong-token": {},
  "hs-no-auth-no-device": {},
  "hs-wrong-token-with-device": { sign: { version: "v3" } },
  "hs-bad-device-signature": {
    sign: { version: "v3" },
    tamper: { signature: Buffer.alloc(64, 7).toString("base64url") },
  },
  "hs-stale-signature": { sign: { version: "v3", ageMs: 130_000 } },
  "hs-nonce-mismatch": { sign: { version: "v3" }, tamper: { nonce: "00000000-0000-0000-0000-000000000000" } },
  "hs-device-id-mismatch": { sign: { version: "v3" }, tamper: { id: "f".repeat(64) } },
  "hs-sig-v1-no-nonce": {
    sign: { version: "v1" },
    differs: { why: "releases before 2026.2.26 sign no nonce; accepted on this machine only", error: null },
  },
  "hs-sig-v2-ok": { sign: { version: "v2" } },
  "hs-sig-v3-ok-then-device-token": { sign: { version: "v3" } },
  "hs-sig-v3-ok-then-device-token/reconnect": later,
  "hs-sig-v3-ok-then-device-token/token-fallback": later,
  "hs-sig-v3-ok-then-device-token/bad-device-token": { sign: { version: "v3" } },
  "hs-sig-v3-ok-then-device-token/metadata-change": later,
  "hs-shared-token-no-device-scopes-kept": {},
  "hs-control-ui-bad-origin": { headers: evil },
  "hs-control-ui-no-device": { headers: page },
  "hs-control-ui-device-ok": { headers: page, sign: { version: "v3" } },
  "hs-cli-with-evil-origin": { headers: evil },
  "hs-nonlocal-host-header-pairing": later,
  "hs-timeout": {},
  "node-role-connect": { elsewhere: "handshake.test.ts: a node needs a device" },
  "node-role-connect/op": methods,
  main: { elsewhere: "connection.test.ts: frames; health.test.ts: health, status, system-presence" },
  "exec-approval/requester": methods,
  "exec-approval/approver": methods,
  "exec-approval/reader-no-scope": { elsewhere: "broadcast.test.ts: guarded events" },
  "pairing-remote/op": later,
  "pairing-remote/dev": later,
  "pairing-remote/dev-paired": later,
  "pairing-remote/scope-upgrade": later,
  "agent-run": methods,
  "chat-run": methods,
  "chat-abort": methods,
  "chat-tool": methods,
  "chat-tool/no-tool-cap": methods,
  "unauthorized-flood": { sign: { version: "v3" } },
  "rate-limit-control-plane": methods,
  "idle-ticks": { elsewhere: "broadcast.test.ts: ticks" },
  "binary-frames": { elsewhere: "connection.test.ts: binary frames" },
  oversize: { elsewhere: "connection.test.ts: limits" },
  subpath: { elsewhere: "server.test.ts: any path" },
  "canvas-ws": { later: "canvas is not a part of rclaw yet" },
  shutdown: { elsewhere: "server.test.ts: close" },
};

const lines = readFileSync(new URL("../../fixtures/frames/recorded.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Line);
const recorded = grouped(lines);
const replayed = Object.entries(cases).filter(
  (entry): entry is [string, Replay] => !("later" in entry[1]) && !("elsewhere" in entry[1]),
);

test("the table names every case that was recorded", () => {
  expect([...recorded.keys()].filter((name) => !(name in cases))).toEqual([]);
  expect(replayed.filter(([name]) => !recorded.has(name))).toEqual([]);
  expect(Object.keys(cases)).toHaveLength(52);
});

test.each(replayed)("%s goes as recorded", async (name, replay) => {
  const isTimeout = name === "hs-timeout";
  await using gateway = await startGateway(isTimeout ? { limits: { handshakeMs: 150 } } : {});
  const played = await play(recorded.get(name) ?? [], replay, gateway);
  const wanted = recorded.get(name) ?? [];

  const answers = wanted
    .filter(({ dir, frame }) => dir === "<-" && frame?.type === "res")
    .map(({ frame }) => frame);
  expect(played.answers).toHaveLength(answers.length);
  for (const [i, answer] of answers.entries()) compare(played.answers[i], answer, i === 0 ? replay : {});

  const close = wanted.find(({ dir }) => dir === "close");
  const { differs } = replay;
  // A recorded 1005 is the client leaving by itself after hello-ok.
  if (close?.code === 1005 || differs?.error === null) return;
  expect(played.closed).toEqual({
    code: differs?.code ?? close?.code,
    reason: differs?.reason ?? close?.reason,
  });
});

async function play(
  wanted: readonly Line[],
  replay: Replay,
  gateway: TestGateway,
): Promise<{ answers: Frame[]; closed: unknown }> {
  const client = await openClient(
    gateway.url,
    replay.headers ? { headers: replay.headers(gateway.port) } : {},
  );
  const nonce = await client.nonce();
  const answers: Frame[] = [];
  for (const { dir, frame } of wanted) {
    if (dir !== "->" || frame === undefined) continue;
    const live = frame.method === "connect" && replay.sign ? signed(frame, replay, nonce) : frame;
    client.send(live);
    const answer = await nextAnswer(client, answers.length);
    if (!answer) break;
    answers.push(answer);
  }
  const last = answers.at(-1);
  if (last?.ok === true && wanted.find(({ dir }) => dir === "close")?.code === 1005) await client.close();
  if (replay.differs?.error === null) await client.close();
  return { answers, closed: await client.closed };
}

/** The next `res`, or undefined when the gateway closes instead. */
async function nextAnswer(client: Client, seen: number): Promise<Frame | undefined> {
  const answers = (): Frame[] => client.frames.filter((frame) => frame.type === "res");
  await client.find(() => answers().length > seen).catch(() => undefined);
  return answers()[seen];
}

function signed(frame: NonNullable<Line["frame"]>, { sign, tamper }: Replay, nonce: string): unknown {
  const params = frame.params ?? {};
  const { version = "v3", ageMs = 0 } = sign ?? {};
  const device = signDevice(createDevice(), params as unknown as SignedParams, {
    version,
    nonce,
    signedAt: Date.now() - ageMs,
  });
  return { ...frame, params: { ...params, device: { ...device, ...tamper } } };
}

function compare(actual: Frame | undefined, wanted: Frame | undefined, { differs }: Replay): void {
  const error = differs?.error === undefined ? wanted?.error : (differs.error ?? undefined);
  expect(actual?.id).toBe(wanted?.id);
  expect(actual?.error).toEqual(error);
  expect(actual?.ok).toBe(error === undefined);
  if (error !== undefined || wanted?.payload?.type !== "hello-ok") return;
  const { payload } = wanted;
  expect(actual?.payload).toMatchObject({
    type: "hello-ok",
    protocol: Math.max(payload.protocol, actual?.payload.protocol === 4 ? 4 : 3),
    policy: payload.policy,
    auth: { ...(payload.auth && { role: payload.auth.role, scopes: payload.auth.scopes }) },
  });
  // Everything the recorded hello-ok had is there, but for the canvas.
  expect(Object.keys(actual?.payload)).toEqual(
    expect.arrayContaining(Object.keys(payload).filter((key) => key !== "canvasHostUrl")),
  );
  expect(Object.keys(actual?.payload.snapshot)).toEqual(
    expect.arrayContaining(Object.keys(payload.snapshot)),
  );
}

function grouped(all: readonly Line[]): Map<string, Line[]> {
  const map = new Map<string, Line[]>();
  for (const line of all) map.set(line.case, [...(map.get(line.case) ?? []), line]);
  return map;
}

test("the recorded token is the one these gateways have", () => {
  expect(
    lines.some(({ frame }) => (frame?.params?.["auth"] as { token?: string } | undefined)?.token === token),
  ).toBe(true);
});
