import { execFileSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { isRclawError } from "@rclaw/plugin-sdk";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkPath, createFiles, type FilesOptions } from "../../plugins/services/files/files.ts";

let base = "";
let root = "";
let outsideFile = "";

beforeEach(() => {
  base = mkdtempSync(path.join(tmpdir(), "rclaw-files-"));
  root = path.join(base, "workspace");
  outsideFile = path.join(base, "secret.txt");
  mkdirSync(path.join(root, "sub"), { recursive: true });
  writeFileSync(outsideFile, "secret");
  writeFileSync(path.join(root, "a.txt"), "inside");
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return isRclawError(error) ? error.code : `not an RclawError: ${String(error)}`;
  }
  return "no error";
}

/** Everything outside the workspace, with its content. */
function world(): string {
  return JSON.stringify(
    readdirSync(base)
      .filter((name) => name !== "workspace")
      .map((name) => [name, readFileSync(path.join(base, name), "utf8")]),
  );
}

describe.each<NonNullable<FilesOptions["pin"]>>(["descriptor", "path"])("files held by %s", (pin) => {
  const files = (options: FilesOptions = {}) => createFiles(root, { pin, ...options });

  test("read, write and list work with relative paths and with absolute ones inside", async () => {
    await files().write("new/deep/b.txt", "héllo");
    expect(Buffer.from(await files().read(path.join(root, "new/deep/b.txt"))).toString()).toBe("héllo");
    expect(Buffer.from(await files().read("./sub/../a.txt")).toString()).toBe("inside");
    expect(await files().list(".")).toEqual([
      { name: "a.txt", kind: "file", size: 6 },
      { name: "new", kind: "folder", size: 0 },
      { name: "sub", kind: "folder", size: 0 },
    ]);
    expect(await files().list("new/deep")).toEqual([{ name: "b.txt", kind: "file", size: 6 }]);
  });

  test.each([
    "../secret.txt",
    "sub/../../secret.txt",
    "/etc/passwd",
    "/etc/shadow",
    "~/.ssh/id_rsa",
    "~root/x",
    "@/etc/passwd",
    "file:///etc/passwd",
    "FILE:/etc/passwd",
    "http://x/y",
    "\\\\host\\share",
    "a.txt\0.png",
    "x".repeat(5000),
    "../workspace-other/x",
  ])("a path that leaves is refused and nothing is touched: %j", async (file) => {
    const before = world();
    expect(await codeOf(files().read(file))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(files().write(file, "x"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(files().list(file))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(checkPath(root, file, { pin }))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(world()).toBe(before);
  });

  test("the folder beside the workspace that begins with its name is outside", async () => {
    writeFileSync(`${root}-x`, "secret");
    expect(await codeOf(files().read(`${root}-x`))).toBe("PATH_OUTSIDE_WORKSPACE");
  });

  test("symbolic links that leave are refused as a file, as a folder and dangling", async () => {
    symlinkSync(outsideFile, path.join(root, "leaf"));
    symlinkSync(base, path.join(root, "parent"));
    symlinkSync(path.join(base, "not-there"), path.join(root, "dangling"));
    symlinkSync("../..", path.join(root, "sub/up"));
    symlinkSync("parent", path.join(root, "indirect"));
    const before = world();
    for (const file of [
      "leaf",
      "parent/secret.txt",
      "parent/new.txt",
      "dangling",
      "sub/up/x",
      "indirect/secret.txt",
      "parent/x/y/z",
    ]) {
      expect(await codeOf(files().read(file)), file).toBe("PATH_OUTSIDE_WORKSPACE");
      expect(await codeOf(files().write(file, "x")), file).toBe("PATH_OUTSIDE_WORKSPACE");
      expect(await codeOf(checkPath(root, file, { pin })), file).toBe("PATH_OUTSIDE_WORKSPACE");
    }
    expect(await codeOf(files().list("parent"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(world()).toBe(before);
    expect(existsSync(path.join(base, "not-there"))).toBe(false);
  });

  test("a symbolic link that stays inside is followed for reading and as a folder, never written through", async () => {
    symlinkSync("a.txt", path.join(root, "link.txt"));
    symlinkSync(path.join(root, "sub"), path.join(root, "folder"));
    symlinkSync("loop", path.join(root, "loop"));
    expect(Buffer.from(await files().read("link.txt")).toString()).toBe("inside");
    await files().write("folder/new.txt", "x");
    expect(readFileSync(path.join(root, "sub/new.txt"), "utf8")).toBe("x");
    expect(await codeOf(files().write("link.txt", "x"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(files().read("loop"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await checkPath(root, "folder/new.txt", { pin })).toBe(path.join(root, "sub/new.txt"));
  });

  test("a file with a second hard link is neither read nor written", async () => {
    linkSync(outsideFile, path.join(root, "hard"));
    expect(await codeOf(files().read("hard"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(files().write("hard", "x"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(await codeOf(checkPath(root, "hard", { pin }))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(readFileSync(outsideFile, "utf8")).toBe("secret");
  });

  test("pipes, sockets, devices and folders are no regular files, and nothing blocks on them", async () => {
    execFileSync("/usr/bin/env", ["mkfifo", path.join(root, "pipe")]);
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(path.join(root, "socket"), resolve));
    try {
      for (const file of ["pipe", "socket"]) {
        expect(await codeOf(files().read(file)), file).toBe("NOT_REGULAR_FILE");
        expect(await codeOf(files().write(file, "x")), file).toBe("NOT_REGULAR_FILE");
        expect(await codeOf(checkPath(root, file, { pin })), file).toBe("NOT_REGULAR_FILE");
      }
      expect(
        (await files().list(".")).filter(({ kind }) => kind === "other").map(({ name }) => name),
      ).toEqual(["pipe", "socket"]);
    } finally {
      await new Promise((resolve) => void server.close(resolve));
    }
    for (const file of ["sub", "."]) {
      expect(await codeOf(files().read(file))).toBe("NOT_REGULAR_FILE");
      expect(await codeOf(files().write(file, "x"))).toBe("NOT_REGULAR_FILE");
    }
    expect(await codeOf(files().list("a.txt"))).toBe("NOT_REGULAR_FILE");
    expect(await codeOf(files().write("a.txt/b", "x"))).toBe("NOT_REGULAR_FILE");
  });

  test.each([
    ".git/hooks/pre-commit",
    ".git/config",
    ".git/modules/x/hooks/post-checkout",
    "sub/.git/config.worktree",
    ".git",
    ".bashrc",
    ".BASHRC",
    ".profile",
    ".zshrc",
    ".npmrc",
    ".env",
    ".env.production",
    ".ssh/authorized_keys",
    ".netrc",
    ".gitconfig",
    ".rusty_claw/config.json",
    ".Git/Hooks/x",
    ".g\u200Bit/hooks/x",
    ".ｎpmrc",
    ".npmrc.",
    ".bas\u0300hrc",
    ".gi\u0301t/config",
  ])("a file that other programs run or trust is not written: %j", async (file) => {
    expect(await codeOf(files().write(file, "x"))).toBe("POLICY_DENIED");
    expect(readdirSync(root).sort()).toEqual(["a.txt", "sub"]);
  });

  test("a protected name is not reached through a link either", async () => {
    mkdirSync(path.join(root, ".git/hooks"), { recursive: true });
    symlinkSync(".git/hooks", path.join(root, "h"));
    expect(await codeOf(files().write("h/pre-commit", "x"))).toBe("POLICY_DENIED");
    expect(readdirSync(path.join(root, ".git/hooks"))).toEqual([]);
  });

  test("the gateway's state stays closed inside the workspace and matters nowhere else", async () => {
    mkdirSync(path.join(root, "state/sessions"), { recursive: true });
    writeFileSync(path.join(root, "state/secrets.json"), "{}");
    symlinkSync("state", path.join(root, "s"));
    const closed = files({ closed: [path.join(root, "state"), base] });
    for (const file of ["state/secrets.json", "s/secrets.json", "state"]) {
      expect(await codeOf(closed.read(file)), file).toBe("PATH_OUTSIDE_WORKSPACE");
      expect(await codeOf(closed.write(file, "x")), file).toBe("PATH_OUTSIDE_WORKSPACE");
    }
    expect(await codeOf(closed.list("state/sessions"))).toBe("PATH_OUTSIDE_WORKSPACE");
    expect(Buffer.from(await closed.read("a.txt")).toString()).toBe("inside");
  });

  test("a write replaces the file as a whole, keeps its mode and leaves no other file", async () => {
    chmodSync(path.join(root, "a.txt"), 0o750);
    const inode = statSync(path.join(root, "a.txt")).ino;
    await files().write("a.txt", new Uint8Array([0, 1, 2]));
    const stat = statSync(path.join(root, "a.txt"));
    expect([...readFileSync(path.join(root, "a.txt"))]).toEqual([0, 1, 2]);
    expect(stat.mode & 0o777).toBe(0o750);
    expect(stat.ino).not.toBe(inode);
    expect(readdirSync(root).sort()).toEqual(["a.txt", "sub"]);
  });

  test("a write that fails leaves the old file and nothing else", async () => {
    await expect(files().write("a.txt", { not: "data" } as unknown as string)).rejects.toThrow();
    expect(readFileSync(path.join(root, "a.txt"), "utf8")).toBe("inside");
    expect(readdirSync(root).sort()).toEqual(["a.txt", "sub"]);
  });

  test("many writers of one file leave one of their contents, whole", async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => files().write("same.txt", String(index % 10).repeat(50_000))),
    );
    expect(readFileSync(path.join(root, "same.txt"), "utf8")).toMatch(/^(\d)\1{49999}$/);
    expect(readdirSync(root).sort()).toEqual(["a.txt", "same.txt", "sub"]);
  });

  test("a missing file says so, an empty path and a file that is too large as well", async () => {
    expect(await codeOf(files().read("no.txt"))).toBe("NOT_FOUND");
    expect(await codeOf(files().read("no/no.txt"))).toBe("NOT_FOUND");
    expect(await codeOf(files().list("no/no"))).toBe("NOT_FOUND");
    expect(existsSync(path.join(root, "no"))).toBe(false);
    expect(await codeOf(files().read(""))).toBe("INVALID_REQUEST");
    expect(await codeOf(files().read("a.txt", { maxBytes: 5 }))).toBe("TOO_LARGE");
    expect(Buffer.from(await files().read("a.txt", { maxBytes: 6 })).toString()).toBe("inside");
    expect(await checkPath(root, "no/no.txt", { pin })).toBe(path.join(root, "no/no.txt"));
  });

  test("no descriptor stays open", async () => {
    const open = () => readdirSync("/proc/self/fd").length;
    symlinkSync(outsideFile, path.join(root, "leaf"));
    await files().read("a.txt");
    const before = open();
    for (let round = 0; round < 20; round += 1) {
      await files().write(`sub/${round}/x.txt`, "x");
      await codeOf(files().read("leaf"));
      await codeOf(files().read("sub/nope/x"));
      await files().list("sub");
      await codeOf(checkPath(root, "leaf", { pin }));
    }
    expect(open()).toBeLessThanOrEqual(before + 1);
  });

  test("a workspace that is itself a link is a workspace", async () => {
    symlinkSync(root, path.join(base, "alias"));
    const aliased = createFiles(path.join(base, "alias"), { pin });
    expect(Buffer.from(await aliased.read(path.join(base, "alias/a.txt"))).toString()).toBe("inside");
    expect(Buffer.from(await aliased.read(path.join(root, "a.txt"))).toString()).toBe("inside");
  });
});
