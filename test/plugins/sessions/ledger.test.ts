import { expect, test } from "vitest";
import { openStore, tempFolder } from "./support.ts";

test("the ledger gives the same run to the same question, and refuses another question under its id", async () => {
  using temp = tempFolder();
  const store = await openStore(temp.dir);
  const ask = {
    id: "k1",
    sessionKey: "agent:main:main",
    method: "agent",
    principal: "client:a",
    params: { message: "hi", n: { b: 1, a: 2 } },
  };
  const [first, second] = await Promise.all([
    store.runs.accept(ask),
    store.runs.accept({ ...ask, params: { n: { a: 2, b: 1 }, message: "hi" } }),
  ]);
  expect(first).toMatchObject({ duplicate: false, run: { state: "accepted", params: ask.params } });
  expect(second).toMatchObject({ duplicate: true, run: { id: "k1" } });
  await expect(store.runs.accept({ ...ask, params: { message: "other" } })).rejects.toMatchObject({
    code: "CONFLICT",
  });
  expect((await store.runs.accept({ ...ask, principal: "client:b", params: {} })).duplicate).toBe(false);

  const replying = await store.runs.mark(first.run, "replying");
  expect(store.runs.unsettled().map(({ principal, state }) => [principal, state])).toEqual([
    ["client:a", "replying"],
    ["client:b", "accepted"],
  ]);
  const done = await store.runs.mark(replying, "ok");
  expect(done).toMatchObject({ state: "ok", endedAt: expect.any(Number) as number, params: {} });
  expect(await store.runs.mark(done, "error", "late")).toEqual(done);
  await store.close();

  const again = await openStore(temp.dir);
  expect(again.runs.find("agent", "client:a", "k1")).toEqual(done);
  expect(again.runs.unsettled().map(({ principal }) => principal)).toEqual(["client:b"]);
  await expect(again.runs.accept({ ...ask, params: { message: "other" } })).rejects.toMatchObject({
    code: "CONFLICT",
  });
  expect((await again.runs.accept(ask)).duplicate).toBe(true);
  await again.close();
});

test("the ledger keeps every open run, and of settled ones the newest ten thousand of one day", async () => {
  using temp = tempFolder();
  let now = 1_000_000;
  const store = await openStore(temp.dir, { now: () => now });
  const settle = async (count: number, prefix: string): Promise<void> => {
    const all = Array.from({ length: count }, (_, n) => ({
      id: `${prefix}${n}`,
      sessionKey: "k",
      method: "m",
      principal: "p",
      params: {},
    }));
    const runs = await Promise.all(all.map((run) => store.runs.accept(run)));
    await Promise.all(runs.map(({ run }) => store.runs.mark(run, "ok")));
  };
  await store.runs.accept({ id: "open", sessionKey: "k", method: "m", principal: "p", params: {} });
  await settle(11_000, "a");
  // They go by the thousand.
  expect(store.runs.find("m", "p", "a999")).toBeUndefined();
  expect(store.runs.find("m", "p", "a1000")?.state).toBe("ok");
  now += 25 * 3_600_000;
  await settle(1, "b");
  expect(store.runs.find("m", "p", "a5000")).toBeUndefined();
  expect(store.runs.unsettled().map(({ id }) => id)).toEqual(["open"]);
  await store.close();
});
