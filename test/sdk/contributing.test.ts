import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type Product, startProduct, type TempState, tempState, token } from "../support/product.ts";
import type { Client } from "../support/ws-client.ts";
import { installToolCaller } from "./tool-caller.ts";

const root = path.resolve(import.meta.dirname, "../..");
const bin = path.join(root, "node_modules/.bin");
// What a checkout has, without what is made from it.
const tree = [
  "kernel",
  "manifests",
  "plugins",
  "plugin-sdk",
  "scripts",
  "test",
  "wit",
  "package.json",
].concat(["package-lock.json", "tsconfig.base.json", "vitest.config.ts"]);

let checkout: string;
let state: TempState;
let product: Product;
let client: Client;
const letters: unknown[] = [];
const server = http.createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (text: string) => (body += text));
  request.on("end", () => {
    if (request.url === "/letters") letters.push(JSON.parse(body));
    response.end(request.url === "/generate" ? "Good morning, Ada." : "");
  });
});

async function run(command: string, args: readonly string[]): Promise<string> {
  const { PATH, HOME } = process.env;
  const child = spawn(command, args, {
    cwd: checkout,
    env: { PATH, HOME, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

/** Does what the page says: each named block becomes that file, and the copying commands are run. */
async function follow(page: string): Promise<readonly string[]> {
  const files = [...page.matchAll(/^`([\w./-]+)`:\n\n```\w+\n([\s\S]*?)^```$/gm)];
  for (const [, file = "", text = ""] of files) {
    await mkdir(path.dirname(path.join(checkout, file)), { recursive: true });
    await writeFile(path.join(checkout, file), text, { flag: "wx" });
  }
  for (const [, script = ""] of page.matchAll(/^```sh\n([\s\S]*?)^```$/gm))
    if (script.includes("test/sdk/examples/")) await run("sh", ["-e", "-c", script]);
  return files.map(([, file = ""]) => file);
}

beforeAll(async () => {
  ({ dir: checkout } = await tempState());
  for (const name of tree) {
    await cp(path.join(root, name), path.join(checkout, name), {
      recursive: true,
      filter: (from) => !["dist", "node_modules"].includes(path.basename(from)),
    });
  }
  await symlink(path.join(root, "node_modules"), path.join(checkout, "node_modules"));
  const made = await follow(await readFile(path.join(root, "CONTRIBUTING.md"), "utf8"));
  expect(made).toEqual([
    "manifests/tools/dice.json5",
    "plugins/tools/dice/dice.schema.ts",
    "plugins/tools/dice/index.ts",
    "test/plugins/dice.test.ts",
  ]);
  await run(process.execPath, ["scripts/build.mjs"]);

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state = await tempState();
  await installToolCaller(state.dir);
  process.env["RCLAW_TEST_DIST"] = path.join(checkout, "dist");
  product = await startProduct({
    stateDir: state.dir,
    config: {
      plugins: { allow: ["tool-caller"], entries: { "tool-caller": { runtime: "in-process" } } },
      models: { providers: { "text-server": { baseUrl: base, apiKey: "key-0123456789" } } },
      channels: { mailbox: { url: `${base}/letters`, allowFrom: ["ada"] } },
      agents: { defaults: { model: "text-server/small" } },
    },
  });
  client = await product.connect();
});
afterAll(async () => {
  delete process.env["RCLAW_TEST_DIST"];
  await new Promise((resolve) => server.close(resolve));
});

test("the dice of CONTRIBUTING.md are offered to the model and roll, past every gate of the policy", async () => {
  const offered = (await ask(client, "tool-caller.list")) as { name: string; description: string }[];
  expect(offered.find(({ name }) => name === "dice")?.description).toMatch(/^Roll dice/);
  const { content, details } = await ask(client, "tool-caller.call", {
    tool: "dice",
    params: { count: 2, sides: 6 },
  });
  expect(content).toMatch(/^[1-6] \+ [1-6] = \d+$/);
  expect(
    details.policy.map(({ gate, outcome }: { gate: string; outcome: string }) => [gate, outcome]),
  ).toEqual(
    ["profile", "allow-deny", "agent", "group", "sandbox", "before_tool_call"].map((gate) => [gate, "pass"]),
  );
  await expect(ask(client, "tool-caller.call", { tool: "dice", params: { count: 0 } })).rejects.toThrow(
    /invalid dice params/,
  );
});

test("the policy rules the new tool like any other", async () => {
  const { hash } = await ask(client, "config.get");
  await ask(client, "config.patch", { raw: '{ "tools": { "deny": ["dice"] } }', baseHash: hash });
  await expect(ask(client, "tool-caller.call", { tool: "dice", params: { count: 1 } })).rejects.toThrow(
    /tools\.deny refuses dice/,
  );
  const offered = (await ask(client, "tool-caller.list")) as { name: string }[];
  expect(offered.map(({ name }) => name)).not.toContain("dice");
});

test("the channel and the provider that were copied are built in, and talk to each other", async () => {
  const { plugins } = (await ask(client, "plugins.list")) as { plugins: { id: string; builtIn: boolean }[] };
  const builtIn = plugins.filter((plugin) => plugin.builtIn).map(({ id }) => id);
  expect(builtIn).toEqual(expect.arrayContaining(["dice", "mailbox", "text-server"]));
  const accepted = await fetch(`${product.http}/mailbox`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ id: "letter-1", from: "ada", text: "Good morning!" }),
  });
  expect(accepted.status).toBe(202);
  await expect
    .poll(() => letters, { timeout: 20_000 })
    .toEqual([{ id: expect.any(String), to: "ada", text: "Good morning, Ada." }]);
});

test("the test on the page passes, and so do the house's tests of manifests", async () => {
  const output = await run(path.join(bin, "vitest"), [
    "run",
    "test/plugins/dice.test.ts",
    "test/house/manifests.test.ts",
  ]);
  expect(output).toMatch(/Test Files\s+2 passed/);
});

test("the code on the page is well typed, linted and formatted", async () => {
  const files = [
    "plugins/tools/dice/index.ts",
    "plugins/tools/dice/dice.schema.ts",
    "test/plugins/dice.test.ts",
  ];
  await writeFile(
    path.join(checkout, "tsconfig.json"),
    JSON.stringify({
      extends: "./tsconfig.base.json",
      compilerOptions: {
        noEmit: true,
        types: ["node"],
        paths: {
          "@rclaw/plugin-sdk": ["./plugin-sdk/index.ts"],
          "@rclaw/plugin-sdk/testing": ["./plugin-sdk/testing/index.ts"],
        },
      },
      files,
    }),
  );
  await cp(path.join(root, ".oxlintrc.json"), path.join(checkout, ".oxlintrc.json"));
  await cp(path.join(root, ".oxfmtrc.json"), path.join(checkout, ".oxfmtrc.json"));
  await run(path.join(bin, "tsc"), ["-p", "tsconfig.json"]);
  await run(path.join(bin, "oxlint"), ["--type-aware", "--deny-warnings", ...files]);
  await run(path.join(bin, "oxfmt"), ["--check", ...files, "manifests/tools/dice.json5"]);
});

test("a plugin that is made in a checkout runs its own tests, and finds the SDK that was built with it", async () => {
  await run(process.execPath, ["dist/rclaw.cjs", "plugin", "new", "hello"]);
  expect(await run(path.join(bin, "vitest"), ["run", "--root", "hello"])).toMatch(/Test Files\s+1 passed/);
  await run(path.join(bin, "tsc"), ["-p", "hello"]);
  for (const file of ["index.js", "index.d.ts", "testing/index.js"])
    await access(path.join(checkout, "plugin-sdk/dist", file));
});
