import { spawnSync } from "node:child_process";
import path from "node:path";
import { buildSync } from "esbuild";
import type { HttpRequest } from "@rclaw/plugin-sdk/boundary/calls";
import { RclawError } from "@rclaw/plugin-sdk";
import { beforeAll, describe, expect, test } from "vitest";
import { buildAssemblyScript } from "../../support/assemblyscript.ts";
import { openGuest, place } from "./extism.support.ts";

let wasm: Buffer;
beforeAll(async () => {
  wasm = await buildAssemblyScript("attacks");
}, 120_000);

/** The same module with one of its words changed: another ABI, another export, another import. */
function edited(from: string, to: string, encoding: BufferEncoding = "utf8"): Uint8Array {
  const [before, after] = [Buffer.from(from, encoding), Buffer.from(to, encoding)];
  expect(after).toHaveLength(before.length);
  const copy = Buffer.from(wasm);
  for (let at = copy.indexOf(before); at >= 0; at = copy.indexOf(before, at + 1)) after.copy(copy, at);
  return copy;
}

const refused = (code: string, message: RegExp | string = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error;

describe("a guest at work", () => {
  test("offers what it describes, and nothing that a core module cannot have", async () => {
    await using guest = await openGuest(wasm);
    expect(await guest.activate()).toEqual({
      tools: [
        {
          name: "attack",
          description: "Attacks.",
          params: { type: "object" },
          paths: ["path"],
          timeoutMs: 500,
        },
      ],
      hooks: [{ name: "before_tool_call", priority: 3 }],
      channels: [],
      providers: [],
      methods: [],
      routes: [],
      commands: [],
    });
    expect(guest.guest.memoryBytes()).toBeGreaterThan(0);
  });

  test("is given its settings before its first call", async () => {
    await using guest = await openGuest(wasm);
    await guest.activate({ greeting: "hi " });
    expect(await guest.tool("calls")).toEqual({ content: "hi 1" });
    expect(await guest.tool("calls")).toEqual({ content: "hi 2" });
  });

  test("is told who calls", async () => {
    await using guest = await openGuest(wasm);
    expect(await guest.tool("context")).toEqual({ content: place.sessionKey });
  });

  test("refuses its settings in its own words", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.activate({ refuse: true })).rejects.toEqual(
      refused("CONFIG_INVALID", "I do not want to"),
    );
  });

  test("answers hooks: nothing, a change, or a failure", async () => {
    await using guest = await openGuest(wasm);
    const hook = (toolName: string) =>
      guest.ask("hook", {
        index: 0,
        name: "before_tool_call",
        event: { toolName, params: {} },
        context: {},
      });
    expect(await hook("read")).toBeNull();
    expect(await hook("exec")).toEqual({ block: true, blockReason: "no" });
    await expect(hook("odd")).rejects.toEqual(refused("PLUGIN_FAILED", "hook before_tool_call"));
    await expect(hook("crash")).rejects.toEqual(refused("PLUGIN_FAILED", "rclaw_hook crashed"));
  });

  test("fails in its own words, with a code that exists", async () => {
    await using guest = await openGuest(wasm);
    const fail = (code: string) =>
      guest.tool("raw", { text: JSON.stringify({ err: { code, message: "m", details: { a: 1 } } }) });
    await expect(fail("NOT_FOUND")).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: "m",
      details: { a: 1 },
    });
    await expect(fail("WOW")).rejects.toEqual(refused("PLUGIN_FAILED", /^m$/));
    await expect(guest.tool("error", { text: "boo" })).rejects.toEqual(refused("PLUGIN_FAILED", "boo"));
    expect(await guest.tool("calls")).toEqual({ content: "4" });
  });

  test("keeps variables between calls, by the byte", async () => {
    await using guest = await openGuest(wasm, { limits: { hostBytes: 1_000 } });
    await guest.tool("set", { text: "a", count: 300 }).catch(() => undefined);
    expect(await guest.tool("get", { text: "a" })).toEqual({ content: "300" });
    await guest.tool("set", { text: "a", count: 0 }).catch(() => undefined);
    expect(await guest.tool("get", { text: "a" })).toEqual({ content: "nothing" });
  });

  test("takes turns: ten calls at once get ten answers of their own", async () => {
    await using guest = await openGuest(wasm);
    const answers = await Promise.all(Array.from({ length: 10 }, () => guest.tool("calls")));
    expect(answers.map(({ content }) => content)).toEqual([
      "1",
      "2",
      "3",
      "4",
      "5",
      "6",
      "7",
      "8",
      "9",
      "10",
    ]);
  });
});

