import { chmod, link, mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type ConfigHome, configHome, minimal, token } from "./config-home.ts";

async function folder(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-include-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

const auth = `gateway: { auth: { token: "${token}" } }`;

test("a file is included at any level, relative to the one that names it", async () => {
  const home = await configHome(
    `{ ${auth}, channels: { $include: "parts/channels.json5" }, agents: { list: [{ $include: "./agent.json5" }] } }`,
  );
  await mkdir(path.join(home.dir, "parts"));
  await home.write("{ telegram: { $include: 'telegram.json5', enabled: true } }", "parts/channels.json5");
  await home.write("{ enabled: false, allowFrom: ['1'] } // for tests", "parts/telegram.json5");
  await home.write("{ id: 'main' }", "agent.json5");
  const { config, issues, parsed, files } = await home.load();
  expect(issues).toEqual([]);
  expect(config.channels["telegram"]).toEqual({ enabled: true, allowFrom: ["1"] });
  expect(config.agents).toEqual({ list: [{ id: "main" }] });
  expect(parsed).toMatchObject({ channels: { $include: "parts/channels.json5" } });
  expect(files).toEqual(
    expect.arrayContaining(
      ["config.json", "agent.json5", "parts/telegram.json5"].map((name) => path.join(home.dir, name)),
    ),
  );
});

test("of several files the later wins, what stands beside wins over all, and lists are replaced", async () => {
  const home = await configHome(
    `{ ${auth}, tools: { $include: ["a.json5", "b.json5"], profile: "coding" } }`,
  );
  await home.write("{ profile: 'minimal', deny: ['exec', 'web'], allow: ['read'] }", "a.json5");
  await home.write("{ deny: ['exec'] }", "b.json5");
  expect((await home.load()).config.tools).toEqual({ profile: "coding", deny: ["exec"], allow: ["read"] });
});

test("the whole configuration may be an include, and an include a list", async () => {
  const home = await configHome("{ $include: 'all.json5' }");
  await home.write(`{ ${auth}, tools: { deny: { $include: "deny.json5" } } }`, "all.json5");
  await home.write("['exec']", "deny.json5");
  const { issues, config } = await home.load();
  expect([issues, config.tools.deny]).toEqual([[], ["exec"]]);
});

test("a file from a folder that was allowed may be included", async () => {
  const shared = await folder();
  const home = await configHome(`{ ${auth}, tools: { $include: "${shared}/tools.json5" } }`);
  await writeFile(path.join(shared, "tools.json5"), "{ profile: 'minimal' }");
  expect((await home.load()).issues[0]?.message).toContain("RUSTY_CLAW_INCLUDE_ROOTS");
  home.env["RUSTY_CLAW_INCLUDE_ROOTS"] = ["relative/is/ignored", shared].join(path.delimiter);
  const { issues, config } = await home.load();
  expect([issues, config.tools.profile]).toEqual([[], "minimal"]);
});

test("a broken include leaves the last good configuration in charge, includes and all", async () => {
  const home = await configHome(`{ ${auth}, tools: { $include: "tools.json5" } }`);
  const file = await home.write("{ profile: 'coding' }", "tools.json5");
  await home.load();
  await rm(file);
  const { source, config, issues, files } = await home.load();
  expect([source, config.tools.profile]).toEqual(["last-known-good", "coding"]);
  expect(issues).toEqual([
    { path: "tools.$include", message: 'cannot include "tools.json5": it does not exist' },
  ]);
  expect(files).toContain(file);
});

const attacks: Record<
  string,
  { set: (home: ConfigHome, outside: string) => Promise<string>; reason: RegExp }
> = {
  "a path that climbs out": {
    set: async (_home, outside) => `../${path.basename(outside)}/x.json5`,
    reason: /outside/,
  },
  "an absolute path": { set: async (_home, outside) => `${outside}/x.json5`, reason: /outside/ },
  "a path that climbs out by a detour": { set: async () => "parts/../../../etc/hostname", reason: /outside/ },
  "a neighbour with the same beginning": { set: async (home) => `${home.dir}-x/x.json5`, reason: /outside/ },
  "a symbolic link to a file outside": {
    set: async (home, outside) => (
      await symlink(`${outside}/x.json5`, path.join(home.dir, "link.json5")),
      "link.json5"
    ),
    reason: /leads out/,
  },
  "a symbolic link to a folder outside": {
    set: async (home, outside) => (await symlink(outside, path.join(home.dir, "folder")), "folder/x.json5"),
    reason: /leads out/,
  },
  "a hard link": {
    set: async (home, outside) => (
      await link(`${outside}/x.json5`, path.join(home.dir, "hard.json5")),
      "hard.json5"
    ),
    reason: /hard link/,
  },
  "a file that includes itself": {
    set: async (home) => (await home.write("{ $include: 'me.json5' }", "me.json5"), "me.json5"),
    reason: /includes itself/,
  },
  "two files that include each other": {
    set: async (home) => {
      await home.write("{ $include: 'b.json5' }", "a.json5");
      await home.write("{ $include: 'a.json5' }", "b.json5");
      return "a.json5";
    },
    reason: /includes itself/,
  },
  "the configuration itself": { set: async () => "config.json", reason: /includes itself/ },
  "eleven files in each other": {
    set: async (home) => {
      for (let i = 0; i < 12; i++) await home.write(`{ $include: 'd${i + 1}.json5' }`, `d${i}.json5`);
      return "d0.json5";
    },
    reason: /deeper than 10/,
  },
  "a large file": {
    set: async (home) => (await home.write(`"${"x".repeat(1 << 20)}"`, "large.json5"), "large.json5"),
    reason: /larger than/,
  },
  "a folder": {
    set: async (home) => (await mkdir(path.join(home.dir, "parts")), "parts"),
    reason: /not a regular file|is a folder/,
  },
  "a socket, without waiting for it": {
    set: async (home) => {
      const server = createServer().listen(path.join(home.dir, "socket.json5"));
      onTestFinished(() => void server.close());
      return new Promise((resolve) => server.on("listening", () => resolve("socket.json5")));
    },
    reason: /not a regular file/,
  },
  "a name with a NUL": { set: async () => "x\\u0000.json5", reason: /NUL/ },
  "broken JSON5": {
    set: async (home) => (await home.write("{ a: ", "broken.json5"), "broken.json5"),
    reason: /JSON5: invalid end of input/,
  },
};

test.each(Object.entries(attacks))("SEC-140 %s is not included", async (_name, { set, reason }) => {
  const outside = await folder();
  await writeFile(path.join(outside, "x.json5"), "{ profile: 'coding' }");
  const home = await configHome();
  await home.write(`{ ${auth}, tools: { $include: "${await set(home, outside)}" } }`);
  const { issues, config } = await home.load();
  expect(issues[0]?.path).toMatch(/^tools\.\$include$/);
  expect(issues.map(({ message }) => message).join("\n")).toMatch(reason);
  // What could not be included may have been a restriction.
  expect(config.tools.profile).toBe("minimal");
  expect(config.gateway.auth.token).toBe(token);
});

test("SEC-140 a thousand files and a gigabyte in pieces are cut short, with one complaint", async () => {
  const home = await configHome();
  await home.write("{ a: 1 }", "small.json5");
  await home.write(
    `{ ${auth}, agents: { $include: ${JSON.stringify(Array.from({ length: 1000 }, () => "small.json5"))} } }`,
  );
  expect((await home.load()).issues.filter(({ message }) => message.includes("more than 100"))).toHaveLength(
    1,
  );
  await home.write(`"${"x".repeat(300_000)}"`, "big.json5");
  await home.write(`{ ${auth}, agents: { list: [${'{ $include: "big.json5" },'.repeat(5)}] } }`);
  expect((await home.load()).issues[0]).toMatchObject({
    path: "agents.list.3.$include",
    message: expect.stringContaining("larger") as string,
  });
});

test("SEC-140 a refusal does not tell whether the file exists", async () => {
  const home = await configHome(
    `{ ${auth}, a: { $include: "/etc/hostname" }, b: { $include: "/etc/no-such-file" } }`,
  );
  const [first, second] = (await home.load()).issues.map(({ message }) => message.replace(/"[^"]*"/, ""));
  expect(first).toBe(second);
});

test("SEC-148 an included file that others can read is closed as well", async () => {
  const home = await configHome(
    minimal.replace("{ gateway", "{ tools: { $include: 'tools.json5' }, gateway"),
  );
  const file = await home.write("{}", "tools.json5");
  await chmod(file, 0o664);
  expect((await home.load()).warnings[0]?.message).toContain("(mode 0664); it is now 0600");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("an include of the wrong kind is an issue", async () => {
  const home = await configHome(
    `{ ${auth}, tools: { $include: [1] }, session: { $include: "list.json5", mainKey: "home" } }`,
  );
  await home.write("[]", "list.json5");
  expect((await home.load()).issues.map(({ path: at }) => at)).toEqual(
    expect.arrayContaining(["tools.$include", "session.$include"]),
  );
});
