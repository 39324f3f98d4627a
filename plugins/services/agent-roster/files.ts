import { createHash } from "node:crypto";
import path from "node:path";
import { type Caller, defineMethod, type Method, type PluginContext, RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import { type FileKind, kindOf, type PlainFile, readPlain } from "@rclaw/plugin-sdk/services/plain-file";
import { createTurns } from "@rclaw/plugin-sdk/turns";
import { agentIn, type Configuration } from "./configuration.ts";
import { fileParams, filesParams, setFileParams } from "./methods.schema.ts";

export interface RosterOptions {
  readonly context: PluginContext;
  readonly configuration: Configuration;
}

/** Files with a meaning, in the order clients show them. Nothing else of a workspace is reached this way. */
const names = [
  ...["AGENTS.md", "SOUL.md", "TOOLS.md", "IDENTITY.md", "USER.md", "HEARTBEAT.md", "BOOTSTRAP.md"],
  "MEMORY.md",
];
const otherMemory = "memory.md";
const maxBytes = 2 * 1_024 * 1_024;

const reasons: Readonly<Record<Exclude<FileKind, "plain" | "missing">, string>> = {
  link: "symbolic links are not followed",
  "hard-linked": "hardlinked file path not allowed",
  odd: "path is not a regular file",
};

/** `agents.files.*`: the files that are read before every answer. */
export function fileMethods({ context, configuration }: RosterOptions): readonly Method[] {
  // A hash that was compared must still be true when the file is replaced.
  const inTurn = createTurns();

  async function workspaceOf(agentId: string): Promise<{ agentId: string; workspace: string }> {
    const agent = agentIn(await configuration.read(), agentId);
    if (!agent) throw new RclawError("INVALID_REQUEST", "unknown agent id");
    return { agentId: agent.id, workspace: await context.sessions.workspace(agent.id) };
  }

  async function place(params: { agentId: string; name: string }) {
    const found = await workspaceOf(params.agentId);
    const name = params.name.trim();
    if (!names.includes(name) && name !== otherMemory)
      throw new RclawError("INVALID_REQUEST", `unsupported file "${name}"`);
    const file = path.join(found.workspace, name);
    return { ...found, name, file, kind: await safeKind(file, name) };
  }

  async function set(
    params: { agentId: string; name: string; content: string; expectedHash?: string },
    caller: Caller,
  ): Promise<object> {
    const { name, file, kind, ...found } = await place(params);
    const size = Buffer.byteLength(params.content);
    if (size > maxBytes) throw tooLarge(name, size);
    const before = kind === "missing" ? undefined : await read(file, name);
    if (params.expectedHash !== undefined) {
      const current = before && hashOf(before.text);
      if (current !== params.expectedHash.toLowerCase()) throw changed(name, current);
    }
    await write(file, name, params.content, before?.mode);
    const written = await read(file, name);
    return { ok: true, ...found, file: described({ name, file, ...written, text: params.content }, caller) };
  }

  return [
    defineMethod({
      name: "agents.files.list",
      since: "2026.2.17",
      params: filesParams,
      async handle({ params: { agentId }, caller }) {
        const found = await workspaceOf(agentId);
        const files = await Promise.all(names.map((name) => look(found.workspace, name, caller)));
        const memory = await look(found.workspace, otherMemory, caller);
        if (files.at(-1)?.missing && !memory.missing) files.splice(-1, 1, memory);
        return { ...found, files };
      },
    }),
    defineMethod({
      name: "agents.files.get",
      since: "2026.2.17",
      params: fileParams,
      async handle({ params, caller }) {
        const { name, file, kind, ...found } = await place(params);
        if (kind === "missing") return { ...found, file: absent(name, file, caller) };
        const content = await read(file, name);
        return { ...found, file: described({ name, file, ...content }, caller) };
      },
    }),
    defineMethod({
      name: "agents.files.set",
      since: "2026.2.17",
      params: setFileParams,
      handle: ({ params, caller }) => inTurn(() => set(params, caller)),
    }),
  ];
}

async function safeKind(file: string, name: string): Promise<"plain" | "missing"> {
  const kind = await kindOf(file);
  if (kind === "plain" || kind === "missing") return kind;
  throw new RclawError("INVALID_REQUEST", `unsafe workspace file "${name}" (${reasons[kind]})`);
}

async function read(file: string, name: string): Promise<PlainFile> {
  const content = await readPlain(file, maxBytes);
  // It was looked at a moment ago, so somebody is exchanging it or we may not read it.
  if (!content) throw new RclawError("INVALID_REQUEST", `unsafe workspace file "${name}"`);
  if (content.size > maxBytes) throw tooLarge(name, content.size);
  return content;
}

async function write(file: string, name: string, content: string, mode = 0o600): Promise<void> {
  try {
    await writeAtomic(file, content, mode);
  } catch (cause) {
    const { code = "failed" } = cause as NodeJS.ErrnoException;
    throw new RclawError("UNAVAILABLE", `workspace file "${name}" cannot be written (${code})`, { cause });
  }
}

interface FileLine {
  readonly name: string;
  readonly path: string;
  readonly missing: boolean;
  readonly [field: string]: unknown;
}

async function look(workspace: string, name: string, caller: Caller): Promise<FileLine> {
  const file = path.join(workspace, name);
  const content = await readPlain(file, 0);
  if (!content) return absent(name, file, caller);
  return { name, path: file, missing: false, size: content.size, updatedAtMs: content.updatedAt };
}

/** Protocol 4 tells files that are missed from those that nobody needs. */
function absent(name: string, file: string, { protocol = 3 }: Caller): FileLine {
  const isOptional =
    name !== "AGENTS.md" && name !== "SOUL.md" && name !== "IDENTITY.md" && name !== "USER.md";
  return { name, path: file, missing: true, ...(protocol >= 4 && { expectedAbsent: isOptional }) };
}

function described(
  { name, file, text, size, updatedAt }: { name: string; file: string } & PlainFile,
  { protocol = 3 }: Caller,
): FileLine {
  const hash = protocol >= 4 ? { hash: hashOf(text) } : {};
  return { name, path: file, missing: false, size, updatedAtMs: updatedAt, ...hash, content: text };
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function changed(name: string, currentHash: string | undefined): RclawError {
  return new RclawError("INVALID_REQUEST", `agent file "${name}" changed since it was read`, {
    details: { type: "agent_file_conflict", name, ...(currentHash && { currentHash }) },
  });
}

function tooLarge(name: string, size: number): RclawError {
  return new RclawError(
    "TOO_LARGE",
    `workspace file "${name}" has ${size} bytes; at most ${maxBytes} can be shown and edited here`,
  );
}
