import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { chmod, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { createEgress } from "../../../plugins/services/egress/egress.ts";
import { createPlace, createRegistry, install, plugin, store, tgz, writeFolder } from "./store.support.ts";

const lockOf = async (stateDir: string): Promise<string> =>
  readFile(path.join(stateDir, "plugins/rclaw.lock"), "utf8");
const storeOf = (stateDir: string): string => path.join(stateDir, "plugins/.store");

test("a folder is staged, shown, agreed to and in force, and nothing else is left behind", async () => {
  await using place = await createPlace();
  const { ports, options, stateDir } = place;
  await writeFolder(path.join(place.source, "weather"), plugin({}, { "node_modules/x/index.js": "x" }));
  const steps = new Set<string>();
  const seen = { ...ports, progress: ({ phase }: { phase: string }) => void steps.add(phase) };

  const staged = await store.stage(seen, "./weather", options);
  expect(await store.installed(stateDir)).toEqual({ found: [], refused: [] });
  const plan = await store.inspect(ports, staged, options);
  expect(plan).toMatchObject({ id: "weather", version: "1.0.0", fileCount: 2, asks: ["permissions"] });
  expect(plan.capabilities).toEqual(["tool weather", "permission net: api.example.org", "runs as wasm"]);
  await expect(
    store.commit(ports, staged, { digest: plan.digest, accepts: [] }, options),
  ).rejects.toMatchObject({ code: "POLICY_DENIED", details: { asks: ["permissions"] } });
  await expect(
    store.commit(ports, staged, { digest: "sha512-x", accepts: plan.asks }, options),
  ).rejects.toMatchObject({ code: "POLICY_DENIED" });
  const done = await store.commit(seen, staged, { digest: plan.digest, accepts: plan.asks }, options);

  expect(done).toMatchObject({ id: "weather", changed: true });
  const { found } = await store.installed(stateDir);
  expect(found).toMatchObject([
    { id: "weather", folder: done.folder, source: path.join(place.source, "weather") },
  ]);
  expect((await readdir(done.folder)).toSorted()).toEqual(["plugin.wasm", "rclaw.plugin.json5"]);
  expect(await readdir(path.join(stateDir, "plugins/.staging"))).toEqual([]);
  expect([...steps].toSorted()).toEqual(["hash", "store", "unpack"]);
  expect(await store.verify(ports)).toMatchObject([{ id: "weather", ok: true }]);
});

test("the lock is sorted, names no folder of the state, and knows no time", async () => {
  await using place = await createPlace();
  for (const id of ["zebra", "ant"]) {
    await writeFolder(path.join(place.source, id), plugin({ id, name: id }));
    await install(place, `./${id}`);
  }
  const text = await lockOf(place.stateDir);
  expect(text).not.toContain(place.stateDir);
  const lock = JSON.parse(text) as { plugins: Record<string, object> };
  expect(Object.keys(lock.plugins)).toEqual(["ant", "zebra"]);
  expect(Object.keys(lock.plugins["ant"] ?? {})).toEqual(["digest", "files", "grants", "source", "version"]);
  await rm(path.join(place.stateDir, "plugins/rclaw.lock"));
  for (const id of ["ant", "zebra"]) await install(place, `./${id}`);
  expect(await lockOf(place.stateDir)).toBe(text);
});

test("an update keeps the version before it, a rollback swaps the two, a removal leaves nothing", async () => {
  await using place = await createPlace();
  const { ports, stateDir } = place;
  const folder = await writeFolder(path.join(place.source, "weather"), plugin());
  for (const version of ["1.0.0", "1.1.0", "1.2.0"]) {
    await writeFolder(folder, plugin({ version }));
    await install(place, "./weather");
  }
  const versions = async () =>
    (await store.installed(stateDir)).found.map(({ version, previous }) => [version, previous?.version]);
  expect(await versions()).toEqual([["1.2.0", "1.1.0"]]);
  // The third is for when 1.2.0 turns out not to live.
  expect(await readdir(path.join(storeOf(stateDir), "weather"))).toHaveLength(3);

  expect(await store.rollback(ports, "weather")).toMatchObject({ version: "1.1.0" });
  expect(await readdir(path.join(storeOf(stateDir), "weather"))).toHaveLength(2);
  expect(await versions()).toEqual([["1.1.0", "1.2.0"]]);
  await store.rollback(ports, "weather");
  expect(await versions()).toEqual([["1.2.0", "1.1.0"]]);
  expect(await install(place, "./weather")).toMatchObject({ changed: false });
  expect(await versions()).toEqual([["1.2.0", "1.1.0"]]);

  await store.remove(ports, "weather");
  expect(await versions()).toEqual([]);
  expect(await readdir(path.join(stateDir, "plugins"))).toEqual(["rclaw.lock"]);
  await expect(store.remove(ports, "weather")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(store.rollback(ports, "weather")).rejects.toMatchObject({ code: "NOT_FOUND" });
});

async function build(place: Awaited<ReturnType<typeof createPlace>>, mark: string, since: string) {
  const { ports, options } = place;
  await writeFolder(path.join(place.source, "weather"), plugin({}, { "mark.txt": mark }));
  const staged = await store.stage(ports, "./weather", options);
  const { digest, asks } = await store.inspect(ports, staged, options);
  return store.commit(ports, staged, { digest, accepts: asks }, { ...options, trial: { since } });
}

test("builds of one session: a rollback leads to what was there before, a bad one leaves the lock as it was", async () => {
  await using place = await createPlace();
  const { ports, stateDir } = place;
  const folder = await writeFolder(path.join(place.source, "weather"), plugin({}, { "mark.txt": "older" }));
  await install(place, "./weather");
  await writeFolder(folder, plugin({}, { "mark.txt": "before" }));
  const { digest: since } = await install(place, "./weather");
  const marks = async () =>
    Promise.all(
      (await store.installed(stateDir)).found
        .flatMap(({ digest, previous }) => [digest, previous?.digest ?? ""])
        .map((digest) => {
          const [, hash = ""] = digest.split("-");
          const short = Buffer.from(hash, "base64").toString("hex").slice(0, 12);
          return readFile(path.join(storeOf(stateDir), "weather", short, "mark.txt"), "utf8");
        }),
    );
  expect(await marks()).toEqual(["before", "older"]);

  const bad = await build(place, "bad from the start", since);
  expect(await marks()).toEqual(["bad from the start", "before"]);
  await store.settle(ports, bad, bad.before);
  expect(await marks()).toEqual(["before", "older"]);

  for (const mark of ["one", "two", "three"]) {
    await store.settle(ports, await build(place, mark, since));
    expect(await marks()).toEqual([mark, "before"]);
    // The third is "older", for when the change to "before" is undone.
    expect(await readdir(path.join(storeOf(stateDir), "weather"))).toHaveLength(3);
  }
  const worse = await build(place, "bad at last", since);
  await store.settle(ports, worse, worse.before);
  expect(await marks()).toEqual(["three", "before"]);

  const same = await build(place, "three", since);
  expect(same).toMatchObject({ changed: false });
  expect(await marks()).toEqual(["three", "before"]);
  // What was there before is there again: then the newest build is what there is to go back to.
  await store.settle(ports, await build(place, "before", since));
  expect(await marks()).toEqual(["before", "three"]);

  const late = await build(place, "late", since);
  await writeFolder(folder, plugin({}, { "mark.txt": "somebody else's" }));
  await install(place, "./weather");
  await store.settle(ports, late, late.before);
  expect(await marks()).toEqual(["somebody else's", "late"]);
});

test("an update of a folder is of the one that was installed, wherever it is asked for", async () => {
  await using place = await createPlace();
  await writeFolder(path.join(place.source, "weather"), plugin());
  await writeFolder(path.join(place.root, "elsewhere/weather"), plugin({ version: "6.6.6" }));
  await install(place, "./weather");
  const source = (await store.installed(place.stateDir)).found[0]?.source ?? "";
  const elsewhere = { ...place.options, baseDir: path.join(place.root, "elsewhere") };
  expect(await store.stage(place.ports, source, elsewhere)).toMatchObject({ version: "1.0.0", source });
});

test("a package comes from a registry, by name, version or tag, scoped or not", async () => {
  await using place = await createPlace();
  await using registry = await createRegistry();
  registry.publish("rclaw-weather", "1.0.0", tgz(plugin()));
  registry.publish("rclaw-weather", "1.1.0", tgz(plugin({ version: "1.1.0" })));
  registry.publish("@sky/clouds", "2.0.0", tgz(plugin({ id: "clouds", name: "Clouds", version: "2.0.0" })));
  const options = { ...place.options, registry: registry.url };
  const stage = async (source: string) => {
    const { id, version, source: exact } = await store.stage(place.ports, source, options);
    return [id, version, exact];
  };
  expect(await stage("rclaw-weather")).toEqual(["weather", "1.1.0", "npm:rclaw-weather@1.1.0"]);
  expect(await stage("rclaw-weather@1.0.0")).toEqual(["weather", "1.0.0", "npm:rclaw-weather@1.0.0"]);
  expect(await stage("npm:rclaw-weather@latest")).toEqual(["weather", "1.1.0", "npm:rclaw-weather@1.1.0"]);
  expect(await stage("@sky/clouds")).toEqual(["clouds", "2.0.0", "npm:@sky/clouds@2.0.0"]);
  await expect(stage("rclaw-weather@3.0.0")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(stage("nobody-has-this")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(stage("rclaw-weather@^1.0.0")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  await expect(store.stage(place.ports, "rclaw-weather", place.options)).rejects.toThrow("no registry");
});

test("a file that is not the one the registry knows is refused", async () => {
  await using place = await createPlace();
  await using registry = await createRegistry();
  registry.publish("rclaw-weather", "1.0.0", tgz(plugin()));
  registry.answers.set("/files/rclaw-weather-1.0.0.tgz", tgz(plugin({ version: "6.6.6" })));
  const options = { ...place.options, registry: registry.url };
  await expect(store.stage(place.ports, "rclaw-weather", options)).rejects.toThrow("its sha512 differs");
  registry.publish("old", "1.0.0", tgz(plugin()), { dist: { integrity: "sha1-AAAA" } });
  await expect(store.stage(place.ports, "old", options)).rejects.toThrow("no sha512");
  expect(await readdir(path.join(place.stateDir, "plugins/.staging"))).toEqual([]);
});

test("a .tgz comes from a file or an address, and from an unencrypted one only on this machine", async () => {
  await using place = await createPlace();
  await using registry = await createRegistry();
  const packed = tgz(plugin());
  await writeFile(path.join(place.source, "weather.tgz"), packed);
  registry.answers.set("/weather.tgz", packed);
  const fromFile = await store.stage(place.ports, "weather.tgz", place.options);
  const fromUrl = await store.stage(place.ports, `${registry.url}weather.tgz`, place.options);
  expect(fromUrl.digest).toBe(fromFile.digest);
  expect(fromUrl.source).toBe(`${registry.url}weather.tgz`);
  const stage = (source: string) => store.stage(place.ports, source, place.options);
  await expect(stage("http://plugins.example.org/x.tgz")).rejects.toThrow("not encrypted");
  await expect(stage("https://me:secret@plugins.example.org/x.tgz")).rejects.toThrow("user name or password");
});

test("the gateway's guarded fetch is enough, when it is given the hosts of the source", async () => {
  await using place = await createPlace();
  await using registry = await createRegistry();
  registry.publish("rclaw-weather", "1.0.0", tgz(plugin()));
  registry.answers.set("/weather.tgz", tgz(plugin()));
  const egress = createEgress({ log: place.ports.log });
  const options = { ...place.options, registry: registry.url };
  for (const source of ["rclaw-weather", `${registry.url}weather.tgz`]) {
    const hosts = store.hostsOf(source, registry.url);
    const ports = { ...place.ports, fetch: egress.fetchFor(hosts, "plugin-store") };
    expect(await store.stage(ports, source, options)).toMatchObject({ id: "weather" });
    const none = { ...place.ports, fetch: egress.fetchFor([], "plugin-store") };
    await expect(store.stage(none, source, options)).rejects.toMatchObject({ code: "EGRESS_DENIED" });
  }
  egress.close();
  expect(store.hostsOf("./weather")).toEqual([]);
  expect(store.hostsOf("https://plugins.example.org/x.tgz")).toEqual(["plugins.example.org:443"]);
});

test("what an index says of a package has to be so", async () => {
  await using place = await createPlace();
  const { ports, options } = place;
  await writeFolder(path.join(place.source, "weather"), plugin());
  const { digest } = await store.pack(path.join(place.source, "weather"));
  expect(await store.stage(ports, "./weather", { ...options, digest })).toMatchObject({ digest });
  const other = `sha512-${"A".repeat(86)}==`;
  await expect(store.stage(ports, "./weather", { ...options, digest: other })).rejects.toThrow(
    "another digest",
  );
  await expect(store.stage(ports, "./weather", { ...options, signer: "SHA256:x" })).rejects.toThrow(
    "not signed by",
  );
});

test("modes in a package mean nothing", async () => {
  await using place = await createPlace();
  const { folder } = await store.stage(
    place.ports,
    await fileOf(place.source, tgz(plugin({}, { "run.sh": "#!/bin/sh" }))),
    place.options,
  );
  for (const name of await readdir(folder))
    expect((await stat(path.join(folder, name))).mode & 0o133, name).toBe(0);
});

test("cancelling ends it and leaves nothing", async () => {
  await using place = await createPlace();
  const controller = new AbortController();
  const ports = { ...place.ports, signal: controller.signal, progress: () => controller.abort() };
  const file = await fileOf(place.source, tgz(plugin()));
  await expect(store.stage(ports, file, place.options)).rejects.toMatchObject({ name: "AbortError" });
  expect(await readdir(path.join(place.stateDir, "plugins/.staging"))).toEqual([]);
});

test("a download that never ends is cancelled, and one that is too large is cut off", async () => {
  await using place = await createPlace();
  let closed = 0;
  const server = createServer((request, response) => {
    response.on("close", () => (closed += 1));
    response.writeHead(200);
    if (request.url === "/slow.tgz") response.write("a little");
    else for (let mebibytes = 0; mebibytes < 33; mebibytes += 1) response.write(Buffer.alloc(1024 * 1024));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const controller = new AbortController();
  const ports = { ...place.ports, signal: controller.signal, progress: () => controller.abort() };
  await expect(store.stage(ports, `${at}/slow.tgz`, place.options)).rejects.toMatchObject({
    name: "AbortError",
  });
  await expect(store.stage(place.ports, `${at}/large.tgz`, place.options)).rejects.toMatchObject({
    code: "TOO_LARGE",
  });
  await expect.poll(() => closed).toBe(2);
  expect(await readdir(path.join(place.stateDir, "plugins/.staging"))).toEqual([]);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
});

test("what changed in staging after it was looked at is not committed", async () => {
  await using place = await createPlace();
  const { ports, options } = place;
  const staged = await store.stage(ports, await fileOf(place.source, tgz(plugin())), options);
  const plan = await store.inspect(ports, staged, options);
  await writeFile(path.join(staged.folder, "plugin.wasm"), "something else");
  const consent = { digest: plan.digest, accepts: plan.asks };
  await expect(store.commit(ports, staged, consent, options)).rejects.toMatchObject({ code: "CONFLICT" });
  expect((await store.installed(place.stateDir)).found).toEqual([]);
});

test("ci makes another state equal to a lock, or changes nothing", async () => {
  await using place = await createPlace();
  await using other = await createPlace();
  await using registry = await createRegistry();
  registry.publish("rclaw-weather", "1.0.0", tgz(plugin()));
  registry.publish("clouds", "1.0.0", tgz(plugin({ id: "clouds", name: "Clouds" })));
  const { url } = registry;
  await install(place, "rclaw-weather", { registry: url });
  await install(place, "clouds", { registry: url });
  const lock = await lockOf(place.stateDir);
  await writeFolder(path.join(other.source, "own"), plugin({ id: "own", name: "Own" }));
  await install(other, "./own");

  const options = { ...other.options, registry: url };
  const before = await lockOf(other.stateDir);
  registry.publish("clouds", "1.0.0", tgz(plugin({ id: "clouds", name: "Rain" })));
  await expect(store.ci(other.ports, lock, options)).rejects.toThrow("its digest differs");
  expect(await lockOf(other.stateDir)).toBe(before);
  expect(await store.verify(other.ports)).toMatchObject([{ id: "own", ok: true }]);

  registry.publish("clouds", "1.0.0", tgz(plugin({ id: "clouds", name: "Clouds" })));
  expect(await store.ci(other.ports, lock, options)).toEqual({
    fetched: ["clouds", "weather"],
    kept: [],
    removed: ["own"],
  });
  expect(await lockOf(other.stateDir)).toBe(lock);
  await rm(path.join(storeOf(other.stateDir), "clouds"), { recursive: true });
  expect((await store.installed(other.stateDir)).refused).toMatchObject([{ id: "clouds" }]);
  expect(await store.ci(other.ports, undefined, options)).toMatchObject({
    fetched: ["clouds"],
    kept: ["weather"],
  });
});

test("a lock that cannot be read stops changes, not the gateway", async () => {
  await using place = await createPlace();
  await writeFolder(path.join(place.source, "weather"), plugin());
  await install(place, "./weather");
  await writeFile(path.join(place.stateDir, "plugins/rclaw.lock"), "<<<<<<< mine");
  const { found, refused } = await store.installed(place.stateDir);
  expect(found).toEqual([]);
  expect(refused).toMatchObject([{ id: "rclaw.lock" }]);
  await expect(store.remove(place.ports, "weather")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

test("two at once take turns", async () => {
  await using place = await createPlace();
  const ids = ["one", "two", "three", "four"];
  for (const id of ids) await writeFolder(path.join(place.source, id), plugin({ id, name: id }));
  await Promise.all(ids.map((id) => install(place, `./${id}`)));
  expect((await store.installed(place.stateDir)).found.map(({ id }) => id)).toEqual(ids.toSorted());
});

test("a turn of a process that has ended is taken over", async () => {
  await using place = await createPlace();
  await writeFolder(path.join(place.source, "weather"), plugin());
  await writeFolder(place.stateDir, { "plugins/.turn": JSON.stringify({ pid: 2 ** 31 - 2, ticks: 1 }) });
  await install(place, "./weather");
  await chmod(place.stateDir, 0o700);
  expect(await readdir(path.join(place.stateDir, "plugins"))).not.toContain(".turn");
});

async function fileOf(folder: string, packed: Buffer): Promise<string> {
  await writeFile(path.join(folder, "weather.tgz"), packed);
  return "./weather.tgz";
}