describe("what is no plugin is refused before any of it runs", () => {
  const abi = "rclaw:plugin@0.1.0";

  test("another ABI", async () => {
    const bytes = edited(abi, abi.replace("0.1.0", "9.1.0"), "utf16le");
    await using guest = await openGuest(bytes);
    await expect(guest.activate()).rejects.toEqual(
      refused("ARTEFACT_REFUSED", /9\.1\.0.*newer. Update rclaw/),
    );
  });

  test("a module without rclaw_describe", async () => {
    await expect(openGuest(edited("rclaw_describe", "rclaw_descripe"))).rejects.toEqual(
      refused("ARTEFACT_REFUSED", "no function rclaw_describe"),
    );
  });

  test.each([
    ["rclaw_call", "rclaw_kall"],
    ["path_open", "path_0pen"],
    ["extism:host/user", "extism:host/usor"],
    ["wasi_snapshot_preview1", "wasi_snapshot_preview9"],
    ["proc_exit", "__proto__"],
  ])("an import that there is not: %s as %s", async (from, to) => {
    await expect(openGuest(edited(from, to))).rejects.toEqual(refused("ARTEFACT_REFUSED", to));
  });

  test("an export that is missing is an answer, never a success", async () => {
    await using guest = await openGuest(edited("rclaw_hook", "rclaw_hoop"));
    await guest.activate();
    const event = { toolName: "exec", params: {} };
    await expect(
      guest.ask("hook", { index: 0, name: "before_tool_call", event, context: {} }),
    ).rejects.toEqual(refused("INVALID_REQUEST", "no function rclaw_hook"));
    await expect(guest.ask("channel.start", { id: "x" })).rejects.toEqual(
      refused("INVALID_REQUEST", "channel.start"),
    );
  });
});

describe("after a crash the next call finds a fresh instance with its settings", () => {
  test.each([
    ["trap", {}, /crashed: unreachable/],
    ["recurse", {}, /ran out of stack/],
    ["exit", { count: 3 }, /exit code 3/],
    ["alloc", { address: "99999999" }, /16777216 bytes of the host's memory/],
    ["alloc", { address: "18446744073709551615" }, /16777216 bytes of the host's memory/],
    ["blocks", { count: 30_000 }, /20000 blocks/],
    ["output", { count: 2_000_000 }, /more than 1048576 bytes/],
    ["spin", { count: 5_000 }, /more than 1000 times/],
  ])("%s %j", async (what, params, message) => {
    await using guest = await openGuest(wasm);
    await guest.activate({ greeting: "hi " });
    await guest.tool("calls");
    await guest.tool("set", { text: "a", count: 3 }).catch(() => undefined);
    await expect(guest.tool(what, params)).rejects.toThrow(message);
    expect(await guest.tool("calls")).toEqual({ content: "hi 1" });
    expect(await guest.tool("get", { text: "a" })).toEqual({ content: "nothing" });
  });

  test("the codes say what kind of limit it was", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("output", { count: 2_000_000 })).rejects.toEqual(refused("TOO_LARGE"));
    await expect(guest.tool("alloc", { address: "99999999" })).rejects.toEqual(refused("TOO_LARGE"));
    await expect(guest.tool("spin", { count: 5_000 })).rejects.toEqual(refused("RATE_LIMITED"));
  });

  test("blocks are given back between calls", async () => {
    await using guest = await openGuest(wasm);
    for (let round = 0; round < 5; round++) {
      await guest.tool("blocks", { count: 15_000 }).catch(() => undefined);
      expect(await guest.tool("calls")).toEqual({ content: String(2 * round + 2) });
    }
  });

  test("settings that crash it are an error at every call, not a guest without settings", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.activate({ crash: true })).rejects.toEqual(refused("PLUGIN_FAILED", "rclaw_init"));
  });
});

