import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";

/** A device's proof of identity as `connect` carries it. */
export interface DeviceClaim {
  readonly id: string;
  readonly publicKey: string;
  readonly signature: string;
  readonly signedAt: number;
  readonly nonce?: string;
}

/** What the device signed beside its own id and time. */
export interface SignedFacts {
  readonly clientId: string;
  readonly clientMode: string;
  readonly role: string;
  readonly scopes: readonly string[];
  readonly token: string;
  readonly platform: string;
  readonly deviceFamily: string;
}

export interface DeviceFault {
  readonly message: string;
  readonly reason:
    | "device-id-mismatch"
    | "device-signature-stale"
    | "device-nonce-missing"
    | "device-nonce-mismatch"
    | "device-signature"
    | "device-public-key";
}

const maxSkewMs = 120_000;

/** Undefined when the claim holds. The order of checks is the protocol's: clients branch on the first failure. */
export function checkDevice(
  device: DeviceClaim,
  facts: SignedFacts,
  { nonce, now, mayOmitNonce }: { nonce: string; now: number; mayOmitNonce: boolean },
): DeviceFault | undefined {
  const key = publicKey(device.publicKey);
  const raw = rawOf(key);
  if (!key || !raw) return { message: "device public key invalid", reason: "device-public-key" };
  if (createHash("sha256").update(Buffer.from(raw, "base64url")).digest("hex") !== device.id) {
    return { message: "device identity mismatch", reason: "device-id-mismatch" };
  }
  if (Math.abs(now - device.signedAt) > maxSkewMs)
    return { message: "device signature expired", reason: "device-signature-stale" };
  if (device.nonce === undefined && !mayOmitNonce)
    return { message: "device nonce required", reason: "device-nonce-missing" };
  if (device.nonce !== undefined && device.nonce !== nonce)
    return { message: "device nonce mismatch", reason: "device-nonce-mismatch" };

  const signature = Buffer.from(device.signature, "base64url");
  // With a nonce at hand the payload without one is never tried: that would undo the nonce.
  const payloads =
    device.nonce === undefined
      ? [payloadV1(device, facts)]
      : [payloadV3(device, facts), payloadV2(device, facts)];
  const isSigned =
    signature.length === 64 && payloads.some((payload) => verify(null, Buffer.from(payload), key, signature));
  return isSigned ? undefined : { message: "device signature invalid", reason: "device-signature" };
}

/** A public key as devices are known by it: base64url of the raw bytes, however it was written. */
export function rawPublicKey(text: string): string | undefined {
  return rawOf(publicKey(text));
}

function rawOf(key: KeyObject | undefined): string | undefined {
  return key?.export({ format: "jwk" }).x;
}

/** base64url of the raw 32 bytes, or PEM; undefined for anything that is no Ed25519 key. */
function publicKey(text: string): KeyObject | undefined {
  try {
    if (text.includes("BEGIN")) {
      const key = createPublicKey(text);
      return key.asymmetricKeyType === "ed25519" ? key : undefined;
    }
    if (!/^[A-Za-z0-9_+/-]{43}=?$/.test(text)) return undefined;
    const x = Buffer.from(text, "base64url").toString("base64url");
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch {
    return undefined;
  }
}

function common(device: DeviceClaim, facts: SignedFacts): string {
  const { clientId, clientMode, role, scopes, token } = facts;
  return [device.id, clientId, clientMode, role, scopes.join(","), device.signedAt, token].join("|");
}

function payloadV1(device: DeviceClaim, facts: SignedFacts): string {
  return `v1|${common(device, facts)}`;
}

function payloadV2(device: DeviceClaim, facts: SignedFacts): string {
  return `v2|${common(device, facts)}|${device.nonce ?? ""}`;
}

function payloadV3(device: DeviceClaim, facts: SignedFacts): string {
  return `v3|${common(device, facts)}|${device.nonce ?? ""}|${folded(facts.platform)}|${folded(facts.deviceFamily)}`;
}

/** Trimmed and lower-cased in ASCII only: a locale must not change what was signed. */
function folded(text: string): string {
  return text.trim().replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
