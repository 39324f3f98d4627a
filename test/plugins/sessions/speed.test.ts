import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { never, openStore, say, tempFolder, textsIn, transcriptOf, userSays } from "./support.ts";
import { sessionMethods } from "../../../plugins/services/sessions/methods.ts";

test(
  "more than 3,000 messages a second are acknowledged durably over 100 sessions",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const store = await openStore(temp.dir);
    const sessions = await Promise.all(Array.from({ length: 100 }, (_, n) => store.open(`s${n}`, never)));
    const each = 100;
    const text = "a message of a usual length, as people write them to their assistant every day";
    const began = performance.now();
    await Promise.all(
      sessions.map(async (session) => {
        for (let n = 0; n < each; n++) await session.append(userSays(text));
      }),
    );
    const rate = (sessions.length * each * 1_000) / (performance.now() - began);
    console.log(`${Math.round(rate)} durable messages a second over 100 sessions`);
    expect(rate).toBeGreaterThan(3_000);
    await Promise.all(sessions.map((session) => session[Symbol.asyncDispose]()));
    await store.close();
  },
);

test("the last 200 of 100,000 entries are read in a few milliseconds", { timeout: 60_000 }, async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const session = await store.open("main", never);
  for (let round = 0; round < 20; round++)
    await session.append(
      ...Array.from({ length: 5_000 }, (_, n) => userSays(`entry ${round * 5_000 + n} ${"x".repeat(150)}`)),
    );
  await store.flush();
  const times: number[] = [];
  for (let n = 0; n < 9; n++) {
    const began = performance.now();
    const found = await store.tail("main", 200);
    times.push(performance.now() - began);
    expect(found).toHaveLength(200);
    expect(found.at(-1)).toMatchObject({
      message: { content: expect.stringMatching(/^entry 99999 /) as string },
    });
  }
  const median = times.toSorted((a, b) => a - b)[4] ?? 0;
  console.log(`tail of 200 from 100,000 entries: median ${median.toFixed(1)} ms`);
  expect(median).toBeLessThan(50);
  await session[Symbol.asyncDispose]();
  await store.close();
});

test(
  "REL-15 a transcript of 100 MB with a line of 25 MB opens, is read from its end and is appended to in bounded memory",
  { timeout: 120_000 },
  async () => {
    using temp = tempFolder();
    const store = await openStore(temp.dir);
    await say(store, "main", "first");
    await store.close();
    const file = transcriptOf(temp.dir, "agent:main:main");
    const lines = fs.readFileSync(file, "utf8").trimEnd().split("\n");
    const fd = fs.openSync(file, "a");
    const block = Buffer.from(`${lines.at(-1)}\n`.repeat(5_000));
    while (fs.fstatSync(fd).size < 75_000_000) fs.writeSync(fd, block);
    const piece = Buffer.alloc(1_000_000, "y");
    for (let n = 0; n < 25; n++) fs.writeSync(fd, piece);
    fs.writeSync(fd, `\n${lines.at(-1)}\n`);
    fs.closeSync(fd);
    const warm = await openStore(path.join(temp.dir, "warm"));
    await say(warm, "main", "warm up");
    await warm.close();

    const before = process.memoryUsage().rss;
    let peak = before;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 2);
    const began = performance.now();
    const again = await openStore(temp.dir);
    const opened = performance.now() - began;
    expect(await again.tail("main", 200)).toHaveLength(200);
    await say(again, "main", "last");
    expect((await again.tail("main", 1))[0]).toMatchObject({ message: { content: "last" } });
    clearInterval(watch);
    console.log(
      `100 MB transcript: read in ${opened.toFixed(0)} ms, ${((peak - before) / 1e6).toFixed(0)} MB more at most`,
    );
    expect(again.state.quarantined).toBe(1);
    expect(peak - before).toBeLessThan(60_000_000);
    await again.close();
  },
);

test(
  "a list of 1,000 sessions with titles and last messages is quick once they are known",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const store = await openStore(temp.dir);
    await Promise.all(
      Array.from({ length: 1_000 }, (_, n) => say(store, `s${n}`, `question ${n}`, `and another ${n}`)),
    );
    const list = sessionMethods({ store, defaults: () => ({}) }).find(({ name }) => name === "sessions.list");
    const ask = async (): Promise<number> => {
      const began = performance.now();
      const caller = {
        kind: "client",
        principal: "c",
        role: "operator",
        scopes: [],
        caps: [],
        isOwner: true,
      } as const;
      const answer = await list?.handle({
        params: { includeDerivedTitles: true, includeLastMessage: true },
        caller,
        signal: never,
        accept: () => undefined,
      });
      expect(answer).toMatchObject({ count: 1_000 });
      return performance.now() - began;
    };
    const first = await ask();
    const second = await ask();
    console.log(`1,000 sessions with titles: first ${first.toFixed(0)} ms, then ${second.toFixed(0)} ms`);
    expect(second).toBeLessThan(300);
    expect(await textsIn(store, "s7")).toEqual(["question 7", "and another 7"]);
    await store.close();
  },
);
