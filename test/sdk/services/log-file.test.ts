import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { logFileOf, openLogFile } from "@rclaw/plugin-sdk/services/log-file";
import { expect, test } from "vitest";

async function folder(): Promise<{ at: string } & AsyncDisposable> {
  const at = await mkdtemp(path.join(tmpdir(), "rclaw-log-"));
  return { at, [Symbol.asyncDispose]: () => rm(at, { recursive: true, force: true }) };
}

test.each([
  [{}, "/state/logs/gateway.log"],
  [{ logging: { file: "my.log" } }, "/state/my.log"],
  [{ logging: { file: "/var/log/rclaw.log" } }, "/var/log/rclaw.log"],
  [{ logging: { file: false } }, undefined],
])("%j puts the log at %s", (config, file) => {
  expect(logFileOf(config, "/state")).toBe(file);
});

test("a log takes no more room than two files, and nobody else can read them", async () => {
  await using place = await folder();
  const file = path.join(place.at, "logs", "gateway.log");
  const log = openLogFile(file);
  const line = `${"x".repeat(1_048_575)}\n`;
  for (let i = 0; i < 30; i++) log.write(line);
  expect((await readdir(path.dirname(file))).toSorted()).toEqual(["gateway.log", "gateway.log.1"]);
  for (const name of [file, `${file}.1`]) {
    const { size, mode } = await stat(name);
    expect(size).toBeLessThan(12 * 1_048_576);
    expect(mode & 0o777).toBe(0o600);
  }
});

test("a log whose file was taken away begins another", async () => {
  await using place = await folder();
  const file = path.join(place.at, "gateway.log");
  const log = openLogFile(file);
  log.write("one\n");
  await rm(file);
  log.write("two\n");
  expect(await readFile(file, "utf8")).toBe("two\n");
});

test.skipIf(process.platform !== "linux")("ten thousand lines keep no descriptor open", async () => {
  await using place = await folder();
  const log = openLogFile(path.join(place.at, "gateway.log"));
  const before = (await readdir("/proc/self/fd")).length;
  for (let i = 0; i < 10_000; i++) log.write(`line ${i}\n`);
  expect((await readdir("/proc/self/fd")).length).toBeLessThanOrEqual(before + 1);
});
