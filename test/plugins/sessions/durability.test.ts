import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  bundleWriter,
  entriesOnDisk,
  never,
  openStore,
  say,
  start,
  tempFolder,
  textsIn,
  transcriptOf,
} from "./support.ts";

const kills = Number(process.env["RCLAW_TEST_KILLS"] ?? 40);
// Every byte is tried; this says of how long a transcript.
const messages = Number(process.env["RCLAW_TEST_MESSAGES"] ?? 3);
const tools = tempFolder();
let writer = "";

beforeAll(async () => {
  writer = await bundleWriter(tools.dir);
});
afterAll(() => tools[Symbol.dispose]());

test(
  `REL-01 nothing acknowledged is lost or doubled by ${kills} kills at random moments`,
  { timeout: 60_000 + kills * 2_000 },
  async () => {
    using temp = tempFolder();
    const acked = { entries: new Set<string>(), accepted: new Set<string>(), settled: new Set<string>() };
    const labels = new Map<string, string>();
    let slowest = 0;
    for (let round = 0; round < kills; round++) {
      const child = start(process.execPath, [writer, temp.dir, "load"]);
      await child.ready();
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
      child.process.kill("SIGKILL");
      await child.ended();
      for (const line of child.lines) {
        const [what, name = "", id = ""] = line.split(" ");
        if (what === "entry") acked.entries.add(`${name} ${id}`);
        if (what === "accepted") acked.accepted.add(id);
        if (what === "settled") acked.settled.add(id);
        if (what === "label") labels.set(name, id);
      }
      const began = performance.now();
      const store = await openStore(temp.dir);
      slowest = Math.max(slowest, performance.now() - began);
      expect(store.state).toEqual({ status: "ok", quarantined: 0 });
      for (const [name, label] of labels)
        expect(labelNumber(store.find(name)?.label)).toBeGreaterThanOrEqual(labelNumber(label));
      for (const id of acked.settled) expect(store.runs.find("agent", "client:test", id)?.state).toBe("ok");
      for (const id of acked.accepted) expect(store.runs.find("agent", "client:test", id)).toBeDefined();
      await store.close();
      labels.clear();
      const found = ["s0", "s1", "s2", "s3", "s4", "s5", "r6", "r7"].flatMap((name) =>
        entriesOnDisk(temp.dir, `agent:main:${name}`).map((id) => `${name} ${id}`),
      );
      const unique = new Set(found);
      expect(found.length - unique.size, "doubled entries").toBe(0);
      expect(
        [...acked.entries].filter((id) => !unique.has(id)),
        "lost entries",
      ).toEqual([]);
    }
    console.log(
      `REL-01: ${kills} kills, ${acked.entries.size} entries and ${acked.accepted.size} runs acknowledged, slowest start ${slowest.toFixed(0)} ms`,
    );
    expect(acked.entries.size).toBeGreaterThan(kills);
    expect(slowest).toBeLessThan(3_000);
  },
);

function labelNumber(label: string | undefined): number {
  return Number(label?.split("-").at(-1) ?? -1);
}

/** A transcript with its index, closed cleanly. */
async function sample(
  dir: string,
  count: number,
): Promise<{ file: string; bytes: Buffer; texts: readonly string[] }> {
  const store = await openStore(dir);
  const texts = Array.from(
    { length: count },
    (_, n) => `message ${n} ünïcode "quoted" \\ ${"z".repeat(n % 5)}`,
  );
  for (const text of texts) await say(store, "main", text);
  await store.patch("main", { label: "mine" });
  await store.close();
  const file = transcriptOf(dir, "agent:main:main");
  return { file, bytes: fs.readFileSync(file), texts };
}

test(
  "REL-03 REL-05 a transcript cut at every byte opens with its whole lines, and the next entry is not merged into the rest",
  { timeout: 300_000 },
  async () => {
    using temp = tempFolder({ inMemory: true });
    const { file, bytes, texts } = await sample(temp.dir, messages);
    for (let length = 0; length <= bytes.length; length++) {
      fs.writeFileSync(file, bytes.subarray(0, length));
      const store = await openStore(temp.dir);
      // A line that lacks only its newline is whole.
      const whole = bytes
        .subarray(0, length)
        .toString("latin1")
        .split("\n")
        .filter((line) => /"type":"message".*,"crc":"[0-9a-f]{8}"\}$/.test(line)).length;
      expect(await textsIn(store, "main")).toEqual(texts.slice(0, whole));
      await say(store, "main", "after");
      await store.close();
      const again = await openStore(temp.dir);
      expect(await textsIn(again, "main")).toEqual([...texts.slice(0, whole), "after"]);
      await again.close();
      fs.rmSync(path.join(temp.dir, "transcripts"), { recursive: true });
      fs.mkdirSync(path.join(temp.dir, "transcripts"));
    }
  },
);