describe("addresses that a guest makes up reach nothing (SEC-188)", () => {
  const far = ["99999999999999999", "18446744073709551615", "9223372036854775808", "281474976710655000"];

  test.each(far)("rclaw_call at %s", async (address) => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("call-at", { address })).rejects.toEqual(
      refused("PLUGIN_FAILED", "an address of nothing"),
    );
    expect(await guest.tool("calls")).toEqual({ content: "1" });
  });

  test.each(far)("reading, writing, logging and answering at %s", async (address) => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("load-at", { address })).rejects.toThrow("crashed");
    await guest.tool("store-at", { address }).catch(() => undefined);
    await guest.tool("log-at", { address }).catch(() => undefined);
    await expect(guest.tool("output-at", { address, count: 1 })).rejects.toThrow("an address of nothing");
    expect(guest.log).toEqual([]);
  });

  test("more of a block than there is", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("output-at", { address: "281474976710656", count: 100_000 })).rejects.toThrow(
      "more than it has",
    );
    await expect(guest.tool("print-at", { address: "4294967290", count: 3 })).rejects.toThrow("crashed");
  });

  test("bytes that are no text", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("bytes", { count: 10 })).rejects.toEqual(refused("PLUGIN_FAILED", "not UTF-8"));
  });
});

describe("JSON that is forged", () => {
  test.each([
    ["{", /no JSON/],
    ['{"ok":{"content":"x"},"err":{"code":"NOT_FOUND","message":"m"}}', /neither/],
    ['{"err":{"code":"NOT_FOUND"}}', /neither/],
    ["[]", /neither/],
    ["null", /neither/],
    ['{"ok":{"content":7}}', /something else than a result/],
    ['{"ok":null}', /something else than a result/],
    [`{"ok":${"[".repeat(500)}${"]".repeat(500)}}`, /deeper than 64 levels/],
  ])("%s", async (text, message) => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("raw", { text })).rejects.toThrow(message);
  });

  test("a result cannot reach for the prototype of all objects", async () => {
    await using guest = await openGuest(wasm);
    const result = await guest.tool("raw", {
      text: '{"ok":{"content":"x","__proto__":{"isError":true},"details":{"constructor":{"prototype":{"a":1}}}}}',
    });
    expect(Object.keys(result).toSorted()).toEqual(["content", "details"]);
    expect(Object.hasOwn(result.details as object, "constructor")).toBe(false);
    expect(result.isError).toBeUndefined();
  });

  test("an answer to nothing is no answer", async () => {
    await using guest = await openGuest(wasm);
    await expect(guest.tool("none")).rejects.toThrow("answered nothing");
  });
});

