import fc from "fast-check";

/** One message to send; `id` when it is a well-formed request that must be answered. */
export interface FuzzFrame {
  readonly data: string | Buffer;
  readonly binary: boolean;
  /** Sent in so many pieces. */
  readonly fragments: number;
  readonly id?: string;
  readonly method?: string;
}

/** Keys as people, platforms and attackers may spell them. */
export const nastyKeys: readonly string[] = [
  ...[
    "main",
    " main ",
    "MAIN",
    "agent:main:main",
    "AgEnT:mAiN:MaIn",
    "global",
    "unknown",
    "agent:",
    "agent::x",
    "agent:main:",
    "agent:nobody:x",
  ],
  ...[
    "../../etc/passwd",
    "agent:main:../../x",
    "agent:main:..",
    "..\\..\\x",
    "/etc/passwd",
    "%2e%2e%2f",
    "agent:main:a/b",
    "C:\\con",
    "nul",
  ],
  ...[
    "__proto__",
    "constructor",
    "prototype",
    "toString",
    "hasOwnProperty",
    "agent:main:__proto__",
    "agent:__proto__:x",
  ],
  ...[
    "\u0000",
    "a\u0000b",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "\u001b[2J",
    "\u202egnp",
    "\u200b",
    "\ud800",
    "ＨＯＯＫ:x",
    "ｍａｉｎ",
    "İ",
    "ß",
    "é",
    "e\u0301",
    "🦞",
  ],
  ...[
    "agent:main:telegram:group:-100123",
    "agent:main:telegram:direct:42:thread:7",
    "agent:main:subagent:x",
    "hook:x",
    "cron:1:run:2",
  ],
  ...["x".repeat(512), "x".repeat(513), "x".repeat(10_000), "ﷺ".repeat(300), "agent:".repeat(100)],
];

/** Params that each method takes; the fuzz starts from them. A method that is not named starts from nothing. */
const samples: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "plugins.info": { id: "webchat" },
  "plugins.plan": { id: "telegram" },
  // Ids of real plugins stay out: the fuzz is to test them, not to switch them off.
  "plugins.add": { id: "no-such", account: "a", values: { botToken: "1:x" } },
  "plugins.enable": { id: "no-such" },
  "plugins.disable": { id: "no-such" },
  "plugins.reload": { id: "no-such" },
  "plugins.remove": { id: "no-such" },
  "plugins.logout": { channel: "no-such" },
  "channels.status": { probe: false, timeoutMs: 1_000 },
  "channels.logout": { channel: "telegram", accountId: "default" },
  "channels.start": { channel: "telegram" },
  "channels.stop": { channel: "telegram" },
  send: { to: "42", message: "hi", channel: "telegram", sessionKey: "agent:main:fuzz", idempotencyKey: "s" },
  poll: { to: "42", question: "q", options: ["a", "b"], idempotencyKey: "p" },
  "message.action": { channel: "telegram", action: "react", params: {}, idempotencyKey: "m" },
  "pairing.list": { channel: "telegram" },
  "pairing.approve": { channel: "telegram", code: "ABCDEFGH" },
  "pairing.revoke": { channel: "telegram", id: "42" },
  "config.set": { raw: "{}", baseHash: "0".repeat(64) },
  "config.patch": { raw: "{}", baseHash: "0".repeat(64), note: "x" },
  health: { probe: false },
  "sessions.list": {
    limit: 5,
    includeDerivedTitles: true,
    includeLastMessage: true,
    search: "x",
    activeMinutes: 5,
    agentId: "main",
  },
  "sessions.preview": { keys: ["main"], limit: 3, maxChars: 40 },
  "sessions.patch": {
    key: "agent:main:fuzz",
    label: "fuzz",
    thinkingLevel: "low",
    verboseLevel: "on",
    model: "offline/guide",
  },
  "sessions.reset": { key: "agent:main:fuzz", reason: "reset" },
  "sessions.delete": { key: "agent:main:fuzz", deleteTranscript: true },
  agent: { message: "hi", sessionKey: "agent:main:fuzz", idempotencyKey: "a", thinking: "off", timeout: 5 },
  "agent.wait": { runId: "nope", timeoutMs: 1 },
  wake: { mode: "next-heartbeat", text: "x", sessionKey: "agent:main:fuzz", agentId: "main" },
  "system-event": { text: "Node: fuzz", instanceId: "fuzz", lastInputSeconds: 1, roles: ["operator"] },
  "set-heartbeats": { enabled: false },
  // Off, so that the fuzz adds no work of its own.
  "cron.add": {
    name: "fuzz",
    enabled: false,
    schedule: { kind: "cron", expr: "0 9 * * *", tz: "UTC", staggerMs: 1 },
    sessionTarget: "isolated",
    wakeMode: "now",
    payload: { kind: "agentTurn", message: "x", timeoutSeconds: 5 },
    delivery: { mode: "none", to: "x" },
  },
  "cron.update": { id: "nope", patch: { enabled: false, schedule: { kind: "every", everyMs: 60_000 } } },
  "cron.remove": { id: "nope" },
  "cron.run": { id: "nope", mode: "due" },
  "cron.runs": { scope: "all", limit: 5, statuses: ["ok"], query: "x" },
  "cron.list": { includeDisabled: true, limit: 5, offset: 0, query: "x", sortBy: "name" },
  "chat.send": {
    sessionKey: "agent:main:fuzz",
    message: "hi",
    idempotencyKey: "c",
    timeoutMs: 5_000,
    attachments: [{ mimeType: "image/png", content: "AAAA" }],
  },
  "chat.history": { sessionKey: "agent:main:fuzz", limit: 3 },
  "chat.abort": { sessionKey: "agent:main:fuzz", runId: "c" },
  connect: {
    minProtocol: 3,
    maxProtocol: 4,
    client: { id: "cli", version: "1", platform: "linux", mode: "cli" },
    caps: [],
    scopes: ["operator.read"],
  },
};

