import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { chmod, readFile } from "node:fs/promises";
import path from "node:path";
import { RclawError } from "@rclaw/plugin-sdk";
import { storeAtomic } from "@rclaw/plugin-sdk/services/disk-fault";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import { identityFile } from "./methods.schema.ts";

export interface GatewayIdentity {
  readonly deviceId: string;
  /** The raw key, base64url. */
  readonly publicKey: string;
}

/** The key pair that this gateway is known by, in OpenClaw's file, so that one that was moved over stays the same. */
export function createIdentity(stateDir: string): () => Promise<GatewayIdentity> {
  const file = path.join(stateDir, "identity", "device.json");
  let known: Promise<GatewayIdentity> | undefined;
  return () => {
    if (!known) {
      known = load(file);
      // A file that somebody mended counts without a restart.
      known.catch(() => (known = undefined));
    }
    return known;
  };
}

async function load(file: string): Promise<GatewayIdentity> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return create(file);
    throw new RclawError("UNAVAILABLE", `${file} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  // Where modes mean nothing this changes nothing.
  await chmod(file, 0o600).catch(() => undefined);
  const identity = identityIn(text);
  if (identity) return identity;
  throw new RclawError(
    "STORE_DEGRADED",
    `${file} is damaged; restore it, or remove it and the gateway gets a new identity`,
  );
}

/** Undefined when the two keys and the id do not belong together. */
function identityIn(text: string): GatewayIdentity | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!compile(identityFile).valid(value)) return undefined;
    const { deviceId, publicKeyPem, privateKeyPem } = value as {
      deviceId: string;
      publicKeyPem: string;
      privateKeyPem: string;
    };
    const found = identityOf(publicKeyPem);
    const same = createPublicKey(createPrivateKey(privateKeyPem)).export({ format: "jwk" }).x;
    return found.deviceId === deviceId && found.publicKey === same ? found : undefined;
  } catch {
    // The parser's message would quote the key.
    return undefined;
  }
}

async function create(file: string): Promise<GatewayIdentity> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const identity = identityOf(publicKey);
  const content = {
    version: 1,
    deviceId: identity.deviceId,
    publicKeyPem: publicKey,
    privateKeyPem: privateKey,
    createdAtMs: Date.now(),
  };
  await storeAtomic(file, `${JSON.stringify(content, null, 2)}\n`);
  return identity;
}

function identityOf(publicKeyPem: string): GatewayIdentity {
  const publicKey = createPublicKey(publicKeyPem).export({ format: "jwk" }).x ?? "";
  const deviceId = createHash("sha256").update(Buffer.from(publicKey, "base64url")).digest("hex");
  return { deviceId, publicKey };
}
