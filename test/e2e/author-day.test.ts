import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ModelPeer, startModelPeer, toolResult } from "../support/aimock.ts";
import { builtProduct } from "../support/build.ts";
import { type Product, rclaw, startProduct, type TempState, tempState, token } from "../support/product.ts";

const poll = { timeout: 30_000, interval: 100 };
let state: TempState;
let home: TempState;
let model: ModelPeer;
let product: Product;
let folder: string;

beforeAll(async () => {
  state = await tempState();
  home = await tempState();
  model = await startModelPeer();
  const greeting = { name: "my_greeter", arguments: JSON.stringify({ whom: "Ada" }) };
  model.mock.on({ userMessage: "greet Ada", hasToolResult: false }, { toolCalls: [greeting] });
  model.mock.on({ userMessage: "greet Ada", hasToolResult: true }, (request) => ({
    content: `The tool said: ${toolResult(request)}`,
  }));
  const { config, env } = model.anthropic();
  product = await startProduct({ stateDir: state.dir, env, config });
  folder = path.join(home.dir, "my-greeter");
});
afterAll(async () => {
  await product?.[Symbol.asyncDispose]();
  await model?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
  await state?.[Symbol.asyncDispose]();
});

const run = (...args: string[]) => rclaw(state.dir, ["plugin", ...args], { env: model.anthropic().env });
/** A conversation of its own each time: the model is asked anew. */
const greet = async (session: string): Promise<string> =>
  (await rclaw(state.dir, ["agent", "-m", "greet Ada", "--session", session], { env: model.anthropic().env }))
    .stdout;

/** `plugin dev` at work, and what it printed. */
async function develop() {
  const program = path.join(await builtProduct(), "rclaw.cjs");
  const { PATH } = process.env;
  const child = spawn(process.execPath, [program, "plugin", "dev", folder], {
    env: {
      PATH,
      HOME: state.dir,
      NO_COLOR: "1",
      RUSTY_CLAW_STATE_DIR: state.dir,
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
  expect(await readdir(path.join(state.dir, "plugins"))).toEqual([]);
  expect(await state.read("config.json")).not.toContain("my-greeter");
  expect((await run("info", "my-greeter")).code).toBe(1);
});

test("it is installed, used, looked after, trusted, confined again and removed", async () => {
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

  const conflict = await run("dev", folder);
  expect(conflict.stderr).toMatch(/a plugin "my-greeter" is installed; .*rclaw plugin remove my-greeter/);

  expect((await run("panic", "--yes")).stderr).toContain("Off: my-greeter.");
  expect((await run("doctor", "my-greeter")).stdout).toContain("- my-greeter is off");
  expect((await run("remove", "my-greeter", "--yes")).code).toBe(0);
  expect((await run("info", "my-greeter")).code).toBe(1);
});
