import { afterAll, beforeAll, expect, test } from "vitest";
import { type Product, startProduct, type TempState, tempState } from "../../support/product.ts";
import type { Client } from "../../support/ws-client.ts";

let state: TempState;
let product: Product;
let client: Client;

const open = async (): Promise<void> => {
  product = await startProduct({ stateDir: state.dir });
  client = await product.connect({ scopes: ["operator.admin"], maxProtocol: 4 });
};
beforeAll(async () => {
  state = await tempState();
  await open();
});
afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

const ask = async (method: string, params: object = {}) => {
  const { ok, payload, error } = await client.request(method, params);
  return ok ? payload : error?.message;
};

test("groups keep their order over a restart, and a session's category makes one", async () => {
  const made = { groups: [{ name: "Work", position: 0 }], sectionOrder: ["ungrouped", "group:Work"] };
  await client.request("sessions.subscribe", {});
  expect(
    await ask("sessions.groups.put", { names: [" Work ", "Work"], sectionOrder: made.sectionOrder }),
  ).toEqual({ ok: true, ...made });
  const { payload } = await client.find(({ event }) => event === "sessions.changed");
  expect(payload).toMatchObject({ reason: "groups" });

  await ask("sessions.create", { key: "agent:main:trip", category: "Travel" });
  await product[Symbol.asyncDispose]();
  await open();
  expect(await ask("sessions.groups.list")).toEqual({
    groups: [...made.groups, { name: "Travel", position: 1 }],
    sectionOrder: made.sectionOrder,
  });
});

test("a group that has sessions is not dropped; renamed, it takes them along; deleted, it lets them go", async () => {
  expect(await ask("sessions.groups.put", { names: ["Work"] })).toBe(
    'sessions.groups.put cannot drop groups that still have member sessions: "Travel" (1); include them in names or remove them via sessions.groups.delete',
  );
  expect(await ask("sessions.groups.rename", { name: "Nobody's", to: "X" })).toBe(
    "unknown session group: Nobody's",
  );
  expect(await ask("sessions.groups.rename", { name: "Travel", to: "Journeys" })).toMatchObject({
    ok: true,
    updatedSessions: 1,
    groups: [{ name: "Work" }, { name: "Journeys" }],
  });
  const { session } = await ask("sessions.describe", { key: "agent:main:trip" });
  expect(session.category).toBe("Journeys");

  expect(await ask("sessions.groups.delete", { name: "Journeys" })).toMatchObject({
    updatedSessions: 1,
    groups: [{ name: "Work", position: 0 }],
  });
  expect((await ask("sessions.describe", { key: "agent:main:trip" })).session).not.toHaveProperty("category");
});

test("more groups than anybody can look at are refused", async () => {
  const names = Array.from({ length: 201 }, (_, index) => `group ${index}`);
  expect(await ask("sessions.groups.put", { names })).toBe("there can be 200 session groups; these are 201");
});
