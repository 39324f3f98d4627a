import { createPrivateKey, createPublicKey, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { lstat } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { writeAtomic } from "@rclaw/plugin-sdk/atomic";
import type { FileHashes, Signer } from "@rclaw/plugin-sdk/services/plugin-store";
import { readRegular } from "./digest.ts";
import { rotationBytes, type SignatureFile, signedBytes, signerOf } from "./signature.ts";
import { codeOf, own } from "./text.ts";

interface KeyPair {
  /** Raw public key, base64. */
  readonly key: string;
  /** PKCS #8, base64. */
  readonly privateKey: string;
}

interface KeyFile extends KeyPair {
  readonly algorithm: "ed25519";
  /** The one before, which vouches for this one. */
  readonly rotatedFrom?: KeyPair;
}

const keyPath = (stateDir: string): string => path.join(stateDir, "plugin-signing-key.json");

function makeKey(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    key: rawOf(publicKey.export({ format: "jwk" }).x),
    privateKey: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
  };
}

const rawOf = (x: string | undefined): string => Buffer.from(x ?? "", "base64url").toString("base64");
const privateOf = (text: string) =>
  createPrivateKey({ key: Buffer.from(text, "base64"), format: "der", type: "pkcs8" });

/** Does the private half really belong to the public one? A file that was put together by hand would sign for nobody. */
function isPair(value: unknown): value is KeyPair {
  const [key, privateKey] = [own(value, "key"), own(value, "privateKey")];
  if (typeof key !== "string" || typeof privateKey !== "string") return false;
  try {
    return rawOf(createPublicKey(privateOf(privateKey)).export({ format: "jwk" }).x) === key;
  } catch {
    return false;
  }
}

async function readKey(stateDir: string): Promise<KeyFile | undefined> {
  const file = keyPath(stateDir);
  let text: string;
  try {
    text = (await readRegular(file, 65_536)).toString("utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  if (((await lstat(file)).mode & 0o077) !== 0)
    throw new RclawError(
      "CONFIG_INVALID",
      `${file} can be read by others, so the key in it may be known to them; chmod 600 it, or move it away and sign with a new one`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const before = own(value, "rotatedFrom");
  if (own(value, "algorithm") !== "ed25519" || !isPair(value) || (before !== undefined && !isPair(before)))
    throw new RclawError(
      "CONFIG_INVALID",
      `${file} holds no signing key; put a copy of it back, or move it away`,
    );
  const { key, privateKey } = value;
  return { algorithm: "ed25519", key, privateKey, ...(before !== undefined && { rotatedFrom: before }) };
}

async function writeKey(stateDir: string, key: KeyFile): Promise<void> {
  await writeAtomic(keyPath(stateDir), `${JSON.stringify(key, undefined, 2)}\n`, 0o600);
}

/** The signature of a package, with a key that is made when there is none. */
export async function signFiles(stateDir: string, files: FileHashes, id: string): Promise<SignatureFile> {
  let own = await readKey(stateDir);
  if (!own) {
    own = { algorithm: "ed25519", ...makeKey() };
    await writeKey(stateDir, own);
  }
  const sign = (bytes: Uint8Array, pair: KeyPair): string =>
    signBytes(undefined, bytes, privateOf(pair.privateKey)).toString("base64");
  const { key, rotatedFrom } = own;
  return {
    algorithm: "ed25519",
    key,
    signature: sign(signedBytes(files), own),
    ...(rotatedFrom && {
      rotatedFrom: { key: rotatedFrom.key, signature: sign(rotationBytes(id, key), rotatedFrom) },
    }),
  };
}

/** A new key, which the old one vouches for in every package that is signed from now on. */
export async function rotateSigningKey(stateDir: string): Promise<Signer> {
  const before = await readKey(stateDir);
  const now = makeKey();
  await writeKey(stateDir, {
    algorithm: "ed25519",
    ...now,
    ...(before && { rotatedFrom: { key: before.key, privateKey: before.privateKey } }),
  });
  return signerOf(now.key);
}
