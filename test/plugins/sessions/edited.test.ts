import fs from "node:fs";
import { expect, test } from "vitest";
import type { SessionStore } from "../../../plugins/services/sessions/store.ts";
import { openStore, say, tempFolder, textsIn, transcriptOf } from "./support.ts";

const foreign = (text: string): string =>
  `${JSON.stringify({
    type: "message",
    id: "deadbeef",
    parentId: null,
    timestamp: "2026-02-17T10:00:00.000Z",
    message: { role: "user", content: text },
  })}\n`;

const edits: readonly [name: string, edit: (file: string, text: string) => void, left: readonly string[]][] =
  [
    [
      "a line made longer, by an editor that replaces the file",
      (file, text) => {
        fs.writeFileSync(
          `${file}.tmp`,
          text.replace('"one"', '"one, and a good deal more than there was before"'),
        );
        fs.renameSync(`${file}.tmp`, file);
      },
      ["two"],
    ],
    ["half of the file cut off", (file, text) => fs.truncateSync(file, text.length - 60), ["one"]],
    ["half a line added", (file) => fs.appendFileSync(file, '{"a":'), ["one", "two"]],
    ["a line without a checksum added", (file) => fs.appendFileSync(file, foreign("three")), ["one", "two"]],
    ["an empty line added", (file) => fs.appendFileSync(file, "\n"), ["one", "two"]],
    ["the last newline taken away", (file, text) => fs.truncateSync(file, text.length - 1), ["one", "two"]],
    ["everything taken away", (file) => fs.truncateSync(file, 0), []],
  ];

async function after(store: SessionStore, edit: () => void, { closed }: { closed: boolean }): Promise<void> {
  await say(store, "main", "one");
  await say(store, "main", "two");
  await store.flush();
  // The file is let go of when it has been quiet for a while.
  if (closed) await expect.poll(() => openTranscripts(), { timeout: 10_000 }).toEqual([]);
  edit();
  await store.tail("main", 10);
  for (const text of ["four", "five"]) {
    await say(store, "main", text);
    await store.flush();
  }
}

function openTranscripts(): readonly string[] {
  return fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const name = fs.readlinkSync(`/proc/self/fd/${fd}`, "utf8");
      return name.includes("rclaw-sessions-") && name.includes("/transcripts/") ? [name] : [];
    } catch {
      // The listing's own descriptor.
      return [];
    }
  });
}

for (const [name, edit, left] of edits) {
  for (const closed of [false, true].slice(0, fs.existsSync("/proc/self/fd") ? 2 : 1)) {
    test(`${name} while the transcript is ${closed ? "closed" : "open"}: what is acknowledged afterwards is kept`, async () => {
      using temp = tempFolder();
      const store = await openStore(temp.dir, { commit: { idleMs: 20 } });
      const file = transcriptOf(temp.dir, "agent:main:main");
      await after(store, () => edit(file, fs.readFileSync(file, "utf8")), { closed });
      expect(await textsIn(store, "main")).toEqual([...left, "four", "five"]);
      expect(store.state.status).toBe("ok");
      await store.close();
      fs.rmSync(store.indexFile);
      const again = await openStore(temp.dir);
      expect(await textsIn(again, "main")).toEqual([...left, "four", "five"]);
      await again.close();
    });
  }
}