const nastyText = fc.oneof(
  fc.constantFrom(...nastyKeys),
  fc.constantFrom(
    "",
    "a".repeat(70_000),
    "\\u0000",
    "{}",
    "[]",
    "null",
    "secret:x",
    "__OPENCLAW_REDACTED__",
    "${HOME}",
    "/new",
    "/reset",
    "stop",
    "NO_REPLY",
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
);
const nastyNumber = fc.constantFrom(0, -0, -1, 1, 1.5, 1e308, -1e308, 2 ** 31, 2 ** 53, 9e15, 0.1);
/** Parsed, so that `__proto__` is a key like any other and is written out again. */
const prototypes = fc.constantFrom(
  ...[
    '{"__proto__":{"isAdmin":true}}',
    '{"constructor":{"prototype":{"isAdmin":true}}}',
    '{"a":{"__proto__":[1]}}',
    '{"toString":1,"valueOf":null}',
    '{"hasOwnProperty":1}',
  ].map((text) => JSON.parse(text) as unknown),
);
const deep = fc.constantFrom(10, 255, 257, 3_000).map((depth) => {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { a: value };
  return value;
});
const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: nastyText },
  { weight: 3, arbitrary: nastyNumber },
  { weight: 2, arbitrary: fc.constantFrom(null, true, false, [], {}, [[]], [null], { length: -1 }) },
  { weight: 1, arbitrary: prototypes },
  { weight: 1, arbitrary: deep },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);

const change = fc.record({
  how: fc.constantFrom("replace", "replace", "replace", "name", "name", "remove", "add", "nest", "whole"),
  at: fc.nat(),
  name: fc.oneof(
    fc.constantFrom("extra", "key", "sessionKey", "id", "__proto__", "constructor", "toString"),
    fc.string({ maxLength: 12 }),
  ),
  value: nastyValue,
});

