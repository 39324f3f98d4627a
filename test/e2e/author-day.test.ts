import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { toolResult } from "../support/aimock.ts";
import { builtProduct } from "../support/build.ts";
import { freshForAll } from "../support/fresh.ts";
import { rclaw, type TempState, tempState, token } from "../support/product.ts";

const poll = { timeout: 30_000, interval: 100 };
const product = freshForAll({ model: "anthropic" });
let home: TempState;

let folder: string;
beforeAll(async () => {
  const { model } = product;
  const greeting = { name: "my_greeter", arguments: JSON.stringify({ whom: "Ada" }) };
  model.mock.on({ userMessage: "greet Ada", hasToolResult: false }, { toolCalls: [greeting] });
  model.mock.on({ userMessage: "greet Ada", hasToolResult: true }, (request) => ({
    content: `The tool said: ${toolResult(request)}`,
  }));
  home = await tempState();
  folder = path.join(home.dir, "my-greeter");
});

const run = (...args: string[]) =>
  rclaw(product.stateDir, ["plugin", ...args], { env: product.model.anthropic().env });
/** A conversation of its own each time: the model is asked anew. */
const greet = async (session: string): Promise<string> =>
  (
    await rclaw(product.stateDir, ["agent", "-m", "greet Ada", "--session", session], {
      env: product.model.anthropic().env,
    })
  ).stdout;

