import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign as signWith,
  verify as verifyWith,
} from "node:crypto";
import { inspect } from "node:util";
import { createTestContext } from "@rclaw/plugin-sdk/testing";
import { sign, verify } from "@rclaw/plugin-sdk/services/signatures";
import { describe, expect, test } from "vitest";

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));

describe("an HMAC", () => {
  // RFC 2202 (SHA-1) and RFC 4231 (SHA-2), as far as their keys are text.
  test.each([
    ["sha1", "Jefe", "what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"],
    [
      "sha256",
      "Jefe",
      "what do ya want for nothing?",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    [
      "sha512",
      "Jefe",
      "what do ya want for nothing?",
      "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ],
    [
      "sha256",
      "\u000b".repeat(20),
      "Hi There",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ],
  ] as const)("%s is the RFC's", (hmac, key, data, expected) => {
    expect(sign("k", key, { hmac, data })).toBe(expected);
    expect(sign("k", key, { hmac, data: new TextEncoder().encode(data), encoding: "base64" })).toBe(
      Buffer.from(expected, "hex").toString("base64"),
    );
    expect(verify("k", key, { hmac, data, signature: expected })).toBe(true);
    const encoded = Buffer.from(expected, "hex").toString("base64url");
    expect(verify("k", key, { hmac, data, signature: encoded, encoding: "base64url" })).toBe(true);
  });

  test("that is wrong, cut or no text of that encoding is not verified", () => {
    const right = sign("k", "key", { hmac: "sha256", data: "x" });
    for (const signature of [
      "",
      right.slice(0, -2),
      `${right}00`,
      right.replace(/^./, (c) => (c === "0" ? "1" : "0")),
      "zz",
    ])
      expect(verify("k", "key", { hmac: "sha256", data: "x", signature })).toBe(false);
    expect(verify("k", "other", { hmac: "sha256", data: "x", signature: right })).toBe(false);
  });
});

describe("a JWT", () => {
  test("with HS256 is what anybody who has the secret computes", () => {
    const token = sign("k", "your-256-bit-secret", {
      jwt: "HS256",
      claims: { sub: "1234567890", name: "John Doe", iat: 1_516_239_022 },
      header: { kid: "a", alg: "none" },
    });
    const [header = "", claims = "", signature] = token.split(".");
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toEqual({
      typ: "JWT",
      kid: "a",
      alg: "HS256",
    });
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({ sub: "1234567890" });
    expect(signature).toBe(
      createHmac("sha256", "your-256-bit-secret").update(`${header}.${claims}`).digest("base64url"),
    );
  });

  test.each([
    ["RS256", generateKeyPairSync("rsa", { modulusLength: 2048 })],
    ["ES256", generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ] as const)("with %s verifies with the public key", (jwt, { publicKey, privateKey }) => {
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const token = sign("k", pem, { jwt, claims: { iss: "x" } });
    const [header = "", claims = "", signature = ""] = token.split(".");
    const raw = Buffer.from(signature, "base64url");
    if (jwt === "ES256") expect(raw).toHaveLength(64);
    expect(
      verifyWith(
        "sha256",
        Buffer.from(`${header}.${claims}`),
        { key: publicKey, dsaEncoding: "ieee-p1363" },
        raw,
      ),
    ).toBe(true);
  });
});

describe("an Ed25519 signature", () => {
  // RFC 8032, 7.1, test 3.
  const key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
  const data = bytes("af82");
  const signature =
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";

  test("is the RFC's, with the key in hex, base64 or PEM", () => {
    const raw = Buffer.from(key, "hex");
    const pem = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") },
      format: "jwk",
    })
      .export({ type: "spki", format: "pem" })
      .toString();
    for (const given of [key, raw.toString("base64"), pem, ` ${key}\n`])
      expect(verify("k", given, { ed25519: true, data, signature })).toBe(true);
    expect(verify("k", key, { ed25519: true, data: bytes("af83"), signature })).toBe(false);
    expect(verify("k", key, { ed25519: true, data, signature: signature.slice(2) })).toBe(false);
  });

  test("as Discord sends it: of the time stamp and the body", () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const hex = publicKey.export({ type: "spki", format: "der" }).subarray(-32).toString("hex");
    const signed = signWith(null, Buffer.from(`1700000000{"type":1}`), privateKey).toString("hex");
    expect(verify("k", hex, { ed25519: true, data: `1700000000{"type":1}`, signature: signed })).toBe(true);
    expect(verify("k", hex, { ed25519: true, data: `1700000001{"type":1}`, signature: signed })).toBe(false);
  });
});

