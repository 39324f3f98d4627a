import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { asked, buildFixture, type Host, open } from "./component.support.ts";

let folder: string;
let bytes: Uint8Array;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "rclaw-component-"));
  bytes = await buildFixture("everything.ts");
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const host = (answers: Host["answers"] = {}): Host => ({ answers, logged: [] });

test("a call is answered, and an error of the guest keeps its code and details", async () => {
  const guest = await open(bytes, folder, host());
  expect(await guest.handle(asked("tiny", { name: "Ada" }))).toEqual({ content: "hello Ada" });
  await expect(guest.handle(asked("refuse"))).rejects.toMatchObject({
    code: "NOT_FOUND",
    message: "there is nothing",
    details: { looked: "everywhere" },
  });
  await expect(guest.handle(asked("bug"))).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
  expect(guest.memoryBytes()).toBeGreaterThan(1_000_000);
});

test("two requests run at once, and their bodies are read as they come", async () => {
  let running = 0;
  let most = 0;
  const guest = await open(
    bytes,
    folder,
    host({
      async "http.fetch"({ url }: { url: string }, { onChunk }) {
        most = Math.max(most, ++running);
        await onChunk?.({ head: { status: 200, headers: [], url } });
        const body = new TextEncoder().encode(`größe of ${url}`);
        for (const at of body.keys()) await onChunk?.(body.subarray(at, at + 1));
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        return null;
      },
    }),
  );
  const urls = ["https://a.example/ü", "https://b.example/"];
  expect(await guest.handle(asked("two-at-once", { urls }))).toEqual({
    texts: ["größe of https://a.example/ü", "größe of https://b.example/"],
  });
  expect(most).toBe(2);
});

test("a streamed answer comes in order and before its end", async () => {
  const guest = await open(bytes, folder, host());
  const got: unknown[] = [];
  const emit = async (chunk: unknown): Promise<void> => void got.push(chunk);
  expect(await guest.handle(asked("count", { to: 5 }, { emit }))).toBe("counted");
  expect(got).toEqual([1, 2, 3, 4, 5].map((number) => ({ number })));
});

test("host calls carry the call on whose behalf they are made", async () => {
  const seen: unknown[] = [];
  const kept = new Map<string, unknown>();
  const guest = await open(
    bytes,
    folder,
    host({
      "storage.set": ({ key, value }: { key: string; value: unknown }) => void kept.set(key, value),
      "storage.get": ({ key }: { key: string }) => kept.get(key),
      "files.read"(params) {
        seen.push(params);
        return { base64: btoa("some notes") };
      },
    }),
  );
  const call = asked("store", { key: "k" });
  expect(await guest.handle(call)).toEqual({ stored: { by: call.id }, file: "some notes" });
  expect(seen).toEqual([{ call: call.id, path: "notes.txt" }]);
});

test("what authors take for granted is there", async () => {
  const guest = await open(bytes, folder, host());
  expect(await guest.handle(asked("world"))).toEqual({
    bytes: Array.from(new TextEncoder().encode("grüße 👋")),
    text: "€",
    url: "https://example.org/a/b?x=1",
    clone: 5,
    json: { a: 1 },
    year: true,
    dice: true,
    id: 36,
    error: "inner",
    settled: ["fulfilled", "rejected"],
    timeout: "TimeoutError",
  });
});

test("a cancelled call is told to the guest and answered ABORTED at once", async () => {
  const guest = await open(bytes, folder, host());
  const controller = new AbortController();
  const waiting = guest.handle(asked("until-cancelled", null, { signal: controller.signal }));
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ code: "ABORTED" });
  expect(await guest.handle(asked("tiny", { name: "again" }))).toEqual({ content: "hello again" });
});

test("a call that waits for nothing is failed with a sentence that says so", async () => {
  const guest = await open(bytes, folder, host());
  await expect(guest.handle(asked("stuck"))).rejects.toMatchObject({
    code: "PLUGIN_FAILED",
    message: expect.stringContaining("waits for nothing that could happen"),
  });
});

test("after a crash open calls fail readably, and the next call finds a fresh, activated instance", async () => {
  const guest = await open(bytes, folder, host());
  expect(await guest.handle(asked("activate", { config: 7 }))).toMatchObject({ config: 7, times: 1 });
  const waiting = guest.handle(asked("until-cancelled"));
  const crash = guest.handle(asked("recurse"));
  await expect(crash).rejects.toMatchObject({
    code: "PLUGIN_FAILED",
    message: expect.stringContaining('plugin "guest" crashed in its sandbox'),
  });
  await expect(waiting).rejects.toMatchObject({ code: "PLUGIN_FAILED" });
  expect(await guest.handle(asked("tiny", { name: "Ada" }))).toEqual({ content: "hello Ada" });
  expect(await guest.handle(asked("activate", { config: 8 }))).toMatchObject({ config: 8, times: 2 });
});

test("an answer above the limit is refused, the guest lives on", async () => {
  const guest = await open(bytes, folder, host(), { resultBytes: 1_000 });
  await expect(guest.handle(asked("flood", { bytes: 2_000 }))).rejects.toMatchObject({ code: "TOO_LARGE" });
  expect(await guest.handle(asked("tiny", { name: "Ada" }))).toEqual({ content: "hello Ada" });
});

test("requests above the allowance of a call are refused", async () => {
  const guest = await open(bytes, folder, host({ "storage.get": () => 1 }), { hostCalls: 10 });
  expect(await guest.handle(asked("ask", { times: 10 }))).toBe(10);
  await expect(guest.handle(asked("ask", { times: 11 }))).rejects.toMatchObject({ code: "RATE_LIMITED" });
});

test("a webhook reaches the guest with its bytes and is answered with a status", async () => {
  const guest = await open(bytes, folder, host());
  const request = {
    method: "POST",
    path: "/x",
    query: { q: "1" },
    headers: { a: "b" },
    body: new TextEncoder().encode("straße"),
  };
  const answer = await guest.handle(asked("route.handle", { route: "POST /x", request }));
  expect(answer).toMatchObject({ status: 201, headers: { "x-query": "1" } });
  expect(new TextDecoder().decode((answer as { body: Uint8Array }).body)).toBe("STRASSE");
});

test("a socket opens, speaks both ways and ends with its code", async () => {
  const sent: unknown[] = [];
  let close = (): void => {};
  const closed = new Promise<void>((resolve) => (close = resolve));
  const guest = await open(
    bytes,
    folder,
    host({
      async "ws.connect"(_params, { onChunk }) {
        await onChunk?.({ open: { protocol: "a" } });
        await onChunk?.("text");
        await onChunk?.(new Uint8Array([1, 2]));
        await closed;
        return { code: 1000, reason: "done" };
      },
      "ws.send": ({ data }: { data: unknown }) => void sent.push(data),
      "ws.close": () => close(),
    }),
  );
  expect(await guest.handle(asked("socket", { url: "wss://a.example/" }))).toEqual({
    got: ["a", "text", [1, 2]],
    ended: { code: 1000, reason: "done" },
  });
  expect(sent).toEqual(["hello"]);
});
