import { beforeAll, describe, expect, test } from "vitest";
import { freshForAll } from "../support/fresh.ts";
import { ask, token } from "../support/product.ts";
import {
  type Client,
  connectClient,
  type ConnectOptions,
  createDevice,
  type Device,
  type Frame,
} from "../support/ws-client.ts";

/** Rows of the attack table about devices: what they may is what the owner agreed to, whatever they say. */
/** What a client on another machine calls the gateway; it is not paired without being asked about. */
const elsewhere = { host: "gateway.example:18789" };

const product = freshForAll();
let owner: Client;
beforeAll(async () => {
  owner = await product.connect({ scopes: ["operator.admin", "operator.pairing"] });
});

async function attempt(options: ConnectOptions): Promise<Frame> {
  const { client, answer } = await connectClient(product.url, options);
  if (answer.ok) await client.close();
  else expect((await client.closed).code).toBe(1008);
  return answer;
}

/** Pairs a device with these scopes, from this machine, and gives its token. */
async function pair(device: Device, scopes: readonly string[], more: ConnectOptions = {}): Promise<string> {
  const answer = await attempt({ token, device, scopes, ...more });
  expect(answer.error).toBeUndefined();
  return answer.payload.auth.deviceToken;
}

describe("SEC-027: a device that is not paired gives itself scopes", () => {
  test("with the shared token, from another machine, it waits for the owner", async () => {
    const device = createDevice();
    const options = { token, device, scopes: ["operator.admin"], headers: elsewhere };
    const first = await attempt(options);
    expect(first.error).toMatchObject({
      code: "NOT_PAIRED",
      message: "pairing required",
      details: { code: "PAIRING_REQUIRED", reason: "not-paired" },
    });
    const asked = await owner.find(
      ({ event, payload }) => event === "device.pair.requested" && payload.deviceId === device.id,
    );
    expect(asked.payload).toMatchObject({ scopes: ["operator.admin"], silent: false });
    // Asking again is the same request, and nothing is let through meanwhile.
    expect((await attempt(options)).error?.details).toEqual(first.error?.details);
    await ask(owner, "device.pair.approve", { requestId: asked.payload.requestId });
    expect((await attempt(options)).payload.auth.scopes).toEqual(["operator.admin"]);
  });

  test("a request that grows gets another id: nobody agrees to what they have not seen", async () => {
    const device = createDevice();
    const small = await attempt({ token, device, scopes: ["operator.read"], headers: elsewhere });
    const large = await attempt({ token, device, scopes: ["operator.admin"], headers: elsewhere });
    const seen = String(small.error?.details?.["requestId"]);
    expect(large.error?.details?.["requestId"]).not.toBe(seen);
    const { error } = await owner.request("device.pair.approve", { requestId: seen });
    expect(error?.message).toBe("unknown requestId");
  });

  test("what it was given for reading does not open the rest", async () => {
    const device = createDevice();
    const deviceToken = await pair(device, ["operator.read"]);
    const withToken = { token: deviceToken, device, headers: elsewhere };
    expect((await attempt({ ...withToken, scopes: ["operator.read"] })).ok).toBe(true);
    const more = await attempt({ ...withToken, scopes: ["operator.admin"] });
    expect(more.error?.message).toContain("unauthorized");
    const upgrade = await attempt({ token, device, scopes: ["operator.admin"], headers: elsewhere });
    expect(upgrade.error?.details).toMatchObject({ reason: "scope-upgrade" });
  });

  test("as a node it needs a pairing of its own, on this machine too", async () => {
    const device = createDevice();
    await pair(device, ["operator.read"]);
    const answer = await attempt({ token, device, role: "node", scopes: [] });
    expect(answer.error?.details).toMatchObject({ code: "PAIRING_REQUIRED", reason: "role-upgrade" });
  });
});

