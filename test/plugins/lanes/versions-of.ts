import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import type { Manifest } from "@rclaw/plugin-sdk";
import type { FoundManifest } from "@rclaw/plugin-sdk/services/plugin-admin";
import { buildComponent } from "../../../plugins/services/cli/author/build-component.ts";

const root = path.resolve(import.meta.dirname, "../../..");

export const manifest = {
  id: "turns",
  name: "Turns",
  description: "d",
  entry: "plugin.mjs",
  contributes: { tools: ["version", "slow", "fall"] },
} as Omit<Manifest, "runtime">;

/** What differs between the versions of one plugin. */
export interface Version {
  readonly name: string;
  /** Statements at the start of `activate`. */
  readonly first?: string;
  /** Statements before every answer of the tool "version". */
  readonly before?: string;
  readonly description?: string;
}

/** Source of a plugin whose tools say which version answers; "slow" waits for the server. */
export const sourceOf = ({ name, first = "", before = "", description = "D." }: Version): string => `
const tool = (name, execute) => ({ name, description: "${description}", params: { type: "object" }, execute });
export default {
  activate(ctx) {
    ${first}
    ctx.tools.register(tool("version", async () => { ${before}; return { content: "${name}" }; }));
    ctx.tools.register(tool("slow", async (params, { signal }) => {
      const response = await ctx.fetch(ctx.config.base + "/held", { signal });
      return { content: "${name} " + (await response.text()) };
    }));
    ctx.tools.register(tool("fall", async () => { for (;;); }));
    if (ctx.config.channel) ctx.channels.register({
      id: "polled", label: "Polled", textLimit: 1000,
      async start(receive, signal) {
        const poll = async () => {
          while (!signal.aborted) {
            const offset = (await ctx.storage.get("offset")) ?? 0;
            const response = await ctx.fetch(ctx.config.base + "/poll?v=${name}&offset=" + offset, { signal });
            for (const { id, text } of await response.json()) {
              await receive({ id: String(id), accountId: "default", chatType: "direct", peerId: "1", sender: { id: "1" }, text });
              await ctx.storage.set("offset", id + 1);
            }
          }
        };
        poll().catch(() => undefined);
      },
      async send() { return {}; },
      async accounts() { return []; },
    });
  },
};
`;

export interface Versions {
  /** Where the file of a version is. */
  script(version: Version): Promise<string>;
  component(version: Version): Promise<string>;
  remove(): Promise<void>;
}

export async function versionsFolder(): Promise<Versions> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "rclaw-versions-"));
  let last = 0;
  const write = async (version: Version): Promise<string> => {
    const file = path.join(folder, `plugin-${++last}.mjs`);
    await writeFile(file, sourceOf(version));
    return file;
  };
  return {
    script: write,
    async component(version) {
      const entry = await write(version);
      const witFolder = path.join(root, "wit/since-v0.1.0");
      const file = entry.replace(/mjs$/, "wasm");
      await writeFile(
        file,
        await buildComponent({ entry, witFolder, sdkFolder: path.join(root, "plugin-sdk") }),
      );
      return file;
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

export function foundAt(
  file: string,
  runtime: "worker" | "wasm",
  change: Partial<Manifest> = {},
): FoundManifest {
  const full: Manifest = { ...manifest, runtime, ...change };
  return { manifest: full, entry: file, ...(runtime === "wasm" && { wasm: file }), file, builtIn: false };
}

export interface Platform {
  readonly base: string;
  /** Polls that were open at the same time, at most. */
  readonly mostPollers: number;
  /** Which versions have polled. */
  readonly pollers: ReadonlySet<string>;
  /** Resolves when somebody waits at /held. */
  held(): Promise<void>;
  /** Answers whoever waits there. */
  release(): void;
  /** Something to poll for. */
  push(...texts: string[]): void;
  close(): Promise<void>;
}

/** A server of the other side: one that keeps a request until it is told to answer, and one with long polls. */
export async function startPlatform(): Promise<Platform> {
  const waiting = new Set<http.ServerResponse>();
  const polls = new Set<{ readonly offset: number; readonly response: http.ServerResponse }>();
  const messages: string[] = [];
  const pollers = new Set<string>();
  let most = 0;
  let onHeld: (() => void)[] = [];

  function feed(): void {
    for (const poll of polls) {
      const fresh = messages.flatMap((text, id) => (id >= poll.offset ? [{ id, text }] : []));
      if (fresh.length === 0) continue;
      polls.delete(poll);
      poll.response.end(JSON.stringify(fresh));
    }
  }

  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/held") {
      waiting.add(response);
      for (const tell of onHeld.splice(0)) tell();
      return;
    }
    const poll = { offset: Number(searchParams.get("offset")), response };
    polls.add(poll);
    pollers.add(searchParams.get("v") ?? "");
    response.once("close", () => polls.delete(poll));
    most = Math.max(most, polls.size);
    feed();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get mostPollers() {
      return most;
    },
    pollers,
    held: () =>
      waiting.size > 0 ? Promise.resolve() : new Promise((resolve) => void onHeld.push(() => resolve())),
    release() {
      for (const response of waiting) response.end("in the end");
      waiting.clear();
    },
    push(...texts) {
      messages.push(...texts);
      feed();
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
