import path from "node:path";
import { gzipSync } from "node:zlib";
import { RclawError } from "@rclaw/plugin-sdk";
import type { PackOptions, Packed } from "@rclaw/plugin-sdk/services/plugin-store";
import { digestOf, sha512 } from "./digest.ts";
import { signatureName } from "./layout.ts";
import { limits, mebibytes } from "./limits.ts";
import { segmentsOf } from "./names.ts";
import { readManifest, requireManifest } from "./manifest.ts";
import { packageJson, selectFiles } from "./selection.ts";
import { signerOf } from "./signature.ts";
import { signFiles } from "./signing-key.ts";
import { writeTar } from "./tar.ts";
import { own, quoted } from "./text.ts";

/** Byte 9 of gzip's header names the system it was made on. */
const anySystem = 255;

/** A package of a folder: the same files give the same bytes, wherever and whenever. */
export async function pack(folder: string, { sign }: PackOptions = {}): Promise<Packed> {
  await requireManifest(folder, folder);
  const selected = await selectFiles(folder);
  const files = Object.fromEntries(selected.map(({ path: file, content }) => [file, sha512(content)]));
  const manifest = await readManifest(folder, Object.keys(files), folder);
  const { id } = manifest;
  const told = own(await packageJson(folder), "version");
  const version = manifest.version ?? (typeof told === "string" ? told : "0.0.0");
  if (!/^[\w.+-]{1,100}$/.test(version))
    throw new RclawError("INVALID_REQUEST", `${quoted(version)} is no version; write it like 1.0.0`);
  // As they will be in the archive, where they are one folder deeper.
  for (const file of Object.keys(files)) segmentsOf(`package/${file}`);
  const signature = sign && (await signFiles(sign.stateDir, files, id));
  const entries = selected.map(({ path: file, content }) => ({
    path: path.posix.join("package", file),
    content,
  }));
  if (signature)
    entries.push({
      path: `package/${signatureName}`,
      content: Buffer.from(`${JSON.stringify(signature, undefined, 2)}\n`),
    });
  const tgz = gzipSync(writeTar(entries), { level: 9 });
  tgz[9] = anySystem;
  if (tgz.length > limits.packedBytes)
    throw new RclawError("TOO_LARGE", `the package is larger than ${mebibytes(limits.packedBytes)}`);
  return {
    fileName: `${id}-${version}.tgz`,
    tgz,
    id,
    version,
    digest: digestOf(files),
    files,
    ...(signature && { signer: signerOf(signature.key) }),
  };
}
