import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import type { SessionChange } from "@rclaw/plugin-sdk/services/sessions";
import { never, openStore, say, tempFolder, textsIn, transcriptOf, userSays } from "./support.ts";

const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `line ${from + index}`);
const linesOf = (file: string): Record<string, unknown>[] =>
  fs
    .readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test("a compacted session keeps its last entries, its id and its settings; the whole of it is archived", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await store.patch("main", { label: "Mine", thinkingLevel: "low", totalTokens: 9 });
  await say(store, "main", ...numbered(50));
  const before = store.find("main");
  const result = await store.compact("main", 10, never);
  expect(result).toEqual({
    compacted: true,
    kept: 10,
    archived: expect.stringMatching(/\.compacted\..*\.jsonl$/),
  });
  expect(await textsIn(store, "main")).toEqual(numbered(10, 40));
  const { totalTokens: _gone, updatedAt: _at, ...kept } = before ?? {};
  expect(store.find("main")).toEqual({ ...kept, updatedAt: expect.any(Number), compactionCount: 1 });
  const archived = linesOf(result.archived ?? "");
  expect(archived.filter(({ type }) => type === "message")).toHaveLength(50);
  await say(store, "main", "after");
  await store.close();

  const again = await openStore(temp.dir);
  expect(await textsIn(again, "main")).toEqual([...numbered(10, 40), "after"]);
  expect(again.find("main")).toMatchObject({
    sessionId: before?.sessionId,
    label: "Mine",
    compactionCount: 1,
  });
  await again.close();
});

test("the index can be lost after a compaction: the transcript still says everything", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await store.patch("agent:main:telegram:direct:7", { label: "Ada", lastChannel: "telegram", lastTo: "7" });
  await say(store, "agent:main:telegram:direct:7", ...numbered(30));
  await store.compact("agent:main:telegram:direct:7", 5, never);
  await store.patch("agent:main:telegram:direct:7", { label: "Ada L." });
  const entry = store.find("agent:main:telegram:direct:7");
  await store.close();
  fs.rmSync(path.join(temp.dir, "sessions.json"));

  const again = await openStore(temp.dir);
  expect(again.list()).toEqual([{ ...entry, key: "agent:main:telegram:direct:7" }]);
  expect(await textsIn(again, "agent:main:telegram:direct:7")).toEqual(numbered(5, 25));
  await again.close();
});

test("what the journal still held when the process was lost is not brought back into the short transcript", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "main", ...numbered(30));
  const journals = (): string[] => fs.readdirSync(temp.dir).filter((name) => name.startsWith("journal-"));
  await store.compact("main", 5, never);
  await say(store, "main", "after");
  // As a crash leaves it: the folder as it is now, with whatever the journal holds.
  const copy = fs.mkdtempSync(`${temp.dir}-copy`);
  fs.cpSync(temp.dir, copy, { recursive: true });
  expect(journals().length).toBeGreaterThan(0);
  await store.close();
  const again = await openStore(copy);
  expect(await textsIn(again, "main")).toEqual([...numbered(5, 25), "after"]);
  await again.close();
  fs.rmSync(copy, { recursive: true });
});

test("a compaction waits for the run that writes, and changes of the entry go on meanwhile", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "main", ...numbered(20));
  const run = await store.open("main", never);
  const compacting = store.compact("main", 4, never);
  await run.append(userSays("of the run"));
  await run[Symbol.asyncDispose]();
  const patches = Promise.all([1, 2, 3].map((n) => store.patch("main", { label: `n${n}` })));
  expect(await compacting).toMatchObject({ compacted: true, kept: 4 });
  await patches;
  expect(store.find("main")?.label).toBe("n3");
  expect(await textsIn(store, "main")).toEqual([...numbered(3, 17), "of the run"]);
  await store.close();
  const again = await openStore(temp.dir);
  expect(again.find("main")?.label).toBe("n3");
  await again.close();
});

test("there is nothing to do for a session that is short, empty or unknown", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  expect(await store.compact("main", 400, never)).toEqual({ compacted: false, reason: "no sessionId" });
  expect(store.list()).toEqual([]);
  await store.patch("main", { label: "x" });
  expect(await store.compact("main", 400, never)).toEqual({ compacted: false, reason: "no transcript" });
  await say(store, "main", ...numbered(3));
  expect(await store.compact("main", 3, never)).toEqual({ compacted: false, kept: 3 });
  expect(fs.readdirSync(path.join(temp.dir, "transcripts"))).toHaveLength(1);
  await store.close();
});

test("a transcript that OpenClaw wrote stays one after it was cut", async () => {
  using temp = tempFolder();
  const file = transcriptOf(temp.dir, "agent:main:main");
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const entries = numbered(9).map((text, index) => ({
    type: "message",
    id: `aaaa000${index}`,
    parentId: index === 0 ? null : `aaaa000${index - 1}`,
    timestamp: "2026-11-22T10:57:30.000Z",
    message: { role: "user", content: text },
  }));
  const header = { type: "session", version: 3, id: "s-1", timestamp: "2026-11-22T10:57:00.000Z", cwd: "/" };
  fs.writeFileSync(file, [header, ...entries].map((line) => `${JSON.stringify(line)}\n`).join(""));
  const store = await openStore(temp.dir);
  expect(await store.compact("main", 4, never)).toMatchObject({ compacted: true, kept: 4 });
  await say(store, "main", "ours");
  await store.close();
  const again = await openStore(temp.dir);
  expect(again.find("main")?.sessionId).toBe("s-1");
  expect(await textsIn(again, "main")).toEqual([...numbered(4, 5), "ours"]);
  await again.close();
});

test("reading goes on while a session is cut, and sees the one or the other", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const long = "x".repeat(2_000);
  await say(store, "main", ...Array.from({ length: 2_000 }, () => long));
  const compacting = store.compact("main", 1_000, never).then(() => true);
  let reads = 0;
  for (let isDone = false; !isDone; reads++) {
    const texts = await textsIn(store, "main");
    expect([1_000, 2_000]).toContain(texts.length);
    // What is not in the file yet is read without waiting for anything.
    await new Promise((resolve) => setImmediate(resolve));
    isDone = await Promise.race([compacting, Promise.resolve(false)]);
  }
  expect(reads).toBeGreaterThan(0);
  expect(store.state.quarantined).toBe(0);
  await store.close();
});

test("whoever asked to be told hears of every change, once it is durable", async () => {
  using temp = tempFolder();
  const changes: SessionChange[] = [];
  const store = await openStore(temp.dir, { onChange: (change) => changes.push(change) });
  await say(store, "main", "one", "two");
  await store.patch("main", { label: "x" });
  await store.compact("main", 1, never);
  await store.reset("main", "new", never);
  await store.delete("main", {}, never);
  expect(changes.map(({ key, reason, entries }) => [key, reason, entries.length])).toEqual([
    ["agent:main:main", "message", 2],
    ["agent:main:main", "patch", 0],
    ["agent:main:main", "compact", 0],
    ["agent:main:main", "reset", 0],
    ["agent:main:main", "delete", 0],
  ]);
  await store.close();
});