test(
  "REL-04 a flip of any byte of a transcript is found: its line is quarantined and every other one is right",
  { timeout: 300_000 },
  async () => {
    using temp = tempFolder({ inMemory: true });
    const { file, bytes, texts } = await sample(temp.dir, messages);
    let flips = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [1, 128]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ mask;
        fs.writeFileSync(file, damaged);
        const store = await openStore(temp.dir);
        const found = await textsIn(store, "main");
        // Two lines at most: a newline that is gone makes one bad line of two.
        expect(found.length).toBeGreaterThanOrEqual(texts.length - 2);
        expect(isSubsequence(found, texts), `silently wrong at byte ${at}`).toBe(true);
        expect([undefined, "mine"]).toContain(store.find("main")?.label);
        if (found.length < texts.length) expect(store.state.quarantined).toBeGreaterThan(0);
        await store.close();
        fs.rmSync(file.replace(".jsonl", ".quarantine.jsonl"), { force: true });
        flips++;
      }
    }
    console.log(`REL-04: ${flips} flips, 0 silently wrong`);
  },
);

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let from = 0;
  return part.every((item) => (from = whole.indexOf(item, from) + 1) > 0);
}

test(
  "REL-03 REL-04 the index and the ledger, cut or flipped at every byte, open and tell nothing wrong",
  { timeout: 300_000 },
  async () => {
    using temp = tempFolder({ inMemory: true });
    await sample(temp.dir, 2);
    const store = await openStore(temp.dir);
    const ids = ["r1", "r2", "r3"];
    for (const id of ids)
      await store.runs.accept({
        id,
        sessionKey: "agent:main:main",
        method: "agent",
        principal: "p",
        params: { id },
      });
    const entry = store.find("main");
    await store.close();
    for (const name of ["sessions.json", "runs.json"]) {
      const file = path.join(temp.dir, name);
      const good = fs.readFileSync(file);
      for (let at = 0; at < good.length; at++) {
        const flipped = Buffer.from(good);
        flipped[at] = (flipped[at] ?? 0) ^ 1;
        for (const damage of [good.subarray(0, at), flipped]) {
          fs.writeFileSync(file, damage);
          const again = await openStore(temp.dir);
          expect(again.find("main")).toEqual(entry);
          const runs = again.runs.unsettled();
          for (const run of runs)
            expect(run).toEqual({
              ...run,
              id: run.params["id"],
              state: "accepted",
              method: "agent",
              principal: "p",
            });
          if (name === "sessions.json") expect(runs).toHaveLength(3);
          else expect(runs.length).toBeGreaterThanOrEqual(damage === flipped ? 1 : 0);
          await again.close();
        }
      }
      fs.writeFileSync(file, good);
      for (const backup of fs.readdirSync(temp.dir).filter((other) => other.includes(".corrupt-")))
        fs.unlinkSync(path.join(temp.dir, backup));
    }
  },
);

/** What lies on the disk when the process dies right after the commit: the journal, and transcripts as far as they got. */
async function crashed(
  dir: string,
): Promise<{ journal: string; bytes: Buffer; transcript: string; texts: readonly string[] }> {
  const store = await openStore(dir);
  await say(store, "main", "earlier");
  await store.flush();
  const texts = ["one", "three"];
  for (const text of texts) await say(store, "main", text);
  await store.runs.accept({
    id: "r",
    sessionKey: "agent:main:main",
    method: "agent",
    principal: "p",
    params: { a: 1 },
  });
  const name = fs.readdirSync(dir).find((file) => file.startsWith("journal-")) ?? "";
  const bytes = fs.readFileSync(path.join(dir, name));
  const transcript = transcriptOf(dir, "agent:main:main");
  await expect.poll(() => fs.readFileSync(transcript, "utf8").includes("three")).toBe(true);
  await store.close();
  return { journal: path.join(dir, name), bytes, transcript, texts };
}

test(
  "REL-02 whatever part of the unsynced transcript a power cut leaves, replay makes it whole",
  { timeout: 300_000 },
  async () => {
    using temp = tempFolder({ inMemory: true });
    const { journal, bytes, transcript, texts } = await crashed(temp.dir);
    const full = fs.readFileSync(transcript);
    const synced = full.indexOf("\n", full.indexOf("earlier")) + 1;
    const hole = (from: number, to: number): Buffer =>
      Buffer.concat([full.subarray(0, from), Buffer.alloc(to - from), full.subarray(to)]);
    const states: Buffer[] = [];
    for (let at = synced; at <= full.length; at++) states.push(full.subarray(0, at));
    // Pages of one write reach the disk in any order: a later part may be there while an earlier one is zeros.
    for (let from = synced; from < full.length; from += 7)
      for (let to = from + 1; to <= full.length; to += 41) states.push(hole(from, to));
    for (const state of states) {
      fs.writeFileSync(transcript, state);
      fs.writeFileSync(journal, bytes);
      const store = await openStore(temp.dir);
      expect(await textsIn(store, "main")).toEqual(["earlier", ...texts]);
      expect(store.runs.unsettled().map(({ id }) => id)).toEqual(["r"]);
      await store.close();
      expect(fs.readFileSync(transcript).equals(full)).toBe(true);
    }
    console.log(`REL-02: ${states.length} power-cut states of a transcript replayed`);
  },
);