describe("SEC-029: rotating for more, or for others", () => {
  test("scopes beyond the pairing, beyond the caller and of other devices are refused in one wording", async () => {
    const [small, other] = [createDevice(), createDevice()];
    await pair(small, ["operator.pairing", "operator.read"]);
    await pair(other, ["operator.admin"]);
    const { client } = await connectClient(product.url, {
      token,
      device: small,
      scopes: ["operator.pairing"],
    });
    const rotate = async (params: object) => (await client.request("device.token.rotate", params)).error;
    const generic = { code: "INVALID_REQUEST", message: "unknown deviceId/role" };
    const own = { deviceId: small.id, role: "operator" };
    expect(await rotate({ ...own, scopes: ["operator.admin"] })).toEqual(generic);
    expect(await rotate({ ...own, scopes: ["operator.read"] })).toEqual(generic);
    expect(await rotate({ deviceId: other.id, role: "operator" })).toEqual(generic);
    expect(await rotate({ deviceId: "f".repeat(64), role: "operator" })).toEqual(generic);
    expect(await rotate({ ...own, role: "node" })).toEqual(generic);
    expect((await client.request("device.token.revoke", { ...own, deviceId: other.id })).error).toEqual(
      generic,
    );
    expect((await client.request("device.pair.remove", { deviceId: other.id })).error?.message).toBe(
      "unknown deviceId",
    );
    await client.close();
  });

  test("a device cannot agree to another one's having more than itself", async () => {
    const [helper, stranger] = [createDevice(), createDevice()];
    await pair(helper, ["operator.pairing"]);
    const { client } = await connectClient(product.url, {
      token,
      device: helper,
      scopes: ["operator.pairing"],
    });
    const waiting = await attempt({
      token,
      device: stranger,
      scopes: ["operator.admin"],
      headers: elsewhere,
    });
    const requestId = String(waiting.error?.details?.["requestId"]);
    const answer = await client.request("device.pair.approve", { requestId });
    expect(answer.error?.message).toBe("missing scope: operator.admin");
    expect((await ask(owner, "device.pair.list")).pending).toContainEqual(
      expect.objectContaining({ requestId }),
    );
    await client.close();
  });

  test.each(["device.token.rotate", "device.token.revoke"])(
    "after %s the old token opens nothing, and what it opened is closed within a second",
    async (method) => {
      const device = createDevice();
      const deviceToken = await pair(device, ["operator.read"]);
      const { client } = await connectClient(product.url, {
        token: deviceToken,
        device,
        scopes: ["operator.read"],
      });
      const started = performance.now();
      await ask(owner, method, { deviceId: device.id, role: "operator" });
      expect((await client.closed).code).toBe(1008);
      expect(performance.now() - started).toBeLessThan(1_000);
      const again = await attempt({ token: deviceToken, device, scopes: ["operator.read"] });
      expect(again.error?.message).toContain("unauthorized");
    },
  );
});

describe("SEC-030: coming back as another kind of device", () => {
  test.each([
    ["platform", { platform: "darwin", deviceFamily: "Box" }],
    ["family", { platform: "linux", deviceFamily: "iPhone" }],
    ["family, left out", { platform: "linux" }],
  ])("with another %s it is asked about again, on this machine too", async (_what, client) => {
    const device = createDevice();
    const first = { client: { platform: "linux", deviceFamily: "Box" } };
    await pair(device, ["operator.read"], first);
    const answer = await attempt({ token, device, scopes: ["operator.read"], client });
    expect(answer.error?.details).toMatchObject({ code: "PAIRING_REQUIRED", reason: "metadata-upgrade" });
    const { paired } = await ask(owner, "device.pair.list");
    const kept = paired.find(({ deviceId }: { deviceId: string }) => deviceId === device.id);
    expect(kept).toMatchObject({ platform: "linux", deviceFamily: "Box" });
    expect((await attempt({ token, device, scopes: ["operator.read"], ...first })).ok).toBe(true);
  });
});