/** `plugin dev` at work, and what it printed. */
async function develop() {
  const program = path.join(await builtProduct(), "rclaw.cjs");
  const { PATH } = process.env;
  const child = spawn(process.execPath, [program, "plugin", "dev", folder], {
    env: {
      PATH,
      HOME: product.stateDir,
      NO_COLOR: "1",
      RUSTY_CLAW_STATE_DIR: product.stateDir,
      RUSTY_CLAW_GATEWAY_TOKEN: token,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let shown = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (shown += text));
  const gone = once(child, "close").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return {
    shown: () => shown,
    async leave() {
      child.kill("SIGINT");
      return gone;
    },
    [Symbol.dispose]: () => void (child.exitCode === null && child.kill("SIGKILL")),
  };
}

async function edit(from: string | RegExp, to: string): Promise<void> {
  const file = path.join(folder, "index.ts");
  await writeFile(file, (await readFile(file, "utf8")).replace(from, to));
}

test("a plugin is started, built and tried out by somebody who has never written one", async () => {
  expect((await run("new", "my-greeter", "--dir", home.dir)).code).toBe(0);
  const early = await run("test", folder);
  expect(early.stderr).toMatch(/my-greeter\.wasm is not there; build the plugin first: rclaw plugin build/);
  const built = await run("build", folder);
  expect(built.stderr).toMatch(/^Built index\.js \(\d+ B\) and my-greeter\.wasm \(1\.\d MB\) in /);
  const tested = await run("test", folder);
  expect(
    tested.stdout
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("✓")),
  ).toEqual([]);
  expect(tested.stderr).toMatch(/^my-greeter as wasm: 13 passed, in /);
  expect(tested.code).toBe(0);
});

test("plugin dev: every save runs in the gateway, a mistake does not, and nothing stays behind", async () => {
  using session = await develop();
  await expect.poll(session.shown, poll).toMatch(/✓ my-greeter runs: tool my_greeter\n.*Watching/s);
  expect(await greet("one")).toBe("The tool said: Hello, Ada!\n");
  await expect.poll(session.shown, poll).toMatch(/info {2}greeted {2}times=1/);

  await edit("Hello, ${whom}", "Good evening, ${whom}");
  await expect.poll(session.shown, poll).toContain("✓ my-greeter was swapped");
  expect(await greet("two")).toBe("The tool said: Good evening, Ada!\n");

  await edit("Good evening, ${whom}", "Good night, ${oops(");
  await expect.poll(session.shown, poll).toMatch(/✗ .*index\.ts:\d+:\d+: .*The one before runs on\./s);
  expect(await greet("three")).toBe("The tool said: Good evening, Ada!\n");

  await edit("Good night, ${oops(", "Good evening, ${whom}");
  expect(await session.leave()).toBe(0);
  expect(session.shown()).toContain("my-greeter was taken out of the gateway again");
  expect(await readdir(path.join(product.stateDir, "plugins"))).toEqual([]);
  expect(await product.state.read("config.json")).not.toContain("my-greeter");
  expect((await run("info", "my-greeter")).code).toBe(1);
});

test("it is installed, used, looked after, trusted and confined again", async () => {
  expect((await run("build", folder)).code).toBe(0);
  expect(await run("add", folder, "--yes")).toMatchObject({ code: 0 });
  expect(await greet("four")).toBe("The tool said: Good evening, Ada!\n");

  const top = await run("top", "--json");
  expect((JSON.parse(top.stdout) as { plugins: object[] }).plugins).toContainEqual(
    expect.objectContaining({ id: "my-greeter", runtime: "wasm", calls: 1, failures: 0 }),
  );
  const doctor = await run("doctor", "my-greeter");
  expect(doctor).toMatchObject({ code: 0, stdout: "✓ my-greeter runs as wasm\n" });
  expect((await run("logs", "my-greeter")).stdout).toMatch(/info {2}greeted {2}times=1\n$/);

  expect((await run("isolate", "my-greeter", "worker")).stderr).toMatch(/rclaw plugin trust my-greeter/);
  expect((await run("trust", "my-greeter", "--runtime", "worker", "--yes")).stderr).toContain(
    "my-greeter runs as worker, from now on.",
  );
  expect(await greet("five")).toBe("The tool said: Good evening, Ada!\n");
  expect((await run("isolate", "my-greeter", "wasm")).code).toBe(0);
});

const locked = async (): Promise<{ digest: string; previous?: { digest: string } }> =>
  (
    JSON.parse(await product.state.read("plugins/rclaw.lock")) as {
      plugins: { "my-greeter": { digest: string } };
    }
  ).plugins["my-greeter"];

test("plugin dev of one that is installed from its folder: every build is an update of it", async () => {
  const before = await locked();
  using session = await develop();
  await expect.poll(session.shown, poll).toMatch(/✓ my-greeter runs: tool my_greeter\. It is installed/);
  await edit("Good evening, ${whom}", "Good morning, ${whom}");
  await expect.poll(session.shown, poll).toContain("✓ my-greeter was swapped");
  expect(await greet("six")).toBe("The tool said: Good morning, Ada!\n");
  const swapped = await locked();
  expect(swapped.previous?.digest).toBe(before.digest);

  await edit("activate(ctx) {", 'activate(ctx) {\n    if (ctx) throw new Error("no luck");');
  await expect.poll(session.shown, poll).toMatch(/✗ .*did not come to life.*The one before runs on\./s);
  expect(await greet("seven")).toBe("The tool said: Good morning, Ada!\n");
  expect(await locked()).toEqual(swapped);

  const manifest = path.join(folder, "rclaw.plugin.json5");
  const said = await readFile(manifest, "utf8");
  await writeFile(manifest, said.replace("permissions: {},", 'permissions: { net: ["api.example.org"] },'));
  await edit(/\n {4}if \(ctx\) throw .*/, "");
  await expect
    .poll(session.shown, poll)
    .toMatch(
      /asks for more than was agreed to:\n {2}\+ permission net: api\.example\.org\nTo agree: rclaw plugin update my-greeter --accept widened\nThe one before runs on\./,
    );
  expect(await locked()).toEqual(swapped);
  await writeFile(manifest, said);
  await edit("Good morning, ${whom}", "Good day, ${whom}");
  await expect.poll(session.shown, poll).toMatch(/swapped.*swapped/s);
  await expect.poll(() => greet(`eight-${Date.now()}`), poll).toBe("The tool said: Good day, Ada!\n");

  expect(await session.leave()).toBe(0);
  expect(session.shown()).toMatch(
    /my-greeter stays installed, as you last built it\.\nTo go back to what was installed before: rclaw plugin rollback my-greeter\n/,
  );
  expect((await run("rollback", "my-greeter")).code).toBe(0);
  expect(await locked()).toMatchObject({ digest: before.digest });
  expect(await greet("nine")).toBe("The tool said: Good evening, Ada!\n");
});

test("it is removed, and one that comes from elsewhere is not worked on in its place", async () => {
  expect((await run("panic", "--yes")).stderr).toContain("Off: my-greeter.");
  expect((await run("doctor", "my-greeter")).stdout).toContain("- my-greeter is off");
  expect((await run("remove", "my-greeter", "--yes")).code).toBe(0);
  expect((await run("info", "my-greeter")).code).toBe(1);
  expect(await readdir(path.join(product.stateDir, "plugins"))).toEqual(["rclaw.lock"]);

  expect((await run("pack", folder, "--out", home.dir)).code).toBe(0);
  const [packed = ""] = (await readdir(home.dir)).filter((name) => name.endsWith(".tgz"));
  await rclaw(product.stateDir, ["config", "unset", "plugins.enabled"]);
  expect((await run("add", path.join(home.dir, packed), "--yes")).code).toBe(0);
  const refused = await run("dev", folder);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`"my-greeter" was installed from ${path.join(home.dir, packed)};`);
  expect(refused.stderr).toContain(`rclaw plugin add ${folder}, or take the other away`);
  expect((await run("remove", "my-greeter", "--yes")).code).toBe(0);
  expect(await readdir(path.join(product.stateDir, "plugins"))).toEqual(["rclaw.lock"]);
  const cached = await readdir(path.join(product.stateDir, "cache"), { recursive: true });
  expect(cached.sort()).toEqual(["components", "offers", "uses"]);
});
