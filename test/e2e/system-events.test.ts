import { expect, test } from "vitest";
import { startFresh } from "../support/fresh.ts";
import { ask, rclaw, startProduct, tempState } from "../support/product.ts";

test("heartbeats are switched in OpenClaw's words, and there has been none", async () => {
  await using gateway = await startFresh();
  const client = await gateway.connect();
  expect((await client.request("last-heartbeat")).payload).toBeNull();
  expect(await ask(client, "set-heartbeats", { enabled: false })).toEqual({ ok: true, enabled: false });
  expect((await client.request("set-heartbeats", {})).error).toEqual({
    code: "INVALID_REQUEST",
    message: "invalid set-heartbeats params: enabled (boolean) required",
  });
  expect((await client.request("set-heartbeats", { enabled: "yes" })).error?.message).toBe(
    "invalid set-heartbeats params: enabled (boolean) required",
  );
  expect(JSON.parse(await gateway.state.read("plugins/heartbeat/storage.json"))).toEqual({ enabled: false });
  const reader = await gateway.connect({ scopes: ["operator.read"] });
  expect((await reader.request("set-heartbeats", { enabled: true })).error?.message).toBe(
    "missing scope: operator.admin",
  );
  expect((await ask(client, "status")).heartbeat.agents[0].enabled).toBe(false);
  await gateway.stop();
});

test("a system event shows in presence when it is a machine's, and else waits for the next prompt", async () => {
  await using gateway = await startFresh();
  const client = await gateway.connect();
  expect((await client.request("system-event", {})).error).toEqual({
    code: "INVALID_REQUEST",
    message: "text required",
  });
  expect(await ask(client, "system-event", { text: "Node: test" })).toEqual({ ok: true });
  expect((await ask(client, "system-presence"))[1]).toEqual({ text: "Node: test", ts: expect.any(Number) });
  expect(await ask(client, "system-event", { text: "the door bell rang", host: "hall" })).toEqual({
    ok: true,
  });
  expect(await ask(client, "wake", { mode: "next-heartbeat", text: "hi" })).toEqual({ ok: true });
  await ask(client, "chat.send", { sessionKey: "main", message: "hello", idempotencyKey: "hello" });
  await client.find(({ event, payload }) => event === "chat" && payload.state === "final");
  const transcripts = (await gateway.state.filesWith("UTC] the door bell rang")).filter((file) =>
    file.endsWith(".jsonl"),
  );
  expect(transcripts).not.toEqual([]);
});

test("the command line looks after jobs of a running gateway, and without one keeps them for the next", async () => {
  await using state = await tempState();
  const added = await rclaw(state.dir, [
    "cron",
    "add",
    "--every",
    "1d",
    "--system-event",
    "water the plants",
  ]);
  expect(added).toMatchObject({ code: 0 });
  expect(added.stderr).toMatch(/water the plants runs in (?:1 d|23 h)\. Its id is/);
  expect(added.stderr).toContain("No job runs by itself now");

  await using gateway = await startProduct({ stateDir: state.dir });
  const client = await gateway.connect();
  const [{ id }] = (await ask(client, "cron.list")).jobs;
  expect((await ask(client, "cron.status")).enabled).toBe(true);
  expect((await rclaw(state.dir, ["cron", "run", id.slice(0, 6)])).code).toBe(0);
  await client.find(({ event, payload }) => event === "cron" && payload.action === "finished");
  const { stdout } = await rclaw(state.dir, ["cron", "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ total: 1, jobs: [{ id, state: { lastStatus: "ok" } }] });
  expect((await rclaw(state.dir, ["cron", "remove", id, "--yes"])).code).toBe(0);
  expect((await ask(client, "cron.list", { includeDisabled: true })).total).toBe(0);
});