test(
  "REL-02 a journal cut at every byte gives back what was whole, twice over as well as once",
  { timeout: 300_000 },
  async () => {
    using temp = tempFolder({ inMemory: true });
    const { journal, bytes, transcript, texts } = await crashed(temp.dir);
    const full = fs.readFileSync(transcript);
    const synced = full.subarray(0, full.indexOf("\n", full.indexOf("earlier")) + 1);
    for (let length = 0; length <= bytes.length; length++) {
      fs.writeFileSync(transcript, synced);
      fs.writeFileSync(journal, bytes.subarray(0, length));
      const whole = bytes
        .subarray(0, length)
        .toString()
        .split("\n")
        .slice(0, -1)
        .filter((line) => line.includes('"type":"message"')).length;
      const store = await openStore(temp.dir);
      expect(await textsIn(store, "main")).toEqual(["earlier", ...texts.slice(0, whole)]);
      await store.close();
      if (length % 8 !== 0) continue;
      // Killed after replay, before the journal went: the same again.
      fs.writeFileSync(journal, bytes.subarray(0, length));
      const again = await openStore(temp.dir);
      expect(await textsIn(again, "main")).toEqual(["earlier", ...texts.slice(0, whole)]);
      await again.close();
    }
  },
);

test("a reset and a deletion that were durable but not carried out are carried out at the next start, once", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "main", "old");
  await say(store, "gone", "old");
  await store.flush();
  const folder = path.join(temp.dir, "transcripts");
  const before = new Map(
    fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name))]),
  );
  await say(store, "main", "older");
  await store.reset("main", "reset", never);
  await say(store, "main", "new");
  await store.delete("gone", {}, never);
  const journals = fs
    .readdirSync(temp.dir)
    .filter((name) => name.startsWith("journal-"))
    .map((name) => [name, fs.readFileSync(path.join(temp.dir, name))] as const);
  await store.close();

  const rewind = (): void => {
    for (const name of fs.readdirSync(folder)) fs.unlinkSync(path.join(folder, name));
    for (const [name, bytes] of before) fs.writeFileSync(path.join(folder, name), bytes);
  };
  for (const undo of [
    rewind,
    () => undefined,
    () => fs.unlinkSync(transcriptOf(temp.dir, "agent:main:main")),
  ]) {
    undo();
    for (const [name, bytes] of journals) fs.writeFileSync(path.join(temp.dir, name), bytes);
    const again = await openStore(temp.dir);
    expect(await textsIn(again, "main")).toEqual(["new"]);
    expect(again.list().map(({ key }) => key)).toEqual(["agent:main:main"]);
    await again.close();
    const archives = fs
      .readdirSync(folder)
      .filter((name) => name.includes(".reset.") || name.includes(".deleted."));
    expect(archives).toHaveLength(2);
    const reset = archives.find((name) => name.includes(".reset.")) ?? "";
    expect(fs.readFileSync(path.join(folder, reset), "utf8").match(/"old(er)?"/g)).toEqual([
      '"old"',
      '"older"',
    ]);
  }
});

test("a transcript without one readable line is put aside and the session starts anew", async () => {
  using temp = tempFolder();
  const file = transcriptOf(temp.dir, "agent:main:main");
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, "not json\n\0\0\0\n[]\n");
  const store = await openStore(temp.dir);
  await say(store, "main", "hello");
  expect(await textsIn(store, "main")).toEqual(["hello"]);
  await store.close();
  expect(fs.readdirSync(path.dirname(file)).some((name) => name.includes(".unreadable."))).toBe(true);
});

test("a bad line is noted once, with its place and reason, and stays in the transcript", async () => {
  using temp = tempFolder();
  const { file, bytes, texts } = await sample(temp.dir, 4);
  const at = bytes.indexOf("message 1");
  const damaged = Buffer.from(bytes);
  damaged[at] = 77;
  fs.writeFileSync(file, damaged);
  for (let round = 0; round < 3; round++) {
    const store = await openStore(temp.dir);
    expect(await textsIn(store, "main")).toEqual(texts.filter((_text, n) => n !== 1));
    expect(store.state.quarantined).toBe(1);
    await store.close();
  }
  const notes = fs.readFileSync(file.replace(".jsonl", ".quarantine.jsonl"), "utf8").trimEnd().split("\n");
  expect(notes.map((note) => JSON.parse(note) as object)).toEqual([
    expect.objectContaining({
      offset: bytes.lastIndexOf("\n", at) + 1,
      reason: "the checksum does not match",
    }),
  ]);
  expect(fs.readFileSync(file).equals(damaged)).toBe(true);
});
