import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { tailLog } from "../../../plugins/services/operations/log-tail.ts";

let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-log-"));
  file = path.join(folder, "gateway.log");
});
beforeEach(() => rm(file, { force: true }));
afterAll(() => rm(folder, { recursive: true, force: true }));

const tail = (wanted: Parameters<typeof tailLog>[1] = {}, to: string | undefined = file) =>
  tailLog({ logFile: () => to, stateDir: folder, redactor: { text: (text) => text } }, wanted);

test("a log that is not there yet is empty", async () => {
  expect(await tail()).toEqual({ file, cursor: 0, size: 0, lines: [], truncated: false, reset: false });
});

test("one that is sent elsewhere is empty as well, and has a name", async () => {
  const { file: name, lines } = await tailLog(
    { logFile: () => undefined, stateDir: folder, redactor: { text: (text) => text } },
    {},
  );
  expect(name).toBe(path.join(folder, "logs/gateway.log"));
  expect(lines).toEqual([]);
});

test("what is polled for comes once, whole, and in order", async () => {
  await writeFile(file, "a\nb\n");
  const first = await tail();
  expect(first).toMatchObject({ cursor: 4, size: 4, lines: ["a", "b"], truncated: false, reset: false });
  expect((await tail({ cursor: 4 })).lines).toEqual([]);
  await appendFile(file, "c\nhalf");
  const second = await tail({ cursor: 4 });
  expect(second).toMatchObject({ cursor: 6, size: 10, lines: ["c"] });
  await appendFile(file, " and half\n");
  expect(await tail({ cursor: 6 })).toMatchObject({ cursor: 20, lines: ["half and half"] });
});

test("a limit keeps the newest lines", async () => {
  await writeFile(file, "a\nb\nc\n");
  expect(await tail({ limit: 2 })).toMatchObject({ lines: ["b", "c"], cursor: 6 });
});

test("too many bytes leave out the oldest, and no line is shown in part", async () => {
  await writeFile(file, "first line\nsecond line\nthird line\n");
  expect(await tail({ maxBytes: 15 })).toMatchObject({
    lines: ["third line"],
    truncated: true,
    reset: false,
  });
  // Exactly at the start of a line it is whole.
  expect((await tail({ maxBytes: 11 })).lines).toEqual(["third line"]);
  // Not even one fits.
  expect(await tail({ maxBytes: 5 })).toMatchObject({ lines: [], cursor: 34, truncated: true });
});

test("a reader who was away too long is told to begin anew", async () => {
  await writeFile(file, "a\n".repeat(50));
  expect(await tail({ cursor: 10, maxBytes: 20 })).toMatchObject({
    lines: Array.from({ length: 10 }, () => "a"),
    truncated: true,
    reset: true,
    skippedBytes: 70,
  });
});

test("a log that began anew since is shown from its start", async () => {
  await writeFile(file, "old\n".repeat(10));
  const { cursor } = await tail();
  await rename(file, `${file}.1`);
  await writeFile(file, "new\n");
  expect(await tail({ cursor })).toMatchObject({ lines: ["new"], cursor: 4, reset: true, truncated: false });
});

test("letters of several bytes are not torn apart", async () => {
  await writeFile(file, "äöü\n".repeat(4));
  for (let maxBytes = 1; maxBytes <= 28; maxBytes++) {
    for (const line of (await tail({ maxBytes })).lines) expect(line).toBe("äöü");
  }
});

test("what is no file is not waited for", async () => {
  await expect(tail({}, folder)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("log read failed"),
  });
});
