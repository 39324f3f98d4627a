import type { ConfigChange } from "@rclaw/plugin-sdk/services/config";
import { EventEmitter, once } from "node:events";
import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { changeBetween, watchConfig } from "../../../plugins/services/config/watch.ts";
import { type ConfigHome, configHome, token } from "./config-home.ts";

const text = (port: number, more = ""): string =>
  `{ gateway: { port: ${port}, reload: { debounceMs: 40 }, auth: { token: "${token}" } }, ${more} }\n`;

/** In one piece as far as the watcher can see: nothing of this process runs in between. */
function put(home: ConfigHome, content: string, name = "config.json"): string {
  const file = path.join(home.dir, name);
  writeFileSync(file, content, { mode: 0o600 });
  return file;
}

async function watched(home: ConfigHome) {
  const changes: ConfigChange[] = [];
  const events = new EventEmitter();
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  let reloads = 0;
  watchConfig({
    loaded: await home.load(),
    reload: () => (reloads++, home.load()),
    onChange: (change) => {
      changes.push(change);
      events.emit("change");
    },
    signal: stop.signal,
  });
  return {
    changes,
    stop,
    reloads: () => reloads,
    /** The change that is reported next, while `cause` happens. */
    async next(cause: () => unknown): Promise<ConfigChange> {
      const reported = once(events, "change");
      cause();
      await reported;
      const change = changes.at(-1);
      if (!change) throw new Error("nothing was reported");
      return change;
    },
  };
}

test("a changed file is reported with the paths that changed and those that need a restart", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  const change = await next(() =>
    put(home, text(2, "tools: { deny: ['exec'] }, agents: { list: [{ id: 'main' }] }")),
  );
  expect(change.changedPaths).toEqual(["gateway.port", "tools.deny", "agents"]);
  expect(change.restartNeeded).toEqual(["gateway.port"]);
  expect(change.loaded.config.gateway.port).toBe(2);
});

test("a file that an editor replaces is noticed, time after time", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  for (const port of [2, 3, 4]) {
    const change = await next(() =>
      renameSync(put(home, text(port), ".config.json.swp"), home.paths.configFile),
    );
    expect(change.loaded.config.gateway.port).toBe(port);
  }
});

test("a new token is reported without asking for a restart, a new mode is not", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  const change = await next(() => put(home, text(1).replace(token, `${token}-new`)));
  expect([change.changedPaths, change.restartNeeded]).toEqual([["gateway.auth.token"], []]);
  const mode = await next(() =>
    put(home, text(1).replace("auth: {", "auth: { mode: 'password', password: 'a long enough one',")),
  );
  expect(mode.restartNeeded).toEqual(["gateway.auth.mode"]);
});

test("REL-38 five hundred quick changes are one report, of the last of them", async () => {
  const home = await configHome(text(1));
  const { next, changes, reloads } = await watched(home);
  const change = await next(() => {
    for (let i = 0; i < 500; i++) put(home, text(1000 + i));
  });
  expect(change.loaded.config.gateway.port).toBe(1499);
  expect(changes).toHaveLength(1);
  expect(reloads()).toBe(1);
});

test("REL-38 a half-written file keeps the running configuration until it is whole", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  const whole = text(2);
  const half = await next(() => {
    truncateSync(home.paths.configFile, 0);
    for (const letter of whole.slice(0, 20)) appendFileSync(home.paths.configFile, letter);
  });
  expect(half).toMatchObject({
    changedPaths: [],
    restartNeeded: [],
    loaded: { source: "last-known-good", issues: [{ path: "" }] },
  });
  expect(half.loaded.config.gateway.port).toBe(1);
  const done = await next(() => appendFileSync(home.paths.configFile, whole.slice(20)));
  expect(done).toMatchObject({ changedPaths: ["gateway.port"], loaded: { source: "file", issues: [] } });
});

test("REL-38 an invalid value keeps the running configuration, also where a part would be valid", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  rmSync(path.join(home.dir, "config.last-good.json"));
  const change = await next(() => put(home, text(2, "logging: { level: 'loud' }")));
  expect(change.loaded.config.gateway.port).toBe(1);
  expect(change.loaded.issues[0]?.path).toBe("logging.level");
  expect(change.changedPaths).toEqual([]);
});

