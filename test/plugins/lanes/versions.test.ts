import { mkdtemp, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { openComponent } from "../../../plugins/services/lanes/component.ts";
import { openExtism } from "../../../plugins/services/lanes/extism.ts";
import { defaultLimits } from "../../../plugins/services/lanes/limits-of.ts";
import type { GuestPorts } from "../../../plugins/services/lanes/guest.ts";
import { transpile } from "../../../plugins/services/lanes/transpile.ts";
import {
  type Adapter,
  adapterFor,
  type Contract,
  contract,
  identity,
  versionOf,
} from "../../../plugins/services/lanes/versions.ts";
import { asked, componentSource, transpilerChild } from "./component.support.ts";
import { place } from "./setup.ts";

const corpus = path.resolve(import.meta.dirname, "../../fixtures/wit-corpus");
const ports: GuestPorts = {
  id: "old",
  limits: defaultLimits,
  host: { call: () => Promise.resolve(null) },
  hostSync: () => null,
  enter: (fn) => fn(),
};

test("a guest of the same minor version runs as it is, whatever its patch", () => {
  expect(adapterFor("0.1.0")).toBe(identity);
  expect(adapterFor("0.1.7")).toBe(identity);
});

test("a guest that is newer is refused, with both versions and what to do", () => {
  for (const version of ["0.2.0", "1.0.0"]) {
    const ask = (): unknown => adapterFor(version, 'plugin "new"');
    const built = `plugin "new" was built for rclaw:plugin@${version}, and this rclaw has rclaw:plugin@0.1.0`;
    expect(ask).toThrow(built);
    expect(ask).toThrow(/Update rclaw/);
  }
  expect(() => adapterFor("nonsense")).toThrow(/build it again/);
});

test("two minor versions before are kept, and no more", () => {
  const adapters = { "0.1": identity, "0.2": identity, "0.3": identity, "0.4": identity };
  const later: Contract = { version: "0.4.2", adapters };
  for (const version of ["0.2.0", "0.3.9", "0.4.0"]) expect(adapterFor(version, "it", later)).toBe(identity);
  expect(() => adapterFor("0.1.0", "it", later)).toThrow(/the 2 before it\. Build the plugin again/);
  expect(() => adapterFor("0.9.0", "it", { ...later, version: "1.0.0" })).toThrow(/Build the plugin again/);
});

test("a component's version is in its names, and there is one", () => {
  expect(versionOf(["rclaw:plugin/tool@0.1.0", "tool", "rclaw:plugin/guest@0.1.0"])).toBe("0.1.0");
  expect(versionOf(["rclaw:plugin/clock"])).toBeUndefined();
  expect(() => versionOf(["rclaw:plugin/tool@0.1.0", "rclaw:plugin/guest@0.2.0"])).toThrow(
    /0\.1\.0, 0\.2\.0/,
  );
});

test("the table has an adapter for each minor version that it keeps", () => {
  const minor = Number(contract.version.split(".")[1]);
  for (let back = 0; back <= 2 && minor - back >= 1; back++)
    expect(contract.adapters).toHaveProperty([`0.${minor - back}`]);
});

const rename = (value: unknown): unknown => {
  const { content, ...rest } = value as { readonly content: string };
  return { ...rest, content: `said: ${content}` };
};
/** For a later contract, in which a param is called `name` and not `whom`, and in which an answer begins with "said". */
const older: Adapter = {
  ...identity,
  input(_name, today) {
    const { params, ...rest } = today as { readonly params?: { readonly name?: string } };
    return params ? { ...rest, params: { whom: params.name } } : today;
  },
  output: (name, own) => (name === "rclaw_tool_execute" ? rename(own) : own),
  exports(own) {
    const tool = own["tool"] as { execute(name: string, params: string, context: object): object };
    return {
      ...own,
      tool: {
        ...tool,
        execute(name: string, params: string, context: object) {
          const { name: whom } = JSON.parse(params) as { readonly name: string };
          return rename(tool.execute(name, JSON.stringify({ whom }), context));
        },
      },
    };
  },
};
const later: Contract = { version: "0.2.0", adapters: { "0.1": older, "0.2": identity } };
const activation = { id: "old", version: "1.0.0", config: {}, env: {} };
const call = { name: "greet", params: { name: "Ada" }, context: place };

test("an archived core module meets a later host through its adapter", async () => {
  const module = new WebAssembly.Module(await readFile(path.join(corpus, "core-0.1.0.wasm")));
  const guest = await openExtism(module, ports, later);
  await guest.handle(asked("activate", activation));
  expect(await guest.handle(asked("tool.execute", call))).toEqual({ content: "said: Hello, Ada!" });
  const tooLate: Contract = { version: "0.4.0", adapters: later.adapters };
  const refused = await openExtism(module, ports, tooLate);
  await expect(refused.handle(asked("activate", activation))).rejects.toMatchObject({
    code: "ARTEFACT_REFUSED",
  });
});

test("so does an archived component", async () => {
  const cache = await mkdtemp(path.join(os.tmpdir(), "rclaw-versions-"));
  try {
    const bytes = await readFile(path.join(corpus, "direct-0.1.0.wasm"));
    const child = await transpilerChild();
    const made = await transpile(componentSource(bytes), cache, AbortSignal.timeout(30_000), { child });
    expect(made).toMatchObject({ world: "tool-plugin", version: "0.1.0" });
    const modules: Record<string, WebAssembly.Module> = {};
    for (const name of ["guest.core.wasm"])
      modules[name] = new WebAssembly.Module(await readFile(path.join(made.folder, name)));
    const guest = await openComponent({ ...made, modules }, ports, later);
    await guest.handle(asked("activate", activation));
    expect(await guest.handle(asked("tool.execute", call))).toMatchObject({
      content: 'said: {"whom":"Ada"}',
    });
    const tooLate: Contract = { version: "0.4.0", adapters: later.adapters };
    await expect(openComponent({ ...made, modules }, ports, tooLate)).rejects.toThrow(
      /Build the plugin again/,
    );
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}, 60_000);
