import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { rclaw } from "./cli-terminal.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(path.join(os.tmpdir(), "rclaw-author-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const answers = { "plugins.list": { plugins: [{ id: "telegram", builtIn: true }] } };
const make = (...line: string[]) => rclaw(["plugin", "new", ...line, "--dir", home], { answers });
const read = (...names: string[]) => readFile(path.join(home, ...names), "utf8");

test("plugin new writes a folder under the plugin's own names, and says what is next", async () => {
  const { code, out, notes } = await make("my-dice");
  expect({ code, out }).toEqual({ code: 0, out: "" });
  expect(await readdir(path.join(home, "my-dice"))).toEqual([
    ".gitignore",
    "README.md",
    "cases.json",
    "index.test.ts",
    "index.ts",
    "package.json",
    "rclaw.plugin.json5",
    "tsconfig.json",
    "vitest.config.ts",
  ]);
  const manifest = await read("my-dice/rclaw.plugin.json5");
  expect(manifest).toContain('id: "my-dice"');
  expect(manifest).toContain('name: "My dice"');
  expect(manifest).toContain('tools: ["my_dice"]');
  expect(manifest).toContain('entry: { js: "index.js", wasm: "my-dice.wasm" }');
  expect(await read("my-dice/package.json")).toMatch(/"@rclaw\/plugin-sdk": "file:.*plugin-sdk"/);
  expect(notes).toMatch(
    /Next:\n {2}cd .*my-dice\n {2}npm install\n {2}rclaw plugin build\n {2}rclaw plugin test\n {2}rclaw plugin dev/,
  );
});

describe("what is next, for who has called it with npx", () => {
  beforeEach(() => {
    vi.stubEnv("npm_command", "exec");
    vi.stubEnv("npm_lifecycle_script", "'rclaw'");
  });
  afterEach(() => vi.unstubAllEnvs());
  const passed = {
    "plugins.check": { id: "mine", runtime: "wasm", ok: true, ms: 1_000, checks: [{ name: "x", ok: true }] },
  };

  test("each step works in the folder that npx was called in", async () => {
    const shown = path.relative(process.cwd(), path.join(home, "mine"));
    const { notes } = await make("mine");
    expect(notes).toContain(
      [
        "Next:",
        `  npm install --prefix ${shown}`,
        `  npx rclaw plugin build ${shown}`,
        `  npx rclaw plugin test ${shown}`,
        `  npx rclaw plugin dev ${shown}     # swaps it in the running gateway at every save\n`,
      ].join("\n"),
    );
    expect((await rclaw(["plugin", "build", shown])).notes).toContain(`Next: npx rclaw plugin test ${shown}`);
    expect((await rclaw(["plugin", "test", shown], { answers: passed })).notes).toContain(
      `Next: npx rclaw plugin dev ${shown}, or, to install it: npx rclaw plugin add ${shown}\n`,
    );
  });

  test("so do the steps that a refusal names, and what a program reads is as ever", async () => {
    const line = ["plugin", "build", home];
    expect((await rclaw(line)).notes).toContain("rclaw: there is no plugin in");
    expect((await rclaw(line)).notes).toContain("To start one: npx rclaw plugin new <id> [NOT_FOUND]");
    expect((await rclaw(line, { json: true })).out).toContain("To start one: rclaw plugin new <id>");
    expect((await rclaw(["plugin", "new"])).notes).toContain("See: npx rclaw plugin --help");
  });

  test("what npm started otherwise is called as it is called anywhere", async () => {
    for (const [command, script] of [
      ["exec", "vitest"],
      ["exec", "some-rclaw-tool"],
      ["run", "rclaw gateway"],
      ["", ""],
    ] as const) {
      vi.stubEnv("npm_command", command);
      vi.stubEnv("npm_lifecycle_script", script);
      const { notes } = await rclaw(["plugin", "new"]);
      expect(notes, script).toContain("See: rclaw plugin --help");
    }
  });
});

