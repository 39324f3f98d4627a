import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRedactor } from "../../kernel/redact.ts";
import { createSecrets } from "../../plugins/services/storage/secrets.ts";
import { createStorage } from "../../plugins/services/storage/storage.ts";

let dir: string;
const redactor = createRedactor();
beforeEach(async () => void (dir = await mkdtemp(path.join(tmpdir(), "rclaw-storage-"))));
afterEach(() => rm(dir, { recursive: true, force: true }));

const file = (): string => path.join(dir, "plugins", "notes", "storage.json");

async function holding(text: string): Promise<void> {
  await mkdir(path.dirname(file()), { recursive: true });
  await writeFile(file(), text);
}

test.each(["42", "[]", '"notes"', "null", "true", '{"a":', ""])(
  "a file that holds %j is not taken for an empty one, and stays as it is",
  async (text) => {
    await holding(text);
    const storage = createStorage(dir).for("notes");
    const refusal = { code: "STORE_DEGRADED", message: expect.stringContaining(file()) };
    await expect(storage.get("a")).rejects.toMatchObject(refusal);
    await expect(storage.set("a", 1)).rejects.toMatchObject(refusal);
    expect(await readFile(file(), "utf8")).toBe(text);
  },
);

test("a damaged file that somebody mended counts without a restart", async () => {
  await holding("[]");
  const storage = createStorage(dir).for("notes");
  await expect(storage.get("a")).rejects.toThrow("damaged");
  await holding('{"a":1}');
  expect(await storage.get("a")).toBe(1);
});

test("what could not be stored did not happen, and is not stored with what comes after it", async () => {
  const storage = createStorage(dir).for("notes");
  await storage.set("a", "kept");
  const real = path.dirname(file());
  // The folder cannot be written for a moment, whoever runs the test.
  await rm(real, { recursive: true });
  await symlink("/proc/self/nowhere", real);
  await expect(storage.set("a", "lost")).rejects.toMatchObject({
    code: "STORE_DEGRADED",
    message: expect.stringContaining(`${file()} cannot be written`),
    retryable: true,
  });
  await expect(storage.set("b", "lost too")).rejects.toThrow();
  expect([await storage.get("a"), await storage.get("b")]).toEqual(["kept", undefined]);
  await rm(real);
  await storage.set("c", "later");
  expect(JSON.parse(await readFile(file(), "utf8"))).toEqual({ a: "kept", c: "later" });
  expect(await readdir(real)).toEqual(["storage.json"]);
});

test("the room is counted in bytes", async () => {
  const storage = createStorage(dir).for("notes");
  await expect(storage.set("a", "é".repeat(600_000))).rejects.toMatchObject({ code: "TOO_LARGE" });
  await storage.set("a", "e".repeat(600_000));
});

test.each(["42", "[]", '"x"', "null", '{"key":5}'])(
  "secrets of which the file holds %j are not taken for none, and are not written over",
  async (text) => {
    const secretsFile = path.join(dir, "secrets.json");
    await writeFile(secretsFile, text);
    const secrets = createSecrets({ stateDir: dir, redactor });
    const refusal = { code: "CONFIG_INVALID", message: expect.stringContaining(secretsFile) };
    await expect(secrets.set("other", "value")).rejects.toMatchObject(refusal);
    await expect(secrets.reload()).rejects.toMatchObject(refusal);
    expect(await readFile(secretsFile, "utf8")).toBe(text);
  },
);
