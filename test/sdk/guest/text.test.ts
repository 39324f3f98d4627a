import fc from "fast-check";
import { expect, test } from "vitest";
import { GuestTextDecoder, GuestTextEncoder } from "@rclaw/plugin-sdk/guest/text";

const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
const anyText = fc
  .array(fc.oneof(unit, fc.string({ unit: "binary" })), { maxLength: 40 })
  .map((all) => all.join(""));
/** Bytes that are almost UTF-8, which is where decoders differ. */
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc
    .array(fc.constantFrom(0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0x80, 0x9f, 0xa0, 0xbb, 0xbf, 0x41), {
      maxLength: 20,
    })
    .map((bytes) => Uint8Array.from(bytes)),
);

test("text is encoded as Node does it", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect([...new GuestTextEncoder().encode(text)]).toEqual([...new TextEncoder().encode(text)]);
    }),
  );
  const [ours, theirs] = [new Uint8Array(5), new Uint8Array(5)];
  expect(new GuestTextEncoder().encodeInto("aé👋x", ours)).toEqual(
    new TextEncoder().encodeInto("aé👋x", theirs),
  );
  expect(ours).toEqual(theirs);
});

test("bytes are decoded as Node does it, whole and in pieces", () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(40), fc.boolean(), (bytes, cut, ignoreBOM) => {
      const [ours, theirs] = [GuestTextDecoder, TextDecoder].map((Decoder) => {
        const decoder = new Decoder("utf-8", { ignoreBOM });
        const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
        return [
          decoder.decode(bytes),
          ...pieces.map((piece) => decoder.decode(piece, { stream: true })),
          decoder.decode(),
        ];
      });
      expect(ours).toEqual(theirs);
    }),
    { numRuns: 2_000 },
  );
});

test("with fatal, what is malformed is an error", () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const [ours, theirs] = [GuestTextDecoder, TextDecoder].map((Decoder) => {
        try {
          return new Decoder("utf-8", { fatal: true }).decode(bytes);
        } catch (error) {
          return (error as Error).name;
        }
      });
      expect(ours).toBe(theirs);
    }),
    { numRuns: 1_000 },
  );
  expect(() => new GuestTextDecoder("latin1")).toThrow(RangeError);
});
