import type { ConfigPaths, LoadedConfig, PluginConfigSchema } from "@rclaw/plugin-sdk/services/config";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { onTestFinished } from "vitest";
import { configPaths } from "@rclaw/plugin-sdk/services/paths";
import { loadConfig } from "../../../plugins/services/config/load.ts";

export const token = "q7n3kfw0x9_token_of_the_tests_q7n3kfw0x9";

/** The smallest configuration without issues or warnings. */
export const minimal = `{ gateway: { auth: { token: "${token}" } } }\n`;

export const telegram: PluginConfigSchema = {
  owner: "telegram",
  path: "channels.telegram",
  schema: {
    type: "object",
    additionalProperties: false,
    required: ["botToken"],
    properties: {
      enabled: { type: "boolean", default: true },
      botToken: { type: "string", writeOnly: true },
      dmPolicy: { enum: ["pairing", "allowlist", "open", "disabled"], default: "pairing" },
      allowFrom: { type: "array", items: { type: "string" } },
      accounts: {
        type: "object",
        additionalProperties: {
          type: "object",
          properties: {
            botToken: { type: "string", writeOnly: true },
            phrase: { type: "string", writeOnly: true },
          },
        },
      },
    },
  },
};

export interface ConfigHome {
  readonly dir: string;
  readonly paths: ConfigPaths;
  readonly plugins: PluginConfigSchema[];
  readonly env: Record<string, string>;
  write(text: string, name?: string): Promise<string>;
  read(name?: string): Promise<string>;
  load(): Promise<LoadedConfig>;
}

/** A state folder of its own, removed after the test. */
export async function configHome(text?: string): Promise<ConfigHome> {
  const dir = await mkdtemp(path.join(tmpdir(), "rclaw-config-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const paths = configPaths({ RUSTY_CLAW_STATE_DIR: dir }, "/nowhere");
  const plugins: PluginConfigSchema[] = [];
  const env: Record<string, string> = {};
  const home: ConfigHome = {
    dir,
    paths,
    plugins,
    env,
    async write(content, name = "config.json") {
      const file = path.join(dir, name);
      await writeFile(file, content, { mode: 0o600 });
      return file;
    },
    read: (name = "config.json") => readFile(path.join(dir, name), "utf8"),
    load: () => loadConfig({ paths, env, plugins }),
  };
  if (text !== undefined) await home.write(text);
  return home;
}
