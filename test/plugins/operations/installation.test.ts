import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lookAtInstallation } from "../../../plugins/services/operations/installation.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
let folder: string;

beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), "rclaw-installed-"))));
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
  await writeFile(path.join(folder, file), text);
}

test("what npm put there is a package", async () => {
  const at = "lib/node_modules/rclaw";
  await put(`${at}/package.json`, '{ "name": "rclaw" }');
  await put(`${at}/dist/package.json`, '{ "type": "commonjs" }');
  expect(await lookAtInstallation(path.join(folder, at, "dist"))).toEqual({
    kind: "package",
    folder: path.join(folder, at),
  });
});

test.each([
  ["on a branch", { ".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": `${sha}\n` }],
  [
    "with packed references",
    { ".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": `# pack-refs\n${sha} refs/heads/main\n` },
  ],
  ["on no branch", { ".git/HEAD": `${sha}\n` }],
  [
    "in a linked working tree",
    {
      ".git": "gitdir: ../main/.git/worktrees/copy\n",
      "../main/.git/worktrees/copy/HEAD": "ref: refs/heads/copy\n",
      "../main/.git/worktrees/copy/commondir": "../..\n",
      "../main/.git/refs/heads/copy": `${sha}\n`,
    },
  ],
])("a checkout %s tells its commit", async (_what, files) => {
  await put("here/package.json", '{ "name": "rclaw" }');
  for (const [file, text] of Object.entries(files)) await put(`here/${file}`, text);
  expect(await lookAtInstallation(path.join(folder, "here/dist"))).toEqual({
    kind: "git",
    folder: path.join(folder, "here"),
    sha,
  });
});

test("a checkout that cannot be read is one all the same, without a commit", async () => {
  await put("here/package.json", '{ "name": "rclaw" }');
  await put("here/.git/HEAD", "nonsense\n");
  expect(await lookAtInstallation(path.join(folder, "here"))).toEqual({
    kind: "git",
    folder: path.join(folder, "here"),
  });
});

test("files that lie somewhere are of unknown origin", async () => {
  await put("here/package.json", '{ "name": "rclaw" }');
  expect(await lookAtInstallation(path.join(folder, "here"))).toMatchObject({ kind: "unknown" });
});
