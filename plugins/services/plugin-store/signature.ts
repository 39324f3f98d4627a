import { createHash, createPublicKey, verify as verifyBytes } from "node:crypto";
import { RclawError } from "@rclaw/plugin-sdk";
import { compile } from "@rclaw/plugin-sdk/schema/check";
import type { FileHashes, Signer } from "@rclaw/plugin-sdk/services/plugin-store";
import type { Static } from "typebox";
import { fileList } from "./digest.ts";
import { signatureName } from "./layout.ts";
import { signatureSchema } from "./lock.schema.ts";

export type SignatureFile = Static<typeof signatureSchema>;

const schema = compile(signatureSchema);

/** What is signed says what it is, so that one kind of signature can never stand for another. */
export const signedBytes = (files: FileHashes): Buffer =>
  Buffer.from(`rclaw plugin signature 1\n${fileList(files)}`);
export const rotationBytes = (id: string, newKey: string): Buffer =>
  Buffer.from(`rclaw plugin key rotation 1\n${id}\n${newKey}\n`);

export function signerOf(key: string): Signer {
  const hash = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return { key, fingerprint: `SHA256:${hash.replace(/=+$/, "")}` };
}

function isSigned(bytes: Uint8Array, key: string, signature: string): boolean {
  const x = Buffer.from(key, "base64").toString("base64url");
  try {
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    return verifyBytes(undefined, bytes, publicKey, Buffer.from(signature, "base64"));
  } catch {
    return false;
  }
}

/** Who signed these files. One whose signature does not fit is refused: somebody changed the package after it was signed. */
export function readSignature(
  text: string,
  files: FileHashes,
  id: string,
): { readonly signer: Signer; readonly rotatedFrom?: Signer } {
  const refuse = (why: string): never => {
    throw new RclawError(
      "INVALID_REQUEST",
      `${signatureName} of plugin "${id}" ${why}. Nothing was installed; do not trust this package`,
      { details: { plugin: id } },
    );
  };
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    refuse("is no JSON");
  }
  if (!schema.valid(raw)) refuse("is no signature");
  const { key, signature, rotatedFrom } = raw as SignatureFile;
  if (!isSigned(signedBytes(files), key, signature)) refuse("does not fit its files: they were changed");
  if (!rotatedFrom) return { signer: signerOf(key) };
  if (!isSigned(rotationBytes(id, key), rotatedFrom.key, rotatedFrom.signature))
    refuse("claims an older key that did not agree");
  return { signer: signerOf(key), rotatedFrom: signerOf(rotatedFrom.key) };
}
