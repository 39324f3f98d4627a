import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { type Plugin, RclawError, type Tool, type ToolContext, type ToolResult } from "@rclaw/plugin-sdk";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import JSON5 from "json5";
import { createFiles } from "../../plugins/services/files/files.ts";
import { withDefaults } from "@rclaw/plugin-sdk/schema/defaults";
import edit from "../../plugins/tools/edit/index.ts";
import exec from "../../plugins/tools/exec/index.ts";
import read from "../../plugins/tools/read/index.ts";
import write from "../../plugins/tools/write/index.ts";

const plugins: Readonly<Record<string, Plugin>> = { read, write, edit, exec };

export const hasBwrap = existsSync("/usr/bin/bwrap");
/** Shown with every test that was not run for want of bubblewrap. */
export const needsBwrap = hasBwrap ? "" : " (not run: bubblewrap is not installed)";

export interface Bench extends AsyncDisposable {
  readonly workspace: string;
  readonly tool: Tool;
  call(params: unknown, more?: Partial<ToolContext>): Promise<ToolResult>;
}

/** One of the four file and command tools with a workspace of its own. */
export async function bench(
  id: string,
  config: unknown = {},
  env: Readonly<Record<string, string>> = {},
): Promise<Bench> {
  const folder = mkdtempSync(path.join(tmpdir(), "rclaw-tool-"));
  const manifest = JSON5.parse(
    readFileSync(path.resolve(import.meta.dirname, `../../manifests/tools/${id}.json5`), "utf8"),
  );
  const test = createTestContext({
    id,
    manifest,
    config: manifest.configSchema === undefined ? {} : withDefaults(manifest.configSchema, config),
    env: { HOME: homedir(), PATH: process.env["PATH"] ?? "", ...env },
  });
  const plugin = plugins[id];
  if (plugin === undefined) throw new RclawError("NOT_FOUND", `no plugin "${id}"`);
  await test.activate(plugin);
  const tool = test.contributions.tools.get(id);
  if (tool === undefined) throw new RclawError("NOT_FOUND", `"${id}" registered no tool`);
  const place: ToolContext = {
    workspace: folder,
    files: createFiles(folder),
    sessionKey: "agent:main:main",
    agentId: "main",
    runId: "run-1",
    toolCallId: "call-1",
    isOwner: true,
    signal: test.context.signal,
  };
  return {
    workspace: folder,
    tool,
    call: (params, more = {}) => tool.execute(params, { ...place, ...more }),
    async [Symbol.asyncDispose]() {
      await test[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Processes of this machine whose command line has all of `words`. */
export function processesWith(...words: readonly string[]): readonly string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const line = readFileSync(`/proc/${name}/cmdline`, "utf8");
      return words.every((word) => line.includes(word));
    } catch {
      return false;
    }
  });
}
