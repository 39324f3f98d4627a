import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { isRclawError } from "@rclaw/plugin-sdk";
import { expect, test } from "vitest";
import { checkPath, createFiles } from "../../plugins/services/files/files.ts";

const iterations = 1000;

/**
 * Another process that makes `x` by turns the real thing (kept under `real`) and a link to
 * `target`, as fast as it can. What the other side makes meanwhile is in the way and goes.
 */
async function swapper(
  folder: string,
  target: string,
): Promise<{ child: ChildProcess; exited: Promise<unknown> }> {
  const script = `
    const fs = require("node:fs");
    process.chdir(process.argv[1]);
    const quietly = (work) => { try { work(); } catch {} };
    console.log("ready");
    for (;;) {
      quietly(() => fs.rmSync("x", { recursive: true, force: true }));
      quietly(() => fs.renameSync("real", "x"));
      for (let i = 0; i < 20; i++) quietly(() => fs.statSync("x"));
      quietly(() => fs.existsSync("real") || fs.renameSync("x", "real"));
      quietly(() => fs.symlinkSync(process.argv[2], "x"));
      for (let i = 0; i < 20; i++) quietly(() => fs.statSync("x"));
    }`;
  const child = spawn(process.execPath, ["-e", script, folder, target], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  return { child, exited };
}

async function attempt(work: Promise<unknown>, tally: Map<string, number>): Promise<unknown> {
  let outcome = "done";
  try {
    return await work;
  } catch (error) {
    outcome = isRclawError(error) ? error.code : `not an RclawError: ${String(error)}`;
    return undefined;
  } finally {
    tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
  }
}

test.each([
  { what: "a folder and a link to a folder outside", inner: "x/file.txt", target: "outside" },
  { what: "a folder above and a link to its like outside", inner: "x/deep/er/file.txt", target: "outside" },
  { what: "a file and a link to a file outside", inner: "x", target: "outside/file.txt" },
])("$what, exchanged all the time, never let a read or a write out", async ({ inner, target }) => {
  const base = mkdtempSync(path.join(tmpdir(), "rclaw-race-"));
  const root = path.join(base, "workspace");
  mkdirSync(path.join(base, "outside/deep/er"), { recursive: true });
  writeFileSync(path.join(base, "outside/file.txt"), "SECRET");
  writeFileSync(path.join(base, "outside/deep/er/file.txt"), "SECRET");
  mkdirSync(path.dirname(path.join(root, inner)), { recursive: true });
  writeFileSync(path.join(root, inner), "inside");
  const outside = () =>
    readdirSync(path.join(base, "outside"), { recursive: true, withFileTypes: true })
      .map(
        (entry) =>
          path.join(entry.parentPath, entry.name) +
          (entry.isFile() ? readFileSync(path.join(entry.parentPath, entry.name), "utf8") : ""),
      )
      .sort();
  const before = outside();
  const files = createFiles(root);
  const { child, exited } = await swapper(root, path.join(base, target));
  const tally = new Map<string, number>();
  const seen = new Set<string>();
  const deadline = performance.now() + 20_000;
  let round = 0;
  try {
    for (; round < iterations && performance.now() < deadline; round += 1) {
      const read = await attempt(files.read(inner), tally);
      if (read instanceof Uint8Array) seen.add(Buffer.from(read).toString());
      const others = [
        () => files.write(inner, "inside"),
        () => files.write(path.join(path.dirname(inner), `new-${round % 5}.txt`), "inside"),
        () => checkPath(root, inner),
        () => files.list(path.dirname(inner)),
      ];
      await attempt(others[round % others.length]?.() ?? Promise.resolve(), tally);
    }
  } finally {
    child.kill("SIGKILL");
    await exited;
  }
  expect(round).toBe(iterations);
  expect([...seen]).toEqual(["inside"]);
  expect(outside()).toEqual(before);
  // The race was one: some attempts met the folder and some the link.
  expect(tally.get("done")).toBeGreaterThan(10);
  expect(tally.get("PATH_OUTSIDE_WORKSPACE")).toBeGreaterThan(10);
  expect([...tally.keys()].filter((code) => code.startsWith("not"))).toEqual([]);
  rmSync(base, { recursive: true, force: true });
});