/** A valid request's params with up to three things wrong with them. */
function changed(
  base: Readonly<Record<string, unknown>>,
  changes: readonly { how: string; at: number; name: string; value: unknown }[],
): unknown {
  let params: Record<string, unknown> = { ...base };
  for (const { how, at, name, value } of changes) {
    if (how === "whole") return value;
    const keys = Object.keys(params);
    const key = keys[at % Math.max(1, keys.length)] ?? name;
    const spelled = nastyKeys[at % nastyKeys.length];
    if (how === "name")
      for (const member of ["key", "sessionKey", "id", "channel", "runId"])
        if (member in params) params[member] = spelled;
    if (how === "name") continue;
    if (how === "remove") delete params[key];
    else if (how === "nest") params = { [key]: params };
    else
      Object.defineProperty(params, how === "add" ? name : key, {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
  }
  // A wait of days would be answered in days, and one without a time in half a minute.
  const { timeoutMs = 1, runId } = params;
  return typeof timeoutMs === "number" && runId !== undefined
    ? { ...params, timeoutMs: timeoutMs % 20 }
    : params;
}

const plain = { binary: false, fragments: 1 };

function requests(methods: readonly string[]): fc.Arbitrary<FuzzFrame> {
  return fc
    .record({
      method: fc.constantFrom(...methods),
      changes: fc.array(change, { maxLength: 3 }),
      key: fc.uuid(),
      binary: fc.boolean(),
      fragments: fc.constantFrom(1, 1, 1, 2, 5),
    })
    .map(({ method, changes, key, binary, fragments }) => {
      const params = changed(samples[method] ?? {}, changes);
      const isFresh =
        typeof params === "object" &&
        params !== null &&
        "idempotencyKey" in params &&
        params.idempotencyKey === samples[method]?.["idempotencyKey"];
      const live = isFresh ? { ...params, idempotencyKey: key } : params;
      const data = JSON.stringify({ type: "req", id: key, method, params: live });
      return { data: binary ? Buffer.from(data) : data, binary, fragments, id: key, method };
    });
}

/** JSON that is no request, or hardly one. */
const shapes: fc.Arbitrary<FuzzFrame> = fc.oneof(
  nastyValue.map((value) => ({ ...plain, data: JSON.stringify(value) ?? "null" })),
  fc
    .record(
      { type: nastyValue, id: nastyValue, method: nastyValue, params: nastyValue },
      { requiredKeys: [] },
    )
    .map((frame) => ({ ...plain, data: JSON.stringify(frame) })),
  fc
    .record({ id: nastyText, method: nastyText })
    .map((frame) => ({ ...plain, data: JSON.stringify({ type: "req", ...frame }) })),
  fc.constantFrom("9", "1000000").map((length) => ({
    ...plain,
    data: JSON.stringify({ type: "req", id: "i".repeat(Number(length)), method: "health" }),
  })),
  fc.constant({ ...plain, data: '{"type":"req","id":"a","id":"b","method":"health","method":"status"}' }),
  nastyValue.map((payload) => ({
    ...plain,
    data: JSON.stringify({ type: "event", event: "agent", payload }),
  })),
  nastyValue.map((payload) => ({
    ...plain,
    data: JSON.stringify({ type: "res", id: "x", ok: true, payload }),
  })),
);

/** Bytes: of nothing in particular, and of a request that met with an accident. */
function bytes(methods: readonly string[]): fc.Arbitrary<FuzzFrame> {
  const cut = fc
    .record({
      frame: requests(methods),
      edits: fc.array(
        fc.record({ at: fc.nat(), byte: fc.nat(255), how: fc.constantFrom("set", "drop", "insert") }),
        { minLength: 1, maxLength: 4 },
      ),
    })
    .map(({ frame, edits }) => {
      const data = [...Buffer.from(frame.data)].slice(0, 4_000);
      for (const { at, byte, how } of edits) {
        const place = at % data.length;
        if (how === "set") data[place] = byte;
        else if (how === "drop") data.splice(place, 1);
        else data.splice(place, 0, byte);
      }
      return { data: Buffer.from(data), binary: frame.binary, fragments: frame.fragments };
    });
  const noise = fc.record({
    data: fc.uint8Array({ maxLength: 200 }).map((data) => Buffer.from(data)),
    binary: fc.boolean(),
    fragments: fc.constantFrom(1, 3),
  });
  const text = nastyText.map((data) => ({ ...plain, data }));
  return fc.oneof(
    { weight: 4, arbitrary: cut },
    { weight: 1, arbitrary: noise },
    { weight: 1, arbitrary: text },
  );
}

/** The same frames for the same seed. */
export function fuzzFrames(methods: readonly string[], count: number, seed: number): FuzzFrame[] {
  const any = fc.oneof(
    { weight: 12, arbitrary: requests(methods) },
    { weight: 3, arbitrary: shapes },
    { weight: 2, arbitrary: bytes(methods) },
  );
  return fc.sample(any, { numRuns: count, seed });
}
