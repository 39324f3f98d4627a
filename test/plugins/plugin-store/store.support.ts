import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import type { Logger } from "@rclaw/plugin-sdk";
import type { KnownPlugin, StageOptions, StorePorts } from "@rclaw/plugin-sdk/services/plugin-store";
import service from "../../../plugins/services/plugin-store/index.ts";

export const store = service.service;

const silent = (): void => undefined;
export const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };

const builtIns: readonly KnownPlugin[] = [
  { id: "telegram", name: "Telegram" },
  { id: "ollama", name: "Ollama" },
  { id: "read", name: "Read files" },
];

/** A state folder and a folder beside it for sources, gone after the test. */
export async function createPlace() {
  const root = await mkdtemp(path.join(os.tmpdir(), "rclaw-store-"));
  const stateDir = path.join(root, "state");
  await mkdir(path.join(root, "src"));
  const ports: StorePorts = { stateDir, log, fetch: globalThis.fetch };
  const options: StageOptions = { builtIns, baseDir: path.join(root, "src") };
  return {
    root,
    stateDir,
    ports,
    options,
    source: path.join(root, "src"),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

type Place = Awaited<ReturnType<typeof createPlace>>;

export const manifest = (more: object = {}): Record<string, unknown> => ({
  id: "weather",
  name: "Weather report",
  description: "Tells how the weather is.",
  version: "1.0.0",
  runtime: "wasm",
  entry: "plugin.wasm",
  contributes: { tools: ["weather"] },
  permissions: { net: ["api.example.org"] },
  ...more,
});

export const wasm = (mark = ""): Buffer =>
  Buffer.concat([
    Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]),
    ...(mark === "" ? [] : [section("mark", Buffer.from(mark))]),
  ]);

export function section(name: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), content]);
  const size: number[] = [];
  for (let rest = body.length; ; rest >>>= 7) {
    size.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([0, ...size]), body]);
}

/** The files of a plugin that works. */
export const plugin = (more: object = {}, extra: Record<string, string | Buffer> = {}) => ({
  "rclaw.plugin.json5": JSON.stringify(manifest(more)),
  "plugin.wasm": wasm(),
  ...extra,
});

export async function writeFolder(folder: string, files: Record<string, string | Buffer>): Promise<string> {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  return folder;
}

export interface RawEntry {
  readonly path: string;
  readonly content?: string | Buffer;
  readonly kind?: string;
  readonly link?: string;
  readonly mode?: number;
  readonly magic?: string;
  readonly size?: string;
}

/** An archive that says whatever is wanted, which no ordinary program writes. */
export function rawTar(entries: readonly RawEntry[], end = Buffer.alloc(1024)): Buffer {
  const blocks = entries.flatMap(({ path: name, content = "", kind = "0", link = "", ...more }) => {
    const bytes = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(name, 0, 100);
    header.write(`${(more.mode ?? 0o755).toString(8).padStart(7, "0")}\0`, 100);
    header.write("0000000\x000000000\0", 108);
    header.write(more.size ?? `${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("00000000000\0        ", 136);
    header.write(kind, 156);
    header.write(link, 157, 100);
    header.write(more.magic ?? "ustar\x0000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, end]);
}

export const pax = (key: string, value: string): RawEntry => {
  const body = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(body) + 1;
  while (String(length).length + Buffer.byteLength(body) !== length) length += 1;
  return { path: "PaxHeader", kind: "x", content: `${length}${body}` };
};

export const tgz = (files: Record<string, string | Buffer>, more: readonly RawEntry[] = []): Buffer =>
  gzipSync(
    rawTar([
      ...Object.entries(files).map(([name, content]) => ({ path: `package/${name}`, content })),
      ...more,
    ]),
  );

const sri = (bytes: Uint8Array): string => `sha512-${createHash("sha512").update(bytes).digest("base64")}`;

/** A registry on this machine, with whatever it is told to have. */
export async function createRegistry() {
  const answers = new Map<string, Buffer | string>();
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const answer = answers.get(request.url ?? "");
    if (answer === undefined) response.writeHead(404).end("{}");
    else response.writeHead(200).end(answer);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url,
    asked,
    answers,
    publish(name: string, version: string, packed: Buffer, more: { dist?: object; version?: object } = {}) {
      const file = `${name.replace("/", "-")}-${version}.tgz`;
      answers.set(`/files/${file}`, packed);
      const dist = { tarball: `${url}files/${file}`, integrity: sri(packed), ...more.dist };
      const key = `/${name.replace("/", "%2f")}`;
      const before = answers.get(key);
      const { versions = {} } = (before === undefined ? {} : JSON.parse(before.toString())) as {
        versions?: object;
      };
      answers.set(
        key,
        JSON.stringify({
          name,
          "dist-tags": { latest: version },
          versions: { ...versions, [version]: { name, version, dist, ...more.version } },
        }),
      );
    },
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Stages, agrees to everything, commits. */
export async function install(
  { ports, options }: Pick<Place, "ports" | "options">,
  source: string,
  more: Partial<StageOptions> = {},
) {
  const staged = await store.stage(ports, source, { ...options, ...more });
  const plan = await store.inspect(ports, staged, options);
  return store.commit(ports, staged, { digest: plan.digest, accepts: plan.asks }, options);
}
