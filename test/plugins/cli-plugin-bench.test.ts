import { mkdtemp, rm, symlink } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { type CommandContext, RclawError } from "@rclaw/plugin-sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { benchFor } from "../../plugins/services/cli/author/bench.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "rclaw-bench-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Setting {
  readonly source?: string;
  readonly interactive?: boolean;
  /** One answer a question; an error is thrown instead. */
  readonly typed?: (string | Error)[];
}

/** A session whose gateway has `hello` and finds that every build asks for one more host. */
async function session({ source = folder, interactive = false, typed = [] }: Setting = {}) {
  const calls: { method: string; params: object }[] = [];
  let notes = "";
  let ended = false;
  let digest = "before";
  let hosts = ["api.example.org"];
  const answers: Record<string, (params: Record<string, unknown>) => object> = {
    "plugins.info": () => ({ id: "hello", source, digest, previous: "before" }),
    "plugins.stage": () => ({
      token: "t",
      plan: {
        id: "hello",
        digest: `build of ${hosts.join()}`,
        installed: { version: "1.0.0", digest },
        manifest: { contributes: { tools: ["hello"] } },
        asks: hosts.length > 0 ? ["widened"] : [],
        diff: { widened: hosts.map((host) => `permission net: ${host}`), narrowed: [] },
      },
    }),
    "plugins.discard": () => ({}),
    "plugins.commit": (params) => {
      digest = String(params["digest"]);
      return { id: "hello", changed: true, state: "active" };
    },
    "plugins.link": () => ({ id: "hello", state: "active", adds: ["tool hello"] }),
    "plugins.unlink": () => ({}),
  };
  const context: Partial<CommandContext> = {
    interactive,
    colour: false,
    note: (text) => void (notes += `${text}\n`),
    ask(question) {
      const answer = typed.shift();
      notes += `${question}\n`;
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? "");
    },
    call(method, params = {}) {
      calls.push({ method, params: params as object });
      return Promise.resolve(answers[method]?.(params as Record<string, unknown>));
    },
  };
  const work = { context: context as CommandContext, folder, id: "hello", end: () => void (ended = true) };
  return {
    bench: await benchFor(work, false),
    notes: () => notes,
    ended: () => ended,
    called: (method: string) => calls.filter((call) => call.method === method).map(({ params }) => params),
    asksFor: (...more: string[]) => void (hosts = more),
  };
}

test("what a build may more is agreed to on the terminal, and only then it runs", async () => {
  const { bench, notes, called } = await session({ interactive: true, typed: ["y"] });
  await bench.put();
  expect(called("plugins.stage")).toEqual([{ source: folder, update: "hello" }]);
  expect(called("plugins.commit")).toEqual([
    { token: "t", digest: "build of api.example.org", accepts: ["widened"], trial: { since: "before" } },
  ]);
  expect(notes()).toMatch(
    /asks for more than was agreed to:\n {2}\+ permission net: api\.example\.org\nIt may do more.*\n✓ hello runs: tool hello\./,
  );
  await bench.leave();
  expect(notes()).toMatch(
    /stays installed, as you last built it\.\nTo go back to what was installed before: /,
  );
});

test("a no is not asked again for the same, and nothing of that build runs", async () => {
  const { bench, notes, called, asksFor } = await session({ interactive: true, typed: ["n", "y"] });
  await bench.put();
  await bench.put();
  expect(notes().match(/It may do more/g)).toHaveLength(1);
  expect(notes()).toContain("To agree: rclaw plugin update hello --accept widened\nThe one before runs on.");
  expect(called("plugins.commit")).toEqual([]);
  expect(called("plugins.discard")).toHaveLength(2);
  asksFor("api.example.net");
  await bench.put();
  expect(called("plugins.commit")).toHaveLength(1);
  asksFor();
  await bench.put();
  expect(called("plugins.commit")[1]).toMatchObject({ accepts: [] });
  expect(notes()).toContain("✓ hello was swapped");
});

test("where nobody can answer, the command that agrees is named and nothing is widened", async () => {
  const { bench, notes, called } = await session();
  await bench.put();
  expect(notes()).toContain("To agree: rclaw plugin update hello --accept widened\nThe one before runs on.");
  expect(called("plugins.commit")).toEqual([]);
  await bench.leave();
  expect(notes()).toContain("hello stays installed, as it was.");
  expect(called("plugins.unlink")).toEqual([]);
});

test("Ctrl-C at the question leaves, and what was staged is thrown away", async () => {
  const typed = [new RclawError("ABORTED", "nothing was changed")];
  const { bench, called, ended } = await session({ interactive: true, typed });
  await bench.put();
  expect(ended()).toBe(true);
  expect(called("plugins.discard")).toEqual([{ token: "t" }]);
  expect(called("plugins.commit")).toEqual([]);
});

test("the folder is known by any of its names; any other origin is left to the gateway to judge", async () => {
  const other = `${folder}-link`;
  await symlink(folder, other);
  try {
    for (const [source, method] of [
      [other, "plugins.stage"],
      [`${folder}/hello.tgz`, "plugins.link"],
      ["npm:hello@1.0.0", "plugins.link"],
      ["./hello", "plugins.link"],
      ["", "plugins.link"],
    ] as const) {
      const { bench, called } = await session({ source });
      await bench.put();
      expect(called(method), source).toHaveLength(1);
    }
  } finally {
    await rm(other);
  }
});