test("the next step names the folder that was given, as plugin add understands it", async () => {
  await make("mine");
  const given = path.relative(process.cwd(), path.join(home, "mine"));
  const answers = { "plugins.check": { id: "mine", runtime: "wasm", ok: true, ms: 1, checks: [] } };
  expect((await rclaw(["plugin", "test", given], { answers })).notes).toContain(
    `Next: rclaw plugin dev ${given}, or, to install it: rclaw plugin add ${given}\n`,
  );
});

test.each(["ts", "rust", "go", "python", "c", "assemblyscript"])(
  "plugin new --lang %s leaves no blank to fill in",
  async (lang) => {
    expect((await make("my-dice", "--lang", lang)).code).toBe(0);
    const entries = await readdir(path.join(home, "my-dice"), { recursive: true, withFileTypes: true });
    const names = entries.filter((entry) => entry.isFile());
    expect(names.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["rclaw.plugin.json5", "cases.json", "README.md"]),
    );
    for (const { parentPath, name } of names) {
      expect(name).not.toMatch(/\{\{|\.tmpl$/);
      expect(await readFile(path.join(parentPath, name), "utf8"), name).not.toMatch(/\{\{\w+\}\}/);
    }
  },
);

test("plugin new writes nothing for an id that would be refused later", async () => {
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["My-Dice"], 2, /cannot be a plugin's id/],
    [["telegram"], 1, /a plugin "telegram" comes with rclaw; give yours another id \[CONFLICT\]/],
    [["x", "--lang", "rsut"], 2, /did you mean "rust"/],
    [["x", "--lang", "go", "--kind", "hook"], 2, /a hook is written in ts/],
  ];
  for (const [line, code, message] of cases) {
    const result = await make(...line);
    expect(result, line.join(" ")).toMatchObject({ code, out: "" });
    expect(result.notes, line.join(" ")).toMatch(message);
  }
  expect(await readdir(home)).toEqual([]);
});

test("plugin new leaves somebody's work alone", async () => {
  await mkdir(path.join(home, "mine"));
  await writeFile(path.join(home, "mine/notes.txt"), "keep");
  const { code, notes } = await make("mine");
  expect(code).toBe(1);
  expect(notes).toMatch(/mine is there and not empty, so nothing was written/);
  expect(await readdir(path.join(home, "mine"))).toEqual(["notes.txt"]);
});

test.each(["tool", "hook", "channel", "provider"])(
  "plugin build makes a %s from TypeScript",
  async (kind) => {
    await make("mine", "--kind", kind);
    const folder = path.join(home, "mine");
    const { code, out } = await rclaw(["plugin", "build", folder], { json: true });
    expect(code).toBe(0);
    const { id, outputs } = JSON.parse(out) as { id: string; outputs: { file: string; bytes: number }[] };
    expect(id).toBe("mine");
    expect(outputs.map(({ file }) => file)).toEqual(["index.js", "mine.wasm"]);
    expect((await readFile(path.join(folder, "mine.wasm"))).subarray(0, 4)).toEqual(Buffer.from("\0asm"));
    expect((await import(path.join(folder, "index.js"))) as object).toHaveProperty("default.activate");
  },
);

test("plugin build names the file and the line of a mistake", async () => {
  await make("mine");
  const file = path.join(home, "mine/index.ts");
  await writeFile(file, `${await readFile(file, "utf8")}\nconst oops = ;\n`);
  const lines = (await readFile(file, "utf8")).split("\n").length - 1;
  const { code, notes } = await rclaw(["plugin", "build", path.join(home, "mine")]);
  expect(code).toBe(1);
  expect(notes).toContain(`index.ts:${lines}:`);
});

test("plugin build says where a mistake in the manifest is, and when there is none", async () => {
  await make("mine");
  await writeFile(path.join(home, "mine/rclaw.plugin.json5"), '{\n  id: "mine",,\n}');
  expect((await rclaw(["plugin", "build", path.join(home, "mine")])).notes).toMatch(
    /rclaw\.plugin\.json5:2:\d+: invalid character/,
  );
  expect((await rclaw(["plugin", "build", home])).notes).toMatch(
    /it has no rclaw\.plugin\.json5\. To start one: rclaw plugin new <id> \[NOT_FOUND\]/,
  );
});

