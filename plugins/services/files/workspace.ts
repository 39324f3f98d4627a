import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { faultOf } from "@rclaw/plugin-sdk/services/disk-fault";

const welcome = `# Workspace

This folder belongs to your assistant: its tools read and write here and nowhere else.
Put files here that it should work with. Files with these names are read before every
answer, when they are there:

- AGENTS.md: rules it should follow
- SOUL.md: how it should sound
- USER.md: what it should know about you
- IDENTITY.md: its own name
- TOOLS.md: notes about this machine
`;

/** A new workspace says what it is; one that exists is left alone. */
export async function makeWorkspace(folder: string): Promise<string> {
  try {
    const created = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (created !== undefined) await writeFile(path.join(folder, "README.md"), welcome, { mode: 0o600 });
    return folder;
  } catch (error) {
    throw new RclawError(
      "STORE_DEGRADED",
      `the workspace ${folder} cannot be made: ${faultOf(error)}; make room or make it writable, and try again`,
      { cause: error, retryable: true },
    );
  }
}