test("REL-38 a deleted file keeps the running configuration, and is not made anew", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  rmSync(path.join(home.dir, "config.last-good.json"));
  const gone = await next(() => rmSync(home.paths.configFile));
  expect(gone).toMatchObject({ changedPaths: [], loaded: { exists: false, raw: null, hash: null } });
  expect(gone.loaded.config.gateway).toMatchObject({ port: 1, auth: { token } });
  expect(gone.loaded.issues[0]?.message).toContain("is gone");
  const back = await next(() => put(home, text(2)));
  expect(back).toMatchObject({ changedPaths: ["gateway.port"], loaded: { exists: true, issues: [] } });
});

test("included files are watched too, also in folders that come with a change", async () => {
  const home = await configHome(text(1, "tools: { $include: 'tools.json5' }"));
  put(home, "{ profile: 'coding' }", "tools.json5");
  mkdirSync(path.join(home.dir, "parts"));
  put(home, "{ mainKey: 'home' }", "parts/session.json5");
  const { next } = await watched(home);
  expect((await next(() => put(home, "{ profile: 'minimal' }", "tools.json5"))).changedPaths).toEqual([
    "tools.profile",
  ]);
  expect(
    (await next(() => put(home, text(1, "session: { $include: 'parts/session.json5' }")))).changedPaths,
  ).toEqual(["tools.profile", "session.mainKey"]);
  expect((await next(() => put(home, "{ mainKey: 'away' }", "parts/session.json5"))).changedPaths).toEqual([
    "session.mainKey",
  ]);
});

test("an include that appears heals the configuration", async () => {
  const home = await configHome(text(1));
  const { next } = await watched(home);
  const broken = await next(() => put(home, text(2, "tools: { $include: 'later.json5' }")));
  expect(broken.loaded.issues[0]?.path).toBe("tools.$include");
  const healed = await next(() => put(home, "{}", "later.json5"));
  expect(healed).toMatchObject({ changedPaths: ["gateway.port"], loaded: { issues: [] } });
});

test("what does not change anything is not reported, a new comment is with no paths", async () => {
  const home = await configHome(text(1));
  const { next, changes } = await watched(home);
  utimesSync(home.paths.configFile, 1, 1);
  put(home, "{}", "unrelated.json");
  const change = await next(() => put(home, `// a note\n${text(1)}`));
  expect(change.changedPaths).toEqual([]);
  expect(change.loaded.raw).toContain("// a note");
  expect(changes).toHaveLength(1);
});

test("a change that somebody else has applied meanwhile is not reported again", async () => {
  const home = await configHome(text(1));
  let current = await home.load();
  const events = new EventEmitter();
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const changes: ConfigChange[] = [];
  watchConfig({
    loaded: () => current,
    reload: async () => {
      current = await home.load();
      setImmediate(() => events.emit("reloaded"));
      return current;
    },
    onChange: (change) => void changes.push(change),
    signal: stop.signal,
  });
  put(home, text(2));
  await once(events, "reloaded");
  expect(changes).toEqual([]);
});

test("nothing is read or reported once the signal has aborted", async () => {
  const home = await configHome(text(1));
  const { stop, changes, reloads } = await watched(home);
  const other = await watched(home);
  stop.abort();
  await other.next(() => put(home, text(2)));
  expect([changes.length, reloads()]).toEqual([0, 0]);
});

test("the difference of two configurations is as deep as it goes", async () => {
  const home = await configHome(text(1, "channels: { telegram: { accounts: { a: { x: 1 } } } }"));
  const before = await home.load();
  put(
    home,
    text(1, "channels: { telegram: { accounts: { a: { x: 2 }, b: {} } }, discord: {} }, gateway2: 1"),
  );
  const change = changeBetween(before, await home.load());
  expect(change?.changedPaths).toEqual([
    "channels.telegram.accounts.a.x",
    "channels.telegram.accounts.b",
    "channels.discord",
    "gateway2",
  ]);
  expect(changeBetween(before, before)).toBeUndefined();
});