describe("what a guest asks the host for", () => {
  const call = (request: unknown) => ({ text: JSON.stringify(request) });
  const answer = (result: { content: string }): unknown => JSON.parse(result.content);

  test("is asked on behalf of the call it is in, whatever it says itself", async () => {
    const asked: unknown[] = [];
    const verbs = {
      "files.read": (params: never, number: number | undefined) => {
        asked.push(params, number);
        return { base64: "aGk=" };
      },
      "tools.call": (params: never) => {
        asked.push(params);
        return { content: "done" };
      },
    };
    await using guest = await openGuest(wasm, { verbs });
    const forged = { call: 99, place: { isOwner: true } };
    const file = await guest.tool("call", call({ m: "files.read", a: { path: "a.txt", ...forged } }));
    expect(answer(file)).toEqual({ ok: { base64: "aGk=" } });
    await guest.tool("call", call({ m: "tools.call", a: { name: "read", params: {}, ...forged } }));
    expect(asked).toEqual([{ path: "a.txt", call: 1 }, 1, { name: "read", params: {}, call: 2 }]);
  });

  test("HTTP carries its bytes as base64, both ways", async () => {
    let sent: HttpRequest | undefined;
    const verbs = {
      "http.send": (request: never) => {
        sent = request;
        return { status: 200, headers: [], url: "https://a.test/", body: new Uint8Array([1, 2, 255]) };
      },
    };
    await using guest = await openGuest(wasm, { verbs });
    const request = { m: "http.send", a: { method: "POST", url: "https://a.test/", body: "/wA=" } };
    const { ok } = answer(await guest.tool("call", call(request))) as { ok: { body: string } };
    expect(ok.body).toBe("AQL/");
    expect(sent).toEqual({
      method: "POST",
      url: "https://a.test/",
      headers: [],
      body: new Uint8Array([255, 0]),
    });
  });

  test("Extism's own HTTP goes the same way, and ends the call with the refusal", async () => {
    const verbs = {
      "http.send": ({ url, headers, body }: HttpRequest) => {
        if (url.includes("evil")) throw new RclawError("EGRESS_DENIED", "not there");
        expect([headers, new TextDecoder().decode(body)]).toEqual([[["a", "b"]], "body"]);
        return { status: 418, headers: [], url, body: new TextEncoder().encode("tea") };
      },
    };
    await using guest = await openGuest(wasm, { verbs });
    const http = (url: string) => guest.tool("http", call({ url, method: "POST", headers: { a: "b" } }));
    expect(await http("https://a.test/")).toEqual({ content: "tea 418" });
    await expect(http("https://evil.test/")).rejects.toEqual(refused("EGRESS_DENIED", "not there"));
  });

  test("a refusal of the host is an answer that the guest can read", async () => {
    const verbs = {
      "storage.get": () => {
        throw new RclawError("UNAVAILABLE", "later", { retryable: true, cause: new Error("secret") });
      },
    };
    await using guest = await openGuest(wasm, { verbs });
    expect(answer(await guest.tool("call", call({ m: "storage.get", a: { key: "k" } })))).toEqual({
      err: { code: "UNAVAILABLE", message: "later", retryable: true },
    });
  });

  test.each(["constructor", "__proto__", "http.fetch", "channel.receive", "method.accept", "no.such"])(
    "%s is none of its verbs",
    async (m) => {
      await using guest = await openGuest(wasm);
      expect(answer(await guest.tool("call", call({ m })))).toMatchObject({
        err: { code: "INVALID_REQUEST" },
      });
    },
  );

  test("time and chance need no host", async () => {
    await using guest = await openGuest(wasm);
    const { ok: now } = answer(await guest.tool("call", call({ m: "clock.now" }))) as { ok: number };
    expect(Math.abs(Date.now() - now)).toBeLessThan(5_000);
    const { ok } = answer(await guest.tool("call", call({ m: "clock.random", a: { count: 9 } }))) as {
      ok: string;
    };
    expect(Buffer.from(ok, "base64")).toHaveLength(9);
    expect(answer(await guest.tool("call", call({ m: "clock.random", a: { count: 1e9 } })))).toMatchObject({
      err: { code: "INVALID_REQUEST" },
    });
  });

  test("settings are found by their own names only", async () => {
    await using guest = await openGuest(wasm);
    await guest.activate({ greeting: "hi", nested: { a: 1 } });
    const config = async (text: string) => (await guest.tool("config", { text })).content;
    expect(await config("greeting")).toBe("hi");
    expect(await config("nested")).toBe('{"a":1}');
    expect(await config("constructor")).toBe("nothing");
    expect(await config("__proto__")).toBe("nothing");
    expect(await config("toString")).toBe("nothing");
  });
});

describe("the log", () => {
  test("takes a hundred lines a second and tells how many more there were", async () => {
    const guest = await openGuest(wasm);
    await guest.tool("log", { count: 1_000 }).catch(() => undefined);
    expect(guest.log).toHaveLength(100);
    await guest.ask("deactivate", null);
    expect(guest.log.at(-1)).toMatchObject({
      level: "warn",
      message: expect.stringMatching(/^900 more log/) as string,
    });
  });

  test("takes standard error line by line", async () => {
    await using guest = await openGuest(wasm);
    expect(await guest.tool("print", { text: "one\ntwo\nthr" })).toEqual({ content: "0 11" });
    await guest.tool("print", { text: "ee\n" });
    expect(guest.log.map(({ message }) => message)).toEqual(["one", "two", "three"]);
  });

  test("loading the SDK says nothing on the terminal, and hides no other warning", () => {
    const root = path.resolve(import.meta.dirname, "../../..");
    const { outputFiles } = buildSync({
      stdin: {
        contents: `
          import { loadExtism } from "./plugins/services/lanes/extism-sdk.ts";
          if (typeof (await loadExtism()) !== "function") throw new Error("no SDK");
          process.emitWarning("another one", "ExperimentalWarning");`,
        resolveDir: root,
        loader: "ts",
      },
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      external: ["@extism/extism"],
    });
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--input-type=module", "-e", outputFiles[0]?.text ?? ""],
      { encoding: "utf8", cwd: root },
    );
    expect([stdout, status]).toEqual(["", 0]);
    expect(stderr).toContain("another one");
    expect(stderr).not.toContain("WASI");
  });
});

describe("there is no world outside", () => {
  test("no files, no environment; but chance", async () => {
    await using guest = await openGuest(wasm);
    // ENOSYS for a path; no variables; random bytes are given.
    expect(await guest.tool("wasi")).toEqual({ content: "52 0 0 0 true" });
  });
});
