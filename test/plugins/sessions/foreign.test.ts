import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { openStore, say, tempFolder, textsIn, transcriptOf } from "./support.ts";

const at = "2026-02-17T10:00:00.000Z";
const sessionId = "f6663fbc-2e13-408f-92c3-d3d96aa63a04";
// As OpenClaw writes it: no key, no checksums, lines of many kinds.
const lines = [
  { type: "session", version: 3, id: sessionId, timestamp: at, cwd: "/home/ann/.openclaw/workspace" },
  { type: "model_change", id: "aaaa0001", parentId: null, timestamp: at, provider: "mock", modelId: "m-1" },
  {
    type: "thinking_level_change",
    id: "aaaa0002",
    parentId: "aaaa0001",
    timestamp: at,
    thinkingLevel: "low",
  },
  {
    type: "custom",
    id: "aaaa0003",
    parentId: "aaaa0002",
    timestamp: at,
    customType: "model-snapshot",
    data: {},
  },
  {
    type: "message",
    id: "aaaa0004",
    parentId: "aaaa0003",
    timestamp: at,
    message: { role: "user", content: "from there" },
  },
  {
    type: "message",
    id: "aaaa0005",
    parentId: "aaaa0004",
    timestamp: at,
    message: { role: "assistant", content: "indeed" },
  },
  {
    type: "session_info",
    id: "aaaa0006",
    parentId: "aaaa0005",
    timestamp: "2026-02-17T10:00:01.000Z",
    name: "nice",
  },
].map((line) => JSON.stringify(line));

function put(dir: string, key: string, text: string): string {
  const file = transcriptOf(dir, key);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}

test.each([
  ["as it is", `${lines.join("\n")}\n`],
  ["with a carriage return in every line", `${lines.join("\r\n")}\r\n`],
  ["with a byte order mark", `\ufeff${lines.join("\n")}\n`],
  ["without its last newline", lines.join("\n")],
  ["with a torn tail", `${lines.join("\n")}\n{"type":"mess`],
  ["with a page of NULs behind it", `${lines.join("\n")}\n${"\0".repeat(4_096)}`],
])("an OpenClaw transcript %s is read, and continued with checksums", async (_name, text) => {
  using temp = tempFolder();
  const file = put(temp.dir, "agent:main:telegram:direct:7", text);
  const store = await openStore(temp.dir);
  expect(store.find("telegram:direct:7")).toEqual({ sessionId, updatedAt: Date.parse(at) + 1_000 });
  expect((await store.tail("telegram:direct:7", 20)).map(({ type }) => type)).toEqual([
    "model_change",
    "thinking_level_change",
    "custom",
    "message",
    "message",
    "session_info",
  ]);
  const [id] = await say(store, "telegram:direct:7", "from here");
  expect((await store.tail("telegram:direct:7", 1))[0]).toMatchObject({ id, parentId: "aaaa0006" });
  await store.close();
  expect(fs.readFileSync(file, "utf8").trimEnd().split("\n").at(-1)).toMatch(/,"crc":"[0-9a-f]{8}"\}$/);

  // It has learned whose it is: without the index it is listed as well.
  fs.rmSync(store.indexFile);
  const again = await openStore(temp.dir);
  expect(again.list().map(({ key, sessionId: its }) => [key, its])).toEqual([
    ["agent:main:telegram:direct:7", sessionId],
  ]);
  const texts = (await again.tail("telegram:direct:7", 20)).flatMap(({ message }) =>
    message === undefined ? [] : [(message as { content: string }).content],
  );
  expect(texts).toEqual(["from there", "indeed", "from here"]);
  await again.close();
});

test("an OpenClaw transcript of the main session is listed before anybody asks for it", async () => {
  using temp = tempFolder();
  put(temp.dir, "agent:main:main", `${lines.join("\n")}\n`);
  const store = await openStore(temp.dir);
  expect(store.list().map(({ key }) => key)).toEqual(["agent:main:main"]);
  await store.close();
});

test("our own transcript that an editor gave carriage returns is read and continued", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "main", "one", "two");
  await store.close();
  const file = transcriptOf(temp.dir, "agent:main:main");
  fs.writeFileSync(file, fs.readFileSync(file, "utf8").replaceAll("\n", "\r\n"));
  const again = await openStore(temp.dir);
  expect(await textsIn(again, "main")).toEqual(["one", "two"]);
  await say(again, "main", "three");
  expect(await textsIn(again, "main")).toEqual(["one", "two", "three"]);
  await again.close();
});

test("ours do not meet the ids of a transcript from elsewhere", async () => {
  using temp = tempFolder();
  // The ids that would come next after the last one.
  const next = [1, 2, 3].map((step) =>
    ((0xaaaa0006 + step * 0x9e3779b1) >>> 0).toString(16).padStart(8, "0"),
  );
  const message = { role: "user", content: "early" };
  const early = next.map((id) =>
    JSON.stringify({ type: "message", id, parentId: null, timestamp: at, message }),
  );
  put(temp.dir, "agent:main:main", `${[lines[0], ...early, ...lines.slice(1)].join("\n")}\n`);
  const store = await openStore(temp.dir);
  await say(store, "main", "a", "b", "c");
  const ids = (await store.tail("main", 50)).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  await store.close();
});
