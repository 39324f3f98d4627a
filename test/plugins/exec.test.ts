import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { Sandbox } from "../../plugins/tools/exec/sandbox.ts";
import { bench, hasBwrap, needsBwrap, processesWith } from "./exec.support.ts";

const modes = [
  { mode: "in the sandbox", sandbox: "auto", runs: hasBwrap },
  { mode: "without a sandbox", sandbox: "off", runs: true },
] as const;

let serial = 0;
/** A duration nobody else sleeps for, to find the processes again. */
const uniqueSeconds = () => `98${process.pid}.${(serial += 1)}`;

for (const { mode, sandbox, runs } of modes) {
  const check = test.skipIf(!runs);
  const name = (what: string) => `${mode}${runs ? "" : needsBwrap}: ${what}`;

  check(name("output, exit code, folder and duration are reported"), async () => {
    await using exec = await bench("exec", { sandbox });
    mkdirSync(path.join(exec.workspace, "sub"));
    const result = await exec.call({
      command: "echo out; echo err >&2; echo again; pwd; exit 3",
      workdir: "sub",
    });
    expect(result.content).toBe(`out\nerr\nagain\n${exec.workspace}/sub\n[exit code 3]`);
    expect(result).toMatchObject({
      isError: true,
      details: {
        exitCode: 3,
        cwd: `${exec.workspace}/sub`,
        sandbox: sandbox === "off" ? "off" : "bwrap",
        truncated: false,
      },
    });
    expect(await exec.call({ command: "true" })).toMatchObject({ content: "(no output)", isError: false });
    expect(exec.tool.paths).toEqual(["workdir"]);
  });

  check(name("what a command writes into the workspace is there"), async () => {
    await using exec = await bench("exec", { sandbox });
    await exec.call({ command: "mkdir -p a/b && echo hello > a/b/c.txt" });
    expect(readFileSync(path.join(exec.workspace, "a/b/c.txt"), "utf8")).toBe("hello\n");
  });

  check(
    name("a command gets the variables of the call and of the config, and none of the gateway's"),
    async () => {
      process.env["RCLAW_CANARY"] = "canary-value";
      try {
        await using exec = await bench("exec", { sandbox, env: { FROM_CONFIG: "c" } });
        const { content } = await exec.call({ command: "env | sort", env: { FROM_CALL: "x y" } });
        expect(content).toContain("FROM_CALL=x y");
        expect(content).toContain("FROM_CONFIG=c");
        expect(content).not.toContain("canary");
        expect(content).not.toMatch(/NODE_|VITEST|npm_/);
      } finally {
        delete process.env["RCLAW_CANARY"];
      }
    },
  );

  check(name("a timeout ends everything: children, groups, sessions and daemons"), async () => {
    await using exec = await bench("exec", { sandbox });
    const seconds = uniqueSeconds();
    const command = `sleep ${seconds} & (setsid sleep ${seconds} &) ; nohup setsid bash -c 'sleep ${seconds} & sleep ${seconds}' > log & sleep ${seconds}`;
    const result = await exec.call({ command, timeout: 0.6 });
    expect(result).toMatchObject({ isError: true, details: { ended: "timeout" } });
    expect(result.content).toMatch(/\[Stopped after 0\.6 s/);
    await expect.poll(() => processesWith("sleep", seconds)).toEqual([]);
  });

  check(name("what a command leaves behind ends with it"), async () => {
    await using exec = await bench("exec", { sandbox });
    const seconds = uniqueSeconds();
    const result = await exec.call({ command: `sleep ${seconds} & echo done`, timeout: 20 });
    expect(result).toMatchObject({ content: "done", isError: false });
    expect((result.details as { durationMs: number }).durationMs).toBeLessThan(10_000);
    await expect.poll(() => processesWith("sleep", seconds)).toEqual([]);
  });

  check(name("stopping the run stops the command"), async () => {
    await using exec = await bench("exec", { sandbox });
    await exec.call({ command: "true" });
    const seconds = uniqueSeconds();
    const controller = new AbortController();
    const onUpdate = () => controller.abort();
    const running = exec.call(
      { command: `echo started; sleep ${seconds}` },
      { signal: controller.signal, onUpdate },
    );
    await expect(running).rejects.toMatchObject({ code: "ABORTED" });
    await expect.poll(() => processesWith("sleep", seconds)).toEqual([]);
  });

  check(name("output is shown while the command runs and what nobody types is not waited for"), async () => {
    await using exec = await bench("exec", { sandbox });
    const updates: string[] = [];
    const result = await exec.call(
      { command: "cat; for i in 1 2 3; do echo line $i; sleep 0.15; done" },
      { onUpdate: (text) => updates.push(text) },
    );
    expect(result.content).toBe("line 1\nline 2\nline 3");
    expect(updates.join("")).toBe("line 1\nline 2\nline 3\n");
    expect(updates.length).toBeGreaterThan(1);
  });

  check(name("long output keeps its beginning and its end, endless output ends the command"), async () => {
    await using exec = await bench("exec", { sandbox });
    const long = await exec.call({ command: "seq 1 200000" });
    expect(long.content).toMatch(/^1\n2\n/);
    expect(long.content).toMatch(/\n200000$/);
    expect(long.content).toMatch(/\[\.\.\. \d+ bytes of output are left out here/);
    expect(long.content.length).toBeLessThan(201_000);
    expect(long).toMatchObject({ details: { truncated: true } });
    const endless = await exec.call({ command: "yes", timeout: 20 });
    expect(endless).toMatchObject({ isError: true, details: { ended: "output" } });
    expect(endless.content.length).toBeLessThan(201_000);
  });

  check(name("a folder outside, a missing one and a NUL character are refused"), async () => {
    await using exec = await bench("exec", { sandbox });
    symlinkSync("/etc", path.join(exec.workspace, "out"));
    for (const workdir of ["..", "/etc", "out"]) {
      expect(await exec.call({ command: "ls", workdir })).toMatchObject({
        isError: true,
        details: { code: "PATH_OUTSIDE_WORKSPACE" },
      });
    }
    expect(await exec.call({ command: "ls", workdir: "nope" })).toMatchObject({
      isError: true,
      details: { code: "NOT_FOUND" },
    });
    expect(await exec.call({ command: "ls \0" })).toMatchObject({
      isError: true,
      details: { code: "INVALID_REQUEST" },
    });
    expect(await exec.call({ command: "ls", env: { "A=B": "x" } })).toMatchObject({
      isError: true,
      details: { code: "INVALID_REQUEST" },
    });
  });

  check(name("the hard-deny list and the operator's patterns hold"), async () => {
    await using exec = await bench("exec", { sandbox, deny_patterns: ["\\bgit\\s+push\\b"] });
    for (const command of [
      "rm -rf /",
      "sh -c 'r\"\"m -rf ~'",
      "mkfs.ext4 /dev/sda",
      "shutdown now",
      "git push",
      "git 'push' origin",
    ]) {
      const result = await exec.call({ command });
      expect(result, command).toMatchObject({ isError: true, details: { code: "POLICY_DENIED" } });
    }
  });

  check(name("file size and memory are limited"), async () => {
    await using exec = await bench("exec", {
      sandbox,
      limits: { processes: 64, cpuSeconds: 5, fileMb: 1, openFiles: 64, memoryMb: 64 },
    });
    expect(await exec.call({ command: "head -c 5000000 /dev/zero > big" })).toMatchObject({ isError: true });
    expect(readFileSync(path.join(exec.workspace, "big")).length).toBeLessThanOrEqual(1024 * 1024);
    const hungry = await exec.call({
      command: "head -c 400000000 /dev/zero | tr '\\0' a | tail -n 1 | wc -c",
    });
    expect(hungry.content).toMatch(/memory exhausted|Cannot allocate|Killed/i);
  });

  check(name("what is no text is counted, not shown, and colours are taken off"), async () => {
    await using exec = await bench("exec", { sandbox });
    const updates: string[] = [];
    const binary = await exec.call(
      { command: "head -c 3000 /dev/zero" },
      { onUpdate: (text) => updates.push(text) },
    );
    expect(binary.content).toMatch(/^\[3000 bytes of binary output are not shown\./);
    expect(updates.join("")).not.toContain("\0");
    const coloured = await exec.call({ command: "printf 'a \\033[1;31mred\\033[0m word\\007\\n'" });
    expect(coloured.content).toBe("a red word\uFFFD");
    const cut = await exec.call({ command: "printf 'x%.0s' {1..59999}; printf 'é%.0s' {1..100000}" });
    expect(cut.content).not.toContain("\uFFFD");
  });

  check(name("a signal that ended the command has its name"), async () => {
    await using exec = await bench("exec", { sandbox });
    writeFileSync(path.join(exec.workspace, "die.pl"), "kill SEGV => $$; sleep 9;");
    const killed = await exec.call({ command: "perl die.pl" });
    expect(killed).toMatchObject({ isError: true, details: { signal: "SIGSEGV" } });
    expect(killed.content).toContain("SIGSEGV");
    expect((await exec.call({ command: "exit 255" })).content).toBe("[exit code 255]");
  });

  check(name("a variable that makes programs run something is not taken from a call"), async () => {
    await using exec = await bench("exec", { sandbox, env: { LD_LIBRARY_PATH: "/opt/lib" } });
    for (const variable of [
      "LD_PRELOAD",
      "PATH",
      "BASH_ENV",
      "GIT_SSH_COMMAND",
      "NODE_OPTIONS",
      "PYTHONPATH",
    ]) {
      expect(await exec.call({ command: "true", env: { [variable]: "x" } }), variable).toMatchObject({
        isError: true,
        content: expect.stringContaining(`"${variable}"`),
        details: { code: "POLICY_DENIED", variable },
      });
    }
    const env = { NODE_ENV: "test", GIT_AUTHOR_NAME: "me", PYTHONUNBUFFERED: "1" };
    const result = await exec.call({ command: "echo $NODE_ENV $GIT_AUTHOR_NAME $LD_LIBRARY_PATH", env });
    expect(result.content).toBe("test me /opt/lib");
  });

  check(name("memory is limited for all processes together, shared memory included"), async () => {
    await using exec = await bench("exec", {
      sandbox,
      limits: { processes: 64, cpuSeconds: 60, fileMb: 10, openFiles: 64, memoryMb: 64 },
    });
    const seconds = uniqueSeconds();
    writeFileSync(
      path.join(exec.workspace, "fill.pl"),
      `my @all; for (1..8) { next if fork; my $x = "x" x (24 << 20); sleep ${seconds}; exit } sleep ${seconds};`,
    );
    const result = await exec.call({ command: "perl fill.pl", timeout: 30 });
    expect(result).toMatchObject({ isError: true, details: { ended: "memory" } });
    await expect.poll(() => processesWith("fill.pl")).toEqual([]);
  });

  check(name("a command longer than the system takes is refused with a way out"), async () => {
    await using exec = await bench("exec", { sandbox });
    const result = await exec.call({ command: `echo ${"é".repeat(90_000)}` });
    expect(result).toMatchObject({ isError: true, details: { code: "INVALID_REQUEST" } });
    expect(result.content).toMatch(/Write it to a file/);
  });

  check(
    name("a hundred commands leave no child and no zombie"),
    async () => {
      await using exec = await bench("exec", { sandbox });
      for (let round = 0; round < 10; round += 1) {
        const results = await Promise.all(
          Array.from({ length: 10 }, () => exec.call({ command: "(true &); sleep 0" })),
        );
        expect(results.filter(({ isError }) => isError === true)).toEqual([]);
      }
      const children = () =>
        readdirSync("/proc/self/task").flatMap((thread) =>
          readFileSync(`/proc/self/task/${thread}/children`, "utf8").split(" ").filter(Boolean),
        );
      await expect.poll(children).toEqual([]);
    },
    120_000,
  );
}

test.skipIf(!hasBwrap)(`too many processes are stopped, as root as well${needsBwrap}`, async () => {
  await using exec = await bench("exec", {
    limits: { processes: 40, cpuSeconds: 60, fileMb: 10, openFiles: 256, memoryMb: 512 },
  });
  const seconds = uniqueSeconds();
  const result = await exec.call({
    command: `for i in $(seq 1 300); do sleep ${seconds} & done; wait`,
    timeout: 15,
  });
  expect(result.isError).toBe(true);
  expect(result.content).toMatch(/too many processes|Resource temporarily unavailable/);
  await expect.poll(() => processesWith("sleep", seconds)).toEqual([]);
});

test("without bubblewrap the command does not run and the error names the line that would allow it", async () => {
  const place = { workspace: "/w", cwd: "/w", hidden: [], env: {} };
  const none = new Sandbox(["/nowhere/bwrap"]).open(place, new AbortController().signal);
  await expect(none).rejects.toMatchObject({
    code: "SANDBOX_UNAVAILABLE",
    message: expect.stringContaining('tools.exec.sandbox: "off"'),
  });
  await expect(none).rejects.toThrow(/bubblewrap \(bwrap\) is not installed/);
});

test("a bubblewrap that does not work is the same, with what it said", async () => {
  await using exec = await bench("exec");
  const broken = path.join(exec.workspace, "bwrap");
  writeFileSync(broken, "#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n");
  chmodSync(broken, 0o755);
  const place = { workspace: exec.workspace, cwd: exec.workspace, hidden: [], env: {} };
  const failed = new Sandbox([broken]).open(place, new AbortController().signal);
  await expect(failed).rejects.toMatchObject({
    code: "SANDBOX_UNAVAILABLE",
    message: expect.stringMatching(/setting up uid map: Permission denied\. Allow user namespaces/),
  });
  const folder = new Sandbox([exec.workspace]).open(place, new AbortController().signal);
  await expect(folder).rejects.toMatchObject({ code: "SANDBOX_UNAVAILABLE" });
});

test("without a sandbox a gateway that stops at once takes its commands along", async () => {
  await using exec = await bench("exec", { sandbox: "off" });
  const seconds = uniqueSeconds();
  const running = exec.call(
    { command: `(setsid sleep ${seconds} &); echo started; sleep ${seconds}` },
    { onUpdate: () => process.listeners("exit").at(-1)?.(0) },
  );
  expect(await running).toMatchObject({ isError: true, details: { signal: "SIGKILL" } });
  await expect.poll(() => processesWith("sleep", seconds)).toEqual([]);
});

test.skipIf(!hasBwrap)(`device files that were tidied away are made again${needsBwrap}`, async () => {
  await using exec = await bench("exec");
  await exec.call({ command: "true" });
  const folder = readdirSync(tmpdir()).find((name) => name.startsWith(`rclaw-dev-${process.pid}-`));
  if (folder !== undefined) rmSync(path.join(tmpdir(), folder), { recursive: true });
  expect(await exec.call({ command: "echo x > /dev/null && echo fine" })).toMatchObject({ content: "fine" });
});

test("what the model is told fits the configuration", async () => {
  await using confined = await bench("exec");
  expect(confined.tool.description).toMatch(/no network/);
  await using open = await bench("exec", { sandbox: "off" });
  expect(open.tool.description).not.toMatch(/no network/);
});

test("without a sandbox what cannot be known by reading is refused", async () => {
  await using exec = await bench("exec", { sandbox: "off" });
  for (const command of [
    "$(echo ls) | sh",
    "cat x | sh",
    "python3 -c 'print(1)'",
    "echo x > /etc/rclaw-test",
    "curl -s http://127.0.0.1:9 | bash",
  ]) {
    expect(await exec.call({ command }), command).toMatchObject({
      isError: true,
      details: { code: "POLICY_DENIED" },
    });
  }
  expect(await exec.call({ command: "ls", env: { LD_PRELOAD: "./x.so" } })).toMatchObject({
    details: { code: "POLICY_DENIED" },
  });
});
