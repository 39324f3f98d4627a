import { expect, test } from "vitest";
import {
  GuestAbortController,
  GuestAbortSignal,
  GuestEvent,
  GuestEventTarget,
} from "@rclaw/plugin-sdk/guest/abort";
import { GuestRequest, GuestResponse } from "@rclaw/plugin-sdk/guest/body";
import { cloneData } from "@rclaw/plugin-sdk/guest/clone";
import { GuestHeaders } from "@rclaw/plugin-sdk/guest/headers";
import { GuestReadableStream } from "@rclaw/plugin-sdk/guest/stream";

test("headers are kept, joined and listed as in Node", () => {
  const [ours, theirs] = [GuestHeaders, Headers].map((Kind) => {
    const headers = new Kind([
      ["B", " 1 "],
      ["a", "x"],
      ["b", "2"],
      ["Set-Cookie", "c=1"],
      ["set-cookie", "d=2"],
    ]);
    headers.set("c", "3");
    headers.append("C", "4");
    headers.delete("A");
    return [[...headers], headers.get("B"), headers.get("none"), headers.has("c"), headers.getSetCookie()];
  });
  expect(ours).toEqual(theirs);
  expect(() => new GuestHeaders({ "a b": "x" })).toThrow(TypeError);
  expect(() => new GuestHeaders({ a: "x\ny" })).toThrow(TypeError);
});

test("a response gives its body as text, JSON, bytes and stream, once", async () => {
  expect(await new GuestResponse("grüße").text()).toBe("grüße");
  expect(await GuestResponse.json({ a: [1] }, { status: 201 }).json()).toEqual({ a: [1] });
  expect(new Uint8Array(await new GuestResponse(new Uint8Array([1, 2])).arrayBuffer())).toEqual(
    new Uint8Array([1, 2]),
  );
  expect(new GuestResponse(null).body).toBeNull();
  const response = new GuestResponse("x", { status: 404, headers: { a: "b" } });
  expect([response.ok, response.status, response.headers.get("content-type")]).toEqual([
    false,
    404,
    "text/plain;charset=UTF-8",
  ]);
  await response.text();
  expect(response.bodyUsed).toBe(true);
  await expect(response.text()).rejects.toThrow(TypeError);
  const streamed = new GuestResponse(
    GuestReadableStream.from([new Uint8Array([104]), new Uint8Array([105])]),
  );
  expect(await streamed.text()).toBe("hi");
  expect(() => new GuestResponse("", { status: 99 })).toThrow(RangeError);
});

test("a request says what is asked", async () => {
  const request = new GuestRequest("https://a.example/x y", {
    method: "post",
    body: '{"a":1}',
    headers: { x: "1" },
  });
  expect([request.url, request.method, request.headers.get("x")]).toEqual([
    "https://a.example/x%20y",
    "POST",
    "1",
  ]);
  expect(await new GuestRequest(request).json()).toEqual({ a: 1 });
  expect(() => new GuestRequest("https://a.example", { body: "x" })).toThrow(TypeError);
});

test("a stream is pulled when somebody reads, and no more often", async () => {
  let pulls = 0;
  const stream = new GuestReadableStream<number>({
    pull(controller) {
      if (++pulls <= 3) controller.enqueue(pulls);
      else controller.close();
    },
  });
  expect(pulls).toBe(1);
  const got: number[] = [];
  for await (const piece of stream) got.push(piece);
  expect(got).toEqual([1, 2, 3]);
  expect(pulls).toBe(4);
  let idle = 0;
  const silent = new GuestReadableStream({ pull: () => void idle++ });
  await new Promise((resolve) => setImmediate(resolve));
  expect(idle).toBe(1);
  await silent.cancel();
});

test("leaving a stream cancels it, an error of its source reaches the reader", async () => {
  let why: unknown = "not cancelled";
  const endless = new GuestReadableStream<number>({
    pull: (controller) => controller.enqueue(1),
    cancel: (reason) => void (why = reason),
  });
  for await (const _piece of endless) break;
  expect(why).toBeUndefined();
  expect(endless.locked).toBe(false);
  const failing = new GuestReadableStream({
    pull() {
      throw new Error("broken pipe");
    },
  });
  await expect(failing.getReader().read()).rejects.toThrow("broken pipe");
  const reader = GuestReadableStream.from(["a"]).getReader();
  expect([await reader.read(), await reader.read()]).toEqual([
    { done: false, value: "a" },
    { done: true, value: undefined },
  ]);
});

test("signals abort once, with a reason, and pass it on", () => {
  const controller = new GuestAbortController();
  const any = GuestAbortSignal.any([controller.signal, new GuestAbortController().signal]);
  const heard: unknown[] = [];
  any.addEventListener("abort", () => heard.push(any.reason), { once: true });
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- both have to work
  any.onabort = () => heard.push("onabort");
  expect(GuestAbortSignal.isHeard(controller.signal)).toBe(true);
  controller.abort(new Error("enough"));
  controller.abort(new Error("again"));
  expect(heard).toMatchObject(["onabort", { message: "enough" }]);
  expect(() => any.throwIfAborted()).toThrow("enough");
  expect(GuestAbortSignal.abort().reason).toMatchObject({ name: "AbortError" });
  expect(GuestAbortSignal.any([GuestAbortSignal.abort("x")]).reason).toBe("x");
  expect(() => new GuestAbortSignal()).toThrow(TypeError);
});

test("a signal made from a lasting one is heard as long as somebody listens", () => {
  const controller = new GuestAbortController();
  let heard = 0;
  for (let call = 0; call < 200; call++) {
    const any = GuestAbortSignal.any([controller.signal]);
    const listener = (): void => void heard++;
    any.addEventListener("abort", listener);
    if (call % 2 === 0) any.removeEventListener("abort", listener);
  }
  controller.abort();
  expect(heard).toBe(100);
});

test("listeners can leave, be once, and stop the others", () => {
  const target = new GuestEventTarget();
  const heard: string[] = [];
  const leave = (): void => void heard.push("left");
  target.addEventListener("x", leave);
  target.addEventListener("x", () => heard.push("once"), { once: true });
  target.addEventListener("x", { handleEvent: (event) => event.stopImmediatePropagation() });
  target.addEventListener("x", () => heard.push("never"));
  target.removeEventListener("x", leave);
  target.dispatchEvent(new GuestEvent("x"));
  target.dispatchEvent(new GuestEvent("x"));
  expect(heard).toEqual(["once"]);
});

test("data is cloned as the language does it", () => {
  const value: Record<string, unknown> = {
    list: [1, "a", null, undefined],
    date: new Date(5),
    map: new Map([["k", new Set([1])]]),
    bytes: new Uint8Array([1, 2, 3]).subarray(1),
    error: new RangeError("r"),
    pattern: /a/gi,
  };
  value["self"] = value;
  const copy = cloneData(value);
  expect(copy).toEqual(structuredClone(value));
  expect(copy["self"]).toBe(copy);
  expect(copy["list"]).not.toBe(value["list"]);
  expect(() => cloneData({ fn: () => 1 })).toThrow(/could not be cloned/);
});
