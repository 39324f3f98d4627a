import { definePlugin, isRclawError, type Plugin, type PluginContext } from "@rclaw/plugin-sdk";
import { afterEach, expect, test, vi } from "vitest";
import { silent } from "../../../kernel/log.ts";
import { createCatalog } from "../../../kernel/plugins/catalog.ts";
import { createPluginHost, type PluginHostOptions } from "../../../kernel/plugins/host.ts";
import { found } from "./manifests.ts";

afterEach(() => {
  vi.useRealTimers();
});

function hostOf(plugins: Record<string, Plugin>, options: Partial<PluginHostOptions> = {}) {
  const catalog = createCatalog(
    Object.keys(plugins).map((id) => found({ id })),
    { methods: [], routes: [] },
  );
  return createPluginHost({
    catalog: () => catalog,
    log: silent,
    isEnabled: () => true,
    load: async ({ manifest }) => plugins[manifest.id] as Plugin,
    context: (_found, lifetime) =>
      ({ signal: lifetime.signal, defer: (fn) => lifetime.defer(fn) }) as PluginContext,
    timing: { activateMs: 50, backoffMs: 1_000 },
    ...options,
  });
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.catch((reason: unknown) => reason);
  return isRclawError(error) ? error.code : "none";
};

test("many callers activate a plugin once", async () => {
  let activations = 0;
  const host = hostOf({ demo: definePlugin({ activate: async () => void activations++ }) });
  await Promise.all([host.activate("demo"), host.activate("demo"), host.activate("demo")]);
  expect(activations).toBe(1);
  expect(host.status("demo")).toMatchObject({
    state: "active",
    timings: { importMs: expect.any(Number) as number },
  });
});

test.each<[string, Plugin["activate"], RegExp]>([
  [
    "throws",
    () => {
      throw new Error("no config");
    },
    /could not start: no config/,
  ],
  ["rejects", () => Promise.reject(new Error("no network")), /could not start: no network/],
  ["hangs", () => new Promise(() => undefined), /took longer than 50 ms/],
])("a plugin that %s in activate is named and kept away for a while", async (_how, activate, reason) => {
  const host = hostOf({ demo: { activate } });
  await expect(host.activate("demo")).rejects.toThrow(reason);
  expect(host.status("demo")).toMatchObject({ state: "failed" });
  expect(await codeOf(host.activate("demo"))).toBe("UNAVAILABLE");
});

test("nobody who stops a plugin waits for one that hangs in activate", async () => {
  const host = hostOf(
    { demo: { activate: () => new Promise(() => undefined) } },
    { timing: { activateMs: 3_600_000 } },
  );
  const starting = codeOf(host.activate("demo"));
  await host.close();
  expect(await starting).toBe("ABORTED");
  expect(host.status("demo")).toMatchObject({ state: "inactive" });
});

test("what a failed plugin had already started is undone", async () => {
  const undone: string[] = [];
  const host = hostOf({
    demo: {
      activate(ctx) {
        ctx.defer(() => undone.push("socket"));
        ctx.defer(() => undone.push("timer"));
        throw new Error("later");
      },
    },
  });
  await host.activate("demo").catch(() => undefined);
  expect(undone).toEqual(["timer", "socket"]);
});

test("a plugin that should run by itself comes back, each time later than before", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  let tries = 0;
  const host = hostOf(
    { demo: { activate: () => (++tries < 4 ? Promise.reject(new Error("not yet")) : undefined) } },
    { wantsToRun: () => true, now: () => Date.now(), random: () => 0.5 },
  );
  await host.activate("demo").catch(() => undefined);
  await vi.advanceTimersByTimeAsync(1_300);
  expect(tries).toBe(2);
  await vi.advanceTimersByTimeAsync(1_300);
  expect(tries).toBe(2);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(tries).toBe(4);
  expect(host.status("demo")).toMatchObject({ state: "active", restarts: 3 });
});

test("deactivating aborts first, then undoes newest first", async () => {
  const order: string[] = [];
  const host = hostOf({
    demo: {
      activate(ctx) {
        ctx.signal.addEventListener("abort", () => order.push("abort"));
        ctx.defer(() => order.push("first"));
        ctx.defer(() => order.push("second"));
      },
    },
  });
  await host.activate("demo");
  await host.deactivate("demo");
  expect(order).toEqual(["abort", "second", "first"]);
  expect(host.status("demo").state).toBe("inactive");
});

test("a plugin stopped while it starts does not come up afterwards", async () => {
  let go: () => void = () => undefined;
  const host = hostOf(
    { demo: { activate: () => new Promise<void>((resolve) => (go = resolve)) } },
    { timing: { activateMs: 5_000 } },
  );
  const starting = host.activate("demo").catch((error: unknown) => error);
  await vi.waitFor(() => expect(host.status("demo").state).toBe("activating"));
  const stopping = host.deactivate("demo");
  go();
  await stopping;
  expect(isRclawError(await starting)).toBe(true);
  expect(host.isActive("demo")).toBe(false);
});

test("one that is asked for while its last life ends begins when that has ended, and stays", async () => {
  const lives: string[] = [];
  let gone: () => void = () => undefined;
  const host = hostOf({
    demo: {
      activate(ctx) {
        lives.push("begins");
        ctx.defer(async () => {
          await new Promise<void>((resolve) => (gone = resolve));
          lives.push("ends");
        });
      },
    },
  });
  await host.activate("demo");
  const ending = host.deactivate("demo");
  const again = host.activate("demo");
  expect(lives).toEqual(["begins"]);
  gone();
  await Promise.all([ending, again]);
  expect(lives).toEqual(["begins", "ends", "begins"]);
  expect(host.status("demo")).toMatchObject({ state: "active" });
});

test("a disabled plugin is refused with the command that enables it", async () => {
  const host = hostOf({ demo: { activate: () => undefined } }, { isEnabled: () => false });
  await expect(host.activate("demo")).rejects.toThrow(/rclaw plugin enable demo/);
  expect(host.status("demo").state).toBe("disabled");
});

test("blame takes a running plugin down and keeps the reason", async () => {
  const undone: string[] = [];
  const host = hostOf({ demo: { activate: (ctx) => void ctx.defer(() => undone.push("timer")) } });
  await host.activate("demo");
  await host.blame("demo", new Error("a timer threw"));
  expect(undone).toEqual(["timer"]);
  expect(host.status("demo")).toMatchObject({ state: "failed", error: "a timer threw" });
});

test("close takes everything down even when a teardown throws", async () => {
  const undone: string[] = [];
  const host = hostOf({
    a: { activate: (ctx) => void ctx.defer(() => undone.push("a")) },
    b: {
      activate: (ctx) =>
        void ctx.defer(() => {
          throw new Error("stuck");
        }),
    },
  });
  await host.activate("a");
  await host.activate("b");
  await host.close();
  expect(undone).toEqual(["a"]);
  expect(await codeOf(host.activate("a"))).toBe("UNAVAILABLE");
});

test("SEC-195: a thousand reloads leave nothing behind", async () => {
  let live = 0;
  const host = hostOf({
    demo: {
      activate: (ctx) => {
        live++;
        ctx.defer(() => live--);
      },
    },
  });
  for (let i = 0; i < 1_000; i++) {
    await host.activate("demo");
    await host.deactivate("demo");
  }
  expect(live).toBe(0);
});
