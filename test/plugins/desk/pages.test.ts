import { afterAll, beforeAll, expect, test } from "vitest";
import { type Product, startProduct, type TempState, tempState } from "../../support/product.ts";
import type { Client } from "../../support/ws-client.ts";

let state: TempState;
let product: Product;
let client: Client;
beforeAll(async () => {
  state = await tempState();
  product = await startProduct({ stateDir: state.dir });
  client = await product.connect({ scopes: ["operator.admin"], maxProtocol: 4 });
});
afterAll(async () => {
  await product[Symbol.asyncDispose]();
  await state[Symbol.asyncDispose]();
});

const answer = async (method: string, params: object) => {
  const { ok, payload, error } = await client.request(method, params);
  return ok ? payload : error;
};

test("a page whose things do not exist here is empty, not broken", async () => {
  expect(await answer("users.list", {})).toEqual({ profiles: [] });
  expect(await answer("worktrees.list", {})).toEqual({ worktrees: [] });
  expect(await answer("transcripts.list", { limit: 50 })).toEqual({ sessions: [], nextCursor: null });
  expect(await answer("skills.library.list", { scope: "all" })).toMatchObject({ entries: [] });
  expect(await answer("skills.proposals.list", { agentId: "main" })).toMatchObject({ proposals: [] });
  const images = { sessionKey: "agent:main:main", agentId: "main", type: "image", limit: 4 };
  expect(await answer("artifacts.list", images)).toEqual({ artifacts: [] });
  expect(await answer("themes.list", {})).toMatchObject({ current: { id: "claw" }, themes: [] });
  expect(await answer("migrations.memory.plan", { agentId: "main", overwrite: false })).toMatchObject({
    agentId: "main",
    providers: [],
  });
  expect(await answer("plugins.catalog.browse", { intent: "all", pageSize: 100 })).toMatchObject({
    items: [],
    remoteError: expect.stringContaining("rclaw plugin list"),
  });
});

test("what would be a promise says why it is not there", async () => {
  const refused = async (method: string, params: object) => (await answer(method, params)).code;
  expect(await refused("approval.history", { limit: 50 })).toBe("UNAVAILABLE");
  expect(await refused("tools.github.status", { agentId: "main", selectedScope: "system" })).toBe(
    "UNAVAILABLE",
  );
  expect(await refused("device.pair.setupCode", { includeQr: true })).toBe("UNAVAILABLE");
});

test("the machines are the gateway's own and its nodes'", async () => {
  const { environments } = await answer("environments.list", { includeDesktopSetup: true });
  expect(environments).toEqual([
    {
      id: "gateway",
      type: "local",
      label: "Gateway local",
      status: "available",
      platform: process.platform,
      sessionHost: true,
      trust: "persistent",
      capabilities: ["agent.run", "sessions", "tools", "workspace"],
    },
  ]);
  expect(await answer("environments.list", { projection: "profiles" })).toEqual({ environments: [] });
  expect(await answer("system.info", {})).toMatchObject({
    platform: process.platform,
    cpuCount: expect.any(Number),
    memoryTotalBytes: expect.any(Number),
    uptimeMs: expect.any(Number),
    diskAvailableBytes: expect.any(Number),
  });
});

test("nobody searches the web, and the model that would ask is shown", async () => {
  expect(await answer("webSearch.status", { agentId: "main" })).toMatchObject({
    enabled: false,
    provider: null,
    agentId: "main",
    model: { provider: "offline", id: "guide" },
    route: { kind: "unavailable", testable: false },
    providers: [],
  });
  expect((await answer("webSearch.status", { agentId: "nobody" })).message).toBe('unknown agent id "nobody"');
});
