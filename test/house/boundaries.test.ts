import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const files = (dir: string): string[] =>
  readdirSync(path.join(root, dir), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.startsWith("dist") && !file.includes("node_modules"))
    .map((file) => path.posix.join(dir, file));
const source = (file: string): string => readFileSync(path.join(root, file), "utf8");
const lines = (file: string): number => source(file).split("\n").length - 1;

/** Every import of a file, relative ones resolved to repository paths. */
const imports = (file: string): string[] =>
  [...source(file).matchAll(/\b(?:from|import)\s*\(?\s*["']([^"']+)["']/g)].map(([, to = ""]) =>
    to.startsWith(".") ? path.posix.join(path.posix.dirname(file), to) : to,
  );

const rules: Record<string, (to: string, file: string) => boolean> = {
  "plugin-sdk": (to) => to.startsWith("plugin-sdk/") || to === "typebox" || to.startsWith("node:"),
  kernel: (to) => !/^(plugins|test|scripts|plugin-sdk)\//.test(to),
  plugins: (to, file) => {
    const own = file.split("/").slice(0, 3).join("/");
    return (
      to.startsWith("@rclaw/plugin-sdk") ||
      to.startsWith(`${own}/`) ||
      !/^(?:kernel|plugin-sdk|plugins|test|scripts)\//.test(to)
    );
  },
};

test.each(Object.entries(rules))("%s imports only what it may", (dir, allowed) => {
  const strays = files(dir).flatMap((file) =>
    imports(file)
      .filter((to) => !allowed(to, file))
      .map((to) => `${file} -> ${to}`),
  );
  expect(strays).toEqual([]);
});

test("the kernel names no plugin; services it knows by their interface", () => {
  const ids = readdirSync(path.join(root, "manifests"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json5"))
    .filter((file) => !/services: \[/.test(readFileSync(path.join(root, "manifests", file), "utf8")))
    .map((file) => path.basename(file, ".json5"))
    // Words of the language and of the protocol, which the kernel cannot do without.
    .filter(
      (id) =>
        !["agent", "read", "write", "edit", "exec", "cli", "webchat", "table", "approvals"].includes(id),
    );
  const strays = files("kernel").flatMap((file) => {
    const code = source(file).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    return ids
      .filter((id) => new RegExp(`["'\`./]${id}["'\`./]`).test(code))
      .map((id) => `${file} names ${id}`);
  });
  expect(strays).toEqual([]);
});

test("the kernel stays small", () => {
  expect(files("kernel").reduce((sum, file) => sum + lines(file), 0)).toBeLessThan(6_000);
});

test("no source file is longer than 500 lines", () => {
  const long = ["kernel", "plugins", "plugin-sdk", "scripts", "test"]
    .flatMap(files)
    .filter((file) => lines(file) > 500);
  expect(long).toEqual([]);
});

test("typebox is only loaded by schema files, which the build turns into plain data", () => {
  const strays = ["kernel", "plugins", "plugin-sdk"].flatMap(files).filter((file) => {
    if (file.endsWith(".schema.ts")) return false;
    return /^import (?!type\b)[^;]*from "typebox/m.test(source(file));
  });
  expect(strays).toEqual([]);
});

/**
 * One choke point per danger. Each raw call may stand in the files named here and
 * nowhere else; a new name in this list is a decision to be argued for.
 */
const chokePoints: Record<string, { raw: RegExp; allowed: readonly string[] }> = {
  "opens a network connection": {
    raw: /(?<![.\w])fetch\(|globalThis\.fetch|\bhttps?\.(?:request|get)\(|\bnet\.(?:connect|createConnection)\(|from "undici"|new WebSocket\(/,
    allowed: [
      // The guarded fetch itself.
      "plugins/services/egress",
      // The command line's own connection to its own gateway.
      "plugins/services/terminal/client.ts",
      // Runs in the browser.
      "plugins/channels/webchat/page",
    ],
  },
  "starts a program": {
    raw: /node:child_process/,
    allowed: [
      // The tool whose purpose it is, inside its sandbox.
      "plugins/tools/exec",
      // Transpiles strangers' components, with a limit of memory that only a process has.
      "plugins/services/lanes/transpile.ts",
      // Asks npm which registry it uses.
      "plugins/services/plugin-admin/registry.ts",
      // Runs the compiler that an author's build recipe names, when the author builds.
      "plugins/services/cli/author/recipe.ts",
      // Opens the browser for --ui.
      "plugins/services/terminal/browser.ts",
      // Asks the local Tailscale who is at an address.
      "plugins/services/listening/tailscale.ts",
    ],
  },
  "runs a tool": {
    raw: /\.execute\(/,
    allowed: [
      "kernel/policy/pipeline.ts",
      // The far side of a call that the pipeline let pass.
      "plugin-sdk/guest/serve.ts",
      "plugins/services/lanes/component-direct.ts",
      "plugin-sdk/templates/",
      "plugin-sdk/testing/",
    ],
  },
  "evaluates code": {
    raw: /\beval\(|new Function\(|node:vm/,
    allowed: [
      // Bounds the time an operator's own deny pattern may take.
      "plugins/tools/exec/patterns.ts",
      // V8's collector can be had there and nowhere else.
      "plugin-sdk/services/collect.ts",
    ],
  },
};

test.each(Object.entries(chokePoints))("nothing but the named files %s", (_what, { raw, allowed }) => {
  const strays = ["kernel", "plugins", "plugin-sdk"]
    .flatMap(files)
    .filter((file) => !allowed.some((name) => file.startsWith(name)))
    .filter((file) => raw.test(source(file).replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")));
  expect(strays).toEqual([]);
});