async function recipe(fields: object): Promise<string> {
  await make("mine", "--lang", "c");
  const folder = path.join(home, "mine");
  await writeFile(
    path.join(folder, "rclaw.build.json5"),
    JSON.stringify({ output: "hello.wasm", ...fields }),
  );
  return folder;
}

test("a recipe's command runs without a shell, and what it prints is shown", async () => {
  const script = 'require("fs").writeFileSync("hello.wasm", "x"); console.log("made", process.argv[1])';
  const folder = await recipe({ command: [process.execPath, "-e", script, "$(touch oops)"], needs: "node" });
  const { code, notes } = await rclaw(["plugin", "build", folder]);
  expect(code).toBe(0);
  expect(notes).toMatch(/^made \$\(touch oops\)\nBuilt hello\.wasm \(1 B\) in /);
  expect(await readdir(folder)).not.toContain("oops");
});

test("what a toolchain writes elsewhere is taken to where the manifest's entry is", async () => {
  const script =
    'fs.mkdirSync("out/release", { recursive: true }); fs.writeFileSync("out/release/x.wasm", "abc")';
  const folder = await recipe({
    command: [process.execPath, "-e", script],
    output: "out/release/x.wasm",
  });
  expect((await rclaw(["plugin", "build", folder])).notes).toMatch(/^Built hello\.wasm \(3 B\) in /);
  expect(await readFile(path.join(folder, "hello.wasm"), "utf8")).toBe("abc");
});

test("a missing compiler is named, with how to get it", async () => {
  const folder = await recipe({ command: ["no-such-compiler"], needs: "clang" });
  const { code, notes } = await rclaw(["plugin", "build", folder]);
  expect(code).toBe(1);
  expect(notes).toMatch(/needs clang, which is not there\.\nTo get it: apt-get install clang lld/);
});

test("a command that fails, or makes something else, fails the build", async () => {
  const failing = await recipe({ command: [process.execPath, "-e", "process.exit(4)"] });
  expect((await rclaw(["plugin", "build", failing])).notes).toContain("ended with 4");
  await writeFile(
    path.join(failing, "rclaw.build.json5"),
    JSON.stringify({ command: [process.execPath, "-e", ""], output: "other.wasm" }),
  );
  expect((await rclaw(["plugin", "build", failing])).notes).toMatch(/other\.wasm.*is not there/);
});

const checks = [
  { name: "loads within its limits", ok: true },
  { name: "tool mine: stops when it is told to", ok: true, skipped: true, detail: "no case" },
  { name: "case 1: mine {}", ok: false, detail: 'it answered "a", not "b"' },
];

test("plugin test shows each check as it comes, and fails when one does", async () => {
  await make("mine");
  const folder = path.join(home, "mine");
  const { code, out, notes, calls } = await rclaw(["plugin", "test", folder], {
    answers: {
      "plugins.check": (_params, { onEvent }) => {
        onEvent?.("plugins.check", { folder, check: checks[0] });
        onEvent?.("plugins.check", { folder: "/elsewhere", check: checks[0] });
        return { id: "mine", runtime: "wasm", ok: false, ms: 1_200, checks };
      },
    },
  });
  expect(code).toBe(1);
  expect(calls[0]?.params).toEqual({ folder });
  expect(out).toBe(
    `✓ loads within its limits
- tool mine: stops when it is told to
    no case
✗ case 1: mine {}
    it answered "a", not "b"
`,
  );
  expect(notes).toBe("mine as wasm: 1 passed, 1 failed, 1 left out, in 1.2 s.\n");
});

test("plugin dev needs a gateway on this machine", async () => {
  await make("mine");
  const folder = path.join(home, "mine");
  expect((await rclaw(["plugin", "dev", folder])).code).toBe(3);
});
