import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { acquireLock, readLock } from "../../../plugins/services/sessions/lock.ts";
import { tempFolder } from "./support.ts";

test("REL-12 a second gateway on the same folder is told who has it and what to do", async () => {
  using temp = tempFolder();
  const lock = await acquireLock(temp.dir, { port: 18789 });
  await lock.update({ port: 18789, url: "ws://127.0.0.1:18789" });
  await expect(acquireLock(temp.dir, {})).rejects.toMatchObject({
    code: "GATEWAY_LOCKED",
    message: expect.stringMatching(
      new RegExp(`pid ${process.pid}.*${temp.dir}.*ws://127\\.0\\.0\\.1:18789.*RUSTY_CLAW_STATE_DIR`),
    ) as string,
    details: { pid: process.pid, url: "ws://127.0.0.1:18789" },
  });
  expect(await readLock(temp.dir)).toMatchObject({
    pid: process.pid,
    port: 18789,
    startedAt: expect.any(Number) as number,
  });
  expect(fs.statSync(path.join(temp.dir, "gateway.lock")).mode & 0o777).toBe(0o600);
  await lock.release();
  expect(await readLock(temp.dir)).toBeUndefined();
  await (await acquireLock(temp.dir, {})).release();
});

test("REL-12 a dead holder's lock is taken over", async () => {
  using temp = tempFolder();
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "close");
  fs.writeFileSync(
    path.join(temp.dir, "gateway.lock"),
    JSON.stringify({ pid: child.pid, startTicks: 5, startedAt: 1 }),
  );
  expect(await readLock(temp.dir)).toBeUndefined();
  await (await acquireLock(temp.dir, {})).release();
});

test.skipIf(process.platform !== "linux")(
  "REL-12 a lock of an earlier process with the same pid is taken over",
  async () => {
    using temp = tempFolder();
    fs.writeFileSync(
      path.join(temp.dir, "gateway.lock"),
      JSON.stringify({ pid: process.pid, startTicks: 1, startedAt: 1 }),
    );
    expect(await readLock(temp.dir)).toBeUndefined();
    await (await acquireLock(temp.dir, {})).release();
  },
);

test.skipIf(process.platform !== "linux")(
  "REL-12 a holder that ended but was not waited for is dead",
  async () => {
    using temp = tempFolder();
    // The shell's child ends at once and stays a zombie, because `exec` replaced the one who would wait for it.
    const parent = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 30"]);
    const [text] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(text.toString());
    fs.writeFileSync(path.join(temp.dir, "gateway.lock"), JSON.stringify({ pid, startedAt: 1 }));
    await expect.poll(() => readLock(temp.dir)).toBeUndefined();
    parent.kill("SIGKILL");
    await once(parent, "close");
  },
);

test.each(["", "{", "null", '{"pid":0}', "{}"])(
  "REL-12 a lock file that holds %j is cleared once its writer had time to finish",
  async (text) => {
    using temp = tempFolder();
    const file = path.join(temp.dir, "gateway.lock");
    fs.writeFileSync(file, text);
    const old = new Date(Date.now() - 10_000);
    fs.utimesSync(file, old, old);
    await (await acquireLock(temp.dir, {})).release();
  },
);

test("REL-12 of many that find a stale lock at once, one gets it", async () => {
  using temp = tempFolder();
  fs.writeFileSync(path.join(temp.dir, "gateway.lock"), JSON.stringify({ pid: 2 ** 22 + 7, startedAt: 1 }));
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(temp.dir, {})));
  const locks = all.filter((result) => result.status === "fulfilled");
  expect(locks).toHaveLength(1);
  for (const result of all)
    if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "GATEWAY_LOCKED" });
  expect(fs.readdirSync(temp.dir)).toEqual(["gateway.lock"]);
  await locks[0]?.value.release();
});

test("a lock that somebody else took over meanwhile is not released", async () => {
  using temp = tempFolder();
  const lock = await acquireLock(temp.dir, {});
  const file = path.join(temp.dir, "gateway.lock");
  fs.writeFileSync(file, JSON.stringify({ pid: 1, startedAt: 1 }));
  await lock.release();
  expect(fs.existsSync(file)).toBe(true);
});

test("whoever takes the state folder clears up after those who were killed in the middle of a write", async () => {
  using temp = tempFolder();
  const long = new Date(Date.now() - 120_000);
  const leave = (name: string, at?: Date): void => {
    const file = path.join(temp.dir, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, "{}");
    if (at) fs.utimesSync(file, at, at);
  };
  leave("devices/.paired.json.0123456789ab.tmp", long);
  leave("plugins/voice/.storage.json.0123456789ab.tmp", long);
  leave(".config.json.bak.0123456789ab.tmp", long);
  leave(".config.json.ba9876543210.tmp");
  leave("notes.tmp", long);
  leave("workspace/.mine.0123456789ab.tmp", long);
  leave("plugins/voice/storage.json", long);
  await (await acquireLock(temp.dir, {})).release();
  const left = fs.readdirSync(temp.dir, { recursive: true, withFileTypes: true });
  expect(
    left.flatMap((entry) => (entry.isFile() ? [entry.name] : [])).sort(),
    "somebody may be about to rename the young one",
  ).toEqual([".config.json.ba9876543210.tmp", ".mine.0123456789ab.tmp", "notes.tmp", "storage.json"]);
});
