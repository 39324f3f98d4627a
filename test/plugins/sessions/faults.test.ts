import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  bundleWriter,
  type Child,
  entriesOnDisk,
  openStore,
  say,
  start,
  startFaulty,
  tempFolder,
  transcriptOf,
} from "./support.ts";

const tools = tempFolder();
let writer = "";

beforeAll(async () => {
  writer = await bundleWriter(tools.dir);
});
afterAll(() => tools[Symbol.dispose]());

const hasStrace = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;
if (!hasStrace)
  console.log("faults.test: strace is missing or may not trace here, so disk errors are not injected");
const canMount = process.platform === "linux" && process.getuid?.() === 0 && mountWorks();
if (!canMount) console.log("faults.test: a tmpfs can only be mounted by root, so a full disk is not tried");

function mountWorks(): boolean {
  using probe = tempFolder();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe.dir]).status === 0;
  if (mounted) spawnSync("umount", [probe.dir]);
  return mounted;
}

interface Outcome {
  readonly acked: readonly string[];
  readonly refused: readonly string[];
}

function outcomeOf({ lines }: Child): Outcome {
  return {
    acked: lines.filter((line) => line.startsWith("entry ")).map((line) => line.split(" ")[2] ?? ""),
    refused: lines.filter((line) => line.startsWith("refused ")),
  };
}

/** Everything acknowledged is there once, and nothing refused is. */
async function verify(dir: string, { acked }: Outcome): Promise<void> {
  const store = await openStore(dir);
  expect(
    (await store.tail("steps", 10_000)).map(({ id }) => `${store.find("steps")?.sessionId}:${id}`),
  ).toEqual(acked);
  await say(store, "steps", "works");
  await store.close();
  expect(entriesOnDisk(dir, "agent:main:steps")).toHaveLength(acked.length + 1);
}

// A fault that passes, at the n-th call, and one that stays for a while; spread over start, commits, write-back and checkpoints.
const faults: readonly (readonly [string, string, string])[] = [
  ...[1, 2, 3, 4, 5, 7, 9, 12].map((when) => ["fdatasync", "EIO", `${when}`] as const),
  ...[1, 4, 8].map((when) => ["fdatasync", "ENOSPC", `${when}..${when + 3}`] as const),
  ...[1, 2, 3, 4, 5, 7, 9, 12].map((when) => ["write,pwrite64", "ENOSPC", `${when}`] as const),
  ...[2, 6].map((when) => ["write,pwrite64", "EIO", `${when}..${when + 2}`] as const),
  ...[4, 5, 6, 7, 9].map((when) => ["openat", "EMFILE", `${when}`] as const),
  ["fsync", "EIO", "1"],
  ["fsync", "EIO", "2"],
  ["rename", "ENOSPC", "1"],
  ["unlink", "EIO", "1"],
  ["ftruncate", "EIO", "1"],
];

test.skipIf(!hasStrace).each(faults)(
  "REL-06 REL-07 %s fails with %s at call %s: not acknowledged, resumed, nothing lost or doubled",
  { timeout: 60_000 },
  async (calls, error, when) => {
    using temp = tempFolder();
    const dir = path.join(temp.dir, "sessions");
    // Only calls on the store's files are hit, so that the process itself goes on.
    const files = [
      dir,
      path.join(dir, "transcripts"),
      path.join(dir, "sessions.json"),
      transcriptOf(dir, "agent:main:steps"),
    ];
    for (let n = 1; n < 30; n++) files.push(path.join(dir, `journal-${n}.jsonl`));
    const trace = path.join(temp.dir, "trace");
    const child = startFaulty([writer, dir, "steps", "12"], {
      calls: `${calls},fdatasync`,
      inject: [
        `${calls}:error=${error}:when=${when}`,
        // That a journal cannot be truncated only matters when a write to it failed before.
        ...(calls === "ftruncate" ? ["fdatasync:error=EIO:when=3"] : []),
      ],
      // strace does not look at the paths of a rename; nothing else in the writer renames.
      files: calls === "rename" ? [] : files,
      trace,
      oneThread: true,
    });
    await child.ended();
    expect(child.lines.at(-1), child.errors()).toBe("closed");
    expect(fs.readFileSync(trace, "utf8")).toMatch(
      new RegExp(`(${calls.replaceAll(",", "|")})\\(.*INJECTED`),
    );
    const outcome = outcomeOf(child);
    for (const line of outcome.refused) expect(line).toMatch(/^refused \d+ STORE_DEGRADED true /);
    expect(outcome.acked.length + outcome.refused.length).toBe(12);
    expect(outcome.acked.length).toBeGreaterThan(5);
    expect(child.lines.find((line) => line.startsWith("state "))).toBe("state ok");
    await verify(dir, outcome);
  },
);

test.skipIf(!hasStrace).each([
  ["fdatasync", "2"],
  ["fdatasync", "3..4"],
  ["fdatasync", "7"],
  ["write", "2"],
  ["write", "5..6"],
] as const)(
  "what was refused because %s failed at call %s does not come back after a crash",
  { timeout: 60_000 },
  async (call, when) => {
    using temp = tempFolder();
    const files = Array.from({ length: 20 }, (_, n) => path.join(temp.dir, `journal-${n}.jsonl`));
    const inject = [`${call}:error=EIO:when=${when}`];
    const options = { calls: call, inject, files, oneThread: true };
    const child = startFaulty([writer, temp.dir, "steps-die", "10"], options);
    await child.ended();
    const outcome = outcomeOf(child);
    expect(outcome.refused.length).toBeGreaterThan(0);
    await verify(temp.dir, outcome);
  },
);

