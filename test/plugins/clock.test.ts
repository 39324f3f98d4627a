import { expect, test } from "vitest";
import { describeGuest } from "./guest.support.ts";
import { openGuest } from "./lanes/extism.support.ts";
import { folderOf } from "../../scripts/guests.mjs";

describeGuest("clock", { maxBytes: 4 * 1024 * 1024 });

test("it is now what it is now", async () => {
  await using guest = await openGuest(`${folderOf("clock")}/clock.wasm`);
  await guest.activate();
  const { details } = await guest.tool("clock", { zone: "Tokyo" });
  const { unixMs } = details as { unixMs: number };
  expect(Math.abs(Date.now() - unixMs)).toBeLessThan(10_000);
});