test("a value is compared whole, whatever its length", () => {
  expect(verify("k", "the token", { equals: "the token" })).toBe(true);
  for (const equals of ["", "the toke", "the token ", "THE TOKEN"])
    expect(verify("k", "the token", { equals })).toBe(false);
});

describe("what cannot be used is told without the key", () => {
  const secret = "canary-5f1e-not-a-key";
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  const other = privateKey.export({ type: "pkcs8", format: "pem" }) as string;

  test.each([
    [
      "a text for RS256",
      () => sign("jira.key", secret, { jwt: "RS256", claims: {} }),
      "it is not a private key in PEM",
    ],
    [
      "a broken PEM",
      () =>
        sign("jira.key", `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`, {
          jwt: "ES256",
          claims: {},
        }),
      "it is not a private key in PEM",
    ],
    [
      "another curve",
      () => sign("jira.key", other, { jwt: "ES256", claims: {} }),
      "a key on the curve P-256",
    ],
    ["an EC key for RSA", () => sign("jira.key", other, { jwt: "RS256", claims: {} }), "an RSA key"],
    ["an empty secret", () => sign("jira.key", "", { hmac: "sha256", data: "" }), "it is empty"],
    [
      "a text for Ed25519",
      () => verify("jira.key", secret, { ed25519: true, data: "", signature: "" }),
      "an Ed25519 public key",
    ],
  ])("%s", (_what, use, reason) => {
    let error: unknown;
    try {
      use();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: "INVALID_REQUEST", details: { secret: "jira.key" } });
    expect((error as Error).message).toContain(reason);
    expect((error as Error).message).toContain("jira.key");
    const text = inspect(error, { depth: 9, showHidden: true });
    expect(text).not.toContain(secret);
    expect(text).not.toContain(other.split("\n")[1]);
  });

  test.each([
    [{ hmac: "md5", data: "" }, "hmac must be one of sha1, sha256, sha512"],
    [{ hmac: "sha256", data: 1 }, "data is neither text nor bytes"],
    [{ hmac: "sha256", data: "", encoding: "utf8" }, "encoding must be one of"],
    [{ jwt: "none", claims: {} }, "jwt must be one of HS256, RS256, ES256"],
  ])("a request that is not understood: %j", (request, reason) => {
    expect(() => sign("k", "key", request as never)).toThrow(reason);
  });

  test("a check that is none", () => {
    expect(() => verify("k", "key", { data: "", signature: "" } as never)).toThrow(
      "neither hmac, equals nor ed25519",
    );
    expect(() => verify("k", "key", { equals: 1 } as never)).toThrow("equals is no text");
  });
});

test("the test context signs and verifies like the gateway", async () => {
  await using rclaw = createTestContext({ secrets: { "a.key": "Jefe" } });
  const { secrets } = rclaw.context;
  const signature = await secrets.sign("a.key", { hmac: "sha1", data: "what do ya want for nothing?" });
  expect(signature).toBe("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  expect(
    await secrets.verify("a.key", { hmac: "sha1", data: "what do ya want for nothing?", signature }),
  ).toBe(true);
  await expect(secrets.sign("a.none", { hmac: "sha1", data: "" })).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
});