test.skipIf(!hasStrace).each(["1..3", "1+"])(
  "a reset whose archive cannot be renamed at calls %s is finished later, and closing does not wait for ever",
  { timeout: 60_000 },
  async (when) => {
    using temp = tempFolder();
    const inject = [`rename:error=EIO:when=${when}`];
    const child = startFaulty([writer, temp.dir, "reset"], { calls: "rename", inject, oneThread: true });
    await child.ended();
    expect(child.lines.at(-1), child.errors()).toBe("closed");
    const { acked } = outcomeOf(child);
    expect(acked).toHaveLength(when === "1+" ? 3 : 5);
    const store = await openStore(temp.dir);
    expect(await store.tail("steps", 10)).toHaveLength(acked.length - 3);
    await store.close();
    expect(entriesOnDisk(temp.dir, "agent:main:steps").toSorted()).toEqual(acked.toSorted());
    const archives = fs
      .readdirSync(path.join(temp.dir, "transcripts"))
      .filter((name) => name.includes(".reset."));
    expect(archives).toHaveLength(1);
  },
);

test.skipIf(!hasStrace)(
  "REL-08 a write that the system puts off is carried on until the line is whole",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const child = startFaulty([writer, temp.dir, "steps", "6"], {
      calls: "write",
      inject: ["write:error=EAGAIN:when=2..5"],
      files: [path.join(temp.dir, "journal-1.jsonl")],
      oneThread: true,
    });
    await child.ended();
    const outcome = outcomeOf(child);
    expect(outcome.acked).toHaveLength(6);
    await verify(temp.dir, outcome);
  },
);

test.skipIf(!hasStrace)(
  "REL-11 a disk that takes 100 ms for each sync is waited for together, not one by one",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const began = performance.now();
    const child = startFaulty([writer, temp.dir, "load"], {
      calls: "fdatasync",
      inject: ["fdatasync:delay_exit=100000"],
    });
    await child.ready();
    const acked = (): number => child.lines.filter((line) => line.startsWith("entry ")).length;
    await expect.poll(acked, { timeout: 30_000 }).toBeGreaterThan(60);
    const syncs = (performance.now() - began) / 100;
    const pid = Number(child.lines.find((line) => line.startsWith("pid "))?.slice(4));
    process.kill(pid, "SIGKILL");
    await child.ended();
    expect(acked()).toBeGreaterThan(syncs * 1.5);
  },
);

test.skipIf(!canMount)(
  "REL-06 a full disk refuses, keeps what it acknowledged and goes on when there is space again",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const mounted = path.join(temp.dir, "disk");
    fs.mkdirSync(mounted);
    spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", mounted]);
    try {
      const dir = path.join(mounted, "sessions");
      const ballast = path.join(mounted, "ballast");
      fs.writeFileSync(ballast, Buffer.alloc(120 * 1024));
      const store = await openStore(dir, { commit: { rotateBytes: 40 * 1024, idleMs: 50 } });
      const acked: string[] = [];
      const refusals: unknown[] = [];
      const tryOnce = async (): Promise<void> => {
        try {
          acked.push(...(await say(store, "main", "z".repeat(700))));
        } catch (error) {
          expect(error).toMatchObject({ code: "STORE_DEGRADED", retryable: true });
          refusals.push(error);
        }
      };
      for (let n = 0; n < 400 && refusals.length < 3; n++) await tryOnce();
      expect(refusals).toHaveLength(3);
      expect(store.state).toMatchObject({
        status: "degraded",
        reason: expect.stringContaining("no space is left on the disk (ENOSPC)") as string,
      });
      expect((await store.tail("main", 1_000)).map(({ id }) => id)).toEqual(acked);
      fs.unlinkSync(ballast);
      const before = acked.length;
      await expect
        .poll(async () => (await tryOnce(), acked.length), { timeout: 10_000 })
        .toBeGreaterThan(before + 5);
      await expect.poll(() => store.state.status, { timeout: 10_000 }).toBe("ok");
      expect((await store.tail("main", 1_000)).map(({ id }) => id)).toEqual(acked);
      await store.close();
      const again = await openStore(dir);
      expect((await again.tail("main", 1_000)).map(({ id }) => id)).toEqual(acked);
      await again.close();
    } finally {
      spawnSync("umount", [mounted]);
    }
  },
);

test(
  "REL-06 a file size limit in the middle of a line refuses the line and leaves no part of it",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    // The journal alone grows to the limit; the segment after it is a new file.
    const child = start("bash", [
      "-c",
      'ulimit -f 8; trap "" XFSZ; exec "$@"',
      "sh",
      process.execPath,
      writer,
      temp.dir,
      "steps",
      "14",
    ]);
    await child.ended();
    const outcome = outcomeOf(child);
    expect(outcome.acked.length, child.errors()).toBeGreaterThan(3);
    await verify(temp.dir, outcome);
  },
);

test(
  "REL-09 without descriptors to spare the store keeps its own and goes on",
  { timeout: 60_000 },
  async () => {
    using temp = tempFolder();
    const child = start("bash", [
      "-c",
      'ulimit -n 40; exec "$@"',
      "sh",
      process.execPath,
      writer,
      temp.dir,
      "steps",
      "10",
    ]);
    await child.ended();
    expect(child.lines.at(-1), child.errors()).toBe("closed");
    await verify(temp.dir, outcomeOf(child));
  },
);
