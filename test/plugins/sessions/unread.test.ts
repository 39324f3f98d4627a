import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { acquireLock } from "../../../plugins/services/sessions/lock.ts";
import { openStore, say, tempFolder, textsIn, transcriptOf } from "./support.ts";

test("one transcript that cannot be read keeps neither the others nor the gateway from starting", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "good", "one");
  await say(store, "bad", "one");
  await store.close();
  const file = transcriptOf(temp.dir, "agent:main:bad");
  fs.renameSync(file, `${file}.aside`);
  fs.mkdirSync(file);

  const again = await openStore(temp.dir);
  expect(again.state).toMatchObject({
    status: "degraded",
    reason: expect.stringContaining(file) as string,
  });
  await say(again, "good", "two");
  expect(await textsIn(again, "good")).toEqual(["one", "two"]);
  const refused = {
    code: "STORE_DEGRADED",
    message: expect.stringContaining(file) as string,
    retryable: true,
  };
  await expect(say(again, "bad", "two")).rejects.toMatchObject(refused);
  await expect(again.tail("bad", 1)).rejects.toMatchObject(refused);
  expect(() => again.find("bad")).toThrow(file);

  fs.rmdirSync(file);
  fs.renameSync(`${file}.aside`, file);
  await say(again, "bad", "two");
  expect(await textsIn(again, "bad")).toEqual(["one", "two"]);
  expect(again.state.status).toBe("ok");
  await again.close();
});

test("a transcript that is put back while it is being read again is found by who writes next", async () => {
  for (let round = 0; round < 40; round++) {
    using temp = tempFolder();
    const store = await openStore(temp.dir);
    await say(store, "bad", "one");
    await store.close();
    const file = transcriptOf(temp.dir, "agent:main:bad");
    fs.renameSync(file, `${file}.aside`);
    fs.mkdirSync(file);

    const again = await openStore(temp.dir);
    expect(() => again.find("bad")).toThrow(file);
    fs.rmdirSync(file);
    fs.renameSync(`${file}.aside`, file);
    await say(again, "bad", "two");
    expect(await textsIn(again, "bad")).toEqual(["one", "two"]);
    await again.close();
  }
});

test("what the journal holds for a transcript that cannot be read stays there until it can", async () => {
  using temp = tempFolder();
  using crashed = tempFolder();
  const store = await openStore(temp.dir);
  await say(store, "bad", "one");
  await store.flush();
  await say(store, "bad", "two");
  fs.cpSync(temp.dir, crashed.dir, { recursive: true });
  await store.close();
  const file = transcriptOf(crashed.dir, "agent:main:bad");
  fs.renameSync(file, `${file}.aside`);
  fs.mkdirSync(file);

  const blind = await openStore(crashed.dir);
  await say(blind, "good", "three");
  await expect(blind.flush()).rejects.toMatchObject({ code: "STORE_DEGRADED" });
  await blind.close();
  expect(fs.readdirSync(crashed.dir).filter((name) => name.startsWith("journal-"))).not.toEqual([]);

  fs.rmdirSync(file);
  fs.renameSync(`${file}.aside`, file);
  const again = await openStore(crashed.dir);
  expect(await textsIn(again, "bad")).toEqual(["one", "two"]);
  expect(await textsIn(again, "good")).toEqual(["three"]);
  await again.flush();
  await again.close();
});

test("a state folder that cannot be written to is named, with what to do", async () => {
  using temp = tempFolder();
  const file = path.join(temp.dir, "file");
  fs.writeFileSync(file, "");
  await expect(acquireLock(path.join(file, "state"), {})).rejects.toMatchObject({
    code: "STORE_DEGRADED",
    message: expect.stringMatching(
      /cannot write to the state folder .*file\/state.*RUSTY_CLAW_STATE_DIR/,
    ) as string,
  });
});
