import { execFileSync } from "node:child_process";
import { lstatSync } from "node:fs";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPlace, pax, plugin, rawTar, type RawEntry, store, tgz, writeFolder } from "./store.support.ts";

type Place = Awaited<ReturnType<typeof createPlace>>;

async function stageBytes(place: Place, packed: Uint8Array) {
  await writeFile(path.join(place.source, "p.tgz"), packed);
  return store.stage(place.ports, "./p.tgz", place.options);
}

/** Everything below a folder, links not followed. */
async function everything(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.toSorted((a, b) => (a < b ? -1 : 1));
}

const long = `package/${"long-folder-name/".repeat(3)}${"long-file-name-".repeat(6)}.txt`;
/** A name as GNU tar writes it when it does not fit into its field. */
const gnu = (content: string | Buffer, kind = "L"): RawEntry => ({
  path: "././@LongLink",
  kind,
  content,
  magic: "ustar  \0",
});

const hostile: readonly (readonly [string, readonly RawEntry[], RegExp])[] = [
  ["a path that leaves", [{ path: "package/../../evil" }], /leaves the package/],
  ["an absolute path", [{ path: "/etc/evil" }], /is absolute/],
  ["an absolute path behind a dot", [{ path: ".//etc/evil" }], /is absolute/],
  ["a drive", [{ path: "C:/evil" }], /backslash or a colon/],
  ["a backslash", [{ path: "package\\..\\evil" }], /backslash or a colon/],
  ["an empty segment", [{ path: "package//x" }], /no plain path/],
  ["a dot in the middle", [{ path: "package/./x" }], /no plain path/],
  ["a NUL in a name", [{ path: "package/a.js\0.txt" }], /NUL/],
  ["a NUL in a long name", [pax("path", "package/a\0b"), { path: "x" }], /control characters/],
  ["a long name that leaves", [pax("path", "package/../../evil"), { path: "x" }], /leaves the package/],
  ["a line break", [{ path: "package/a\nb" }], /control characters/],
  ["a word that turns the line around", [{ path: "package/a\u202Egnp.js" }], /control characters/],
  ["a symbolic link", [{ path: "package/x", kind: "2", link: "/etc/passwd" }], /symbolic link/],
  ["a hard link", [{ path: "package/x", kind: "1", link: "/etc/passwd" }], /hard link/],
  ["a device", [{ path: "package/x", kind: "3" }], /a device/],
  ["a pipe", [{ path: "package/x", kind: "6" }], /a pipe/],
  ["a kind nobody knows", [{ path: "package/x", kind: "Z" }], /something unknown/],
  ["a long link of GNU tar", [gnu("/etc/passwd\0", "K"), { path: "package/x", kind: "2" }], /a long link/],
  ["a link with a long name", [gnu(`${long}\0`), { path: "x", kind: "2", link: "/etc" }], /symbolic link/],
  ["a GNU name that leaves", [gnu("package/../../evil\0"), { path: "x" }], /leaves the package/],
  ["a GNU name that is absolute", [gnu("/etc/evil\0"), { path: "x" }], /is absolute/],
  ["a GNU name with a NUL in it", [gnu("package/a.js\0.txt\0"), { path: "x" }], /NUL/],
  ["a GNU name of nothing", [gnu("\0"), { path: "package/x" }], /long name that is empty/],
  ["a GNU name without a byte", [gnu(""), { path: "package/x" }], /long name that is empty/],
  ["a GNU name that is no UTF-8", [gnu(Buffer.from([0xff, 0xfe, 0])), { path: "x" }], /no UTF-8/],
  ["a GNU name too long", [gnu(`package/${"x".repeat(240)}\0`), { path: "x" }], /longer than 240/],
  ["a GNU name longer than any", [gnu("x".repeat(4_097)), { path: "x" }], /a name of 4097 bytes/],
  ["two GNU names in a row", [gnu(`${long}\0`), gnu("package/b\0"), { path: "x" }], /no file follows/],
  ["a GNU name at the end", [gnu(`${long}\0`)], /ends after the header of a file/],
  [
    "a GNU name and one of a header",
    [gnu(`${long}\0`), pax("path", "package/b"), { path: "x" }],
    /no file follows/,
  ],
  [
    "a header and a GNU name of one file",
    [pax("path", "package/b"), gnu(`${long}\0`), { path: "x" }],
    /extended header that no file follows/,
  ],
  [
    "the same name, once as GNU tar says it",
    [{ path: "package/a" }, gnu("package/A\0"), { path: "x" }],
    /same file/,
  ],
  ["a link target in a header", [pax("linkpath", "/etc/passwd"), { path: "package/x" }], /no package of npm/],
  ["two sizes", [pax("size", "9"), { path: "package/x", content: "1" }], /two sizes/],
  ["a size that is no number", [{ path: "package/x", size: "\u0080\0\0\0\0\0\0\0\0\0\0\u0001" }], /octal/],
  ["a size below zero", [{ path: "package/x", size: "-0000000001\0" }], /octal/],
  ["the same name twice", [{ path: "package/a" }, { path: "package/a" }], /same file/],
  ["the same name in capitals", [{ path: "package/a.js" }, { path: "package/A.JS" }], /same file/],
  [
    "the same name composed otherwise",
    [{ path: "package/\u00E9" }, { path: "package/e\u0301" }],
    /same file/,
  ],
  ["the same name with a long s", [{ path: "package/s" }, { path: "package/\u017F" }], /same file/],
  ["folders that differ in capitals", [{ path: "package/a/x" }, { path: "package/A/y" }], /same file/],
  ["a file that is a folder too", [{ path: "package/a" }, { path: "package/a/b" }], /same file/],
  ["the prototype as a name", [{ path: "package/__proto__" }], /prototype/],
  ["a device of Windows", [{ path: "package/aux.js" }], /every system/],
  ["a name with a dot at its end", [{ path: "package/x." }], /every system/],
  ["a path too deep", [{ path: `${"d/".repeat(12)}x` }], /deeper than 12/],
  ["a path too long", [pax("path", `package/${"x".repeat(240)}`), { path: "x" }], /longer than 240/],
  ["a header for all files", [{ path: "g", kind: "g", content: "16 path=evil.js\n" }], /all files/],
  ["an archive that is none", [{ path: "package/x", magic: "none" }], /ustar/],
];

test.each(hostile)(
  "SEC-155 SEC-163 %s is refused, and nothing is written beside staging",
  async (_what, entries, why) => {
    await using place = await createPlace();
    const before = await everything(place.root);
    const packed = gzipSync(
      rawTar([
        ...Object.entries(plugin()).map(([name, content]) => ({ path: `package/${name}`, content })),
        ...entries,
      ]),
    );
    await expect(stageBytes(place, packed)).rejects.toThrow(why);
    const after = await everything(place.root);
    expect(after.filter((name) => !before.includes(name))).toEqual([
      "src/p.tgz",
      "state",
      "state/plugins",
      "state/plugins/.staging",
    ]);
  },
);

test("an archive without an end, with something after it, cut or with a wrong checksum is refused", async () => {
  await using place = await createPlace();
  const entries = Object.entries(plugin()).map(([name, content]) => ({ path: `package/${name}`, content }));
  const whole = rawTar(entries);
  const damaged = Buffer.from(whole);
  damaged[3] = 0x41;
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    [rawTar(entries, Buffer.alloc(0)), /has no end/],
    [Buffer.concat([whole, rawTar([{ path: "package/late.js" }])]), /goes on after its end/],
    [whole.subarray(0, 700), /in the middle of a file/],
    [damaged, /checksum/],
    [Buffer.alloc(0), /has no end/],
  ];
  for (const [bytes, why] of cases) await expect(stageBytes(place, gzipSync(bytes))).rejects.toThrow(why);
  await expect(stageBytes(place, gzipSync(whole).subarray(0, 200))).rejects.toMatchObject({
    code: "INVALID_REQUEST",
  });
  await expect(stageBytes(place, Buffer.from("no gzip"))).rejects.toMatchObject({ code: "INVALID_REQUEST" });
});

test("SEC-157 a bomb is stopped while it unpacks, by its ratio, its size, its files and its nesting", async () => {
  await using place = await createPlace();
  const zeros = tgz(plugin({}, { "zeros.bin": Buffer.alloc(40 * 1024 * 1024) }));
  expect(zeros.length).toBeLessThan(100_000);
  await expect(stageBytes(place, zeros)).rejects.toThrow(/200 times its size/);

  // A file that claims to be larger than anything, with nothing behind the claim.
  const claim = gzipSync(rawTar([{ path: "package/huge", size: "77777777777\0" }]));
  await expect(stageBytes(place, claim)).rejects.toMatchObject({ code: "TOO_LARGE" });

  const noise = Buffer.alloc(1024 * 1024);
  for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE((at * 2654435761) >>> 0, at);
  const large = rawTar(Array.from({ length: 65 }, (_v, at) => ({ path: `package/${at}`, content: noise })));
  await expect(stageBytes(place, gzipSync(large, { level: 1 }))).rejects.toMatchObject({ code: "TOO_LARGE" });

  const many = gzipSync(rawTar(Array.from({ length: 2_100 }, (_v, at) => ({ path: `package/${at}` }))));
  await expect(stageBytes(place, many)).rejects.toThrow(/more than 2000 files/);
  const folders = gzipSync(
    rawTar(Array.from({ length: 2_100 }, (_v, at) => ({ path: `f${at}/`, kind: "5" }))),
  );
  await expect(stageBytes(place, folders)).rejects.toThrow(/2000 folders/);
  expect(await readdir(path.join(place.stateDir, "plugins/.staging"))).toEqual([]);

  // A package in a package is a file like any other.
  const nested = await stageBytes(place, tgz(plugin({}, { "inner.tgz": zeros })));
  expect(Object.keys(nested.files)).toContain("inner.tgz");
});

test("what npm and tar make is read, and what we make they can read", async () => {
  await using place = await createPlace();
  const deep = `${"long-folder-name-".repeat(5)}/${"long-file-name-".repeat(6)}.txt`;
  const folder = await writeFolder(path.join(place.source, "weather"), {
    ...plugin({}, { [deep]: "deep", "ünïcödé.md": "x" }),
    "package.json": JSON.stringify({ name: "rclaw-weather", version: "1.0.0" }),
  });
  const out = path.join(place.root, "out");
  await mkdir(out);
  execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--offline", "--pack-destination", out], {
    cwd: folder,
  });
  const byNpm = await store.stage(place.ports, "../out/rclaw-weather-1.0.0.tgz", place.options);
  execFileSync("tar", ["czf", path.join(out, "gnu.tgz"), "--format=ustar", "-C", folder, "."]);
  const byTar = await store.stage(place.ports, "../out/gnu.tgz", place.options);

  const ours = await store.pack(folder);
  await writeFile(path.join(out, "ours.tgz"), ours.tgz);
  const byUs = await store.stage(place.ports, "../out/ours.tgz", place.options);
  expect(new Set([byNpm.digest, byTar.digest, byUs.digest, ours.digest]).size).toBe(1);
  const listed = execFileSync("tar", ["tzf", path.join(out, "ours.tgz")], {
    encoding: "utf8",
    env: { LC_ALL: "C.UTF-8", PATH: process.env["PATH"] },
  });
  expect(listed).toContain(`package/${deep}\n`);
  expect(listed.trim().split("\n")).toHaveLength(5);
});

const isGnuTar = (): boolean => {
  try {
    return execFileSync("tar", ["--version"], { encoding: "utf8" }).includes("GNU tar");
  } catch {
    return false;
  }
};

test("an archive that somebody made by hand with GNU tar is read, names of any length too", async (context) => {
  if (!isGnuTar()) {
    console.warn("left out: tar is not GNU tar here");
    return context.skip();
  }
  await using place = await createPlace();
  // The field of 100 bytes ends in the middle of a letter.
  const names = [
    `${"a-folder-of-a-long-name-".repeat(4)}/${"ünïcödé-".repeat(8)}.md`,
    "x".repeat(100 - "weather/".length),
    "y".repeat(101 - "weather/".length),
    `${"ü".repeat(70)}.md`,
    `${"deep/".repeat(9)}${"z".repeat(120)}/short.txt`,
  ];
  const files = Object.fromEntries(names.map((name, at) => [name, `content ${at}`]));
  const folder = await writeFolder(path.join(place.source, "weather"), plugin({}, files));
  const { digest } = await store.pack(folder);
  for (const format of ["gnu", "oldgnu", "posix"])
    for (const what of [
      ["-C", folder, "."],
      ["-C", place.source, "weather"],
    ]) {
      const packed = execFileSync("tar", ["cz", `--format=${format}`, ...what]);
      const isLong = gunzipSync(packed).includes("././@LongLink");
      expect(isLong, format).toBe(format !== "posix");
      expect(await stageBytes(place, packed), format).toMatchObject({ digest });
    }

  await symlink("/etc/passwd", path.join(folder, "l".repeat(120)));
  await symlink(`/${"t".repeat(120)}`, path.join(folder, "short"));
  for (const link of ["l".repeat(120), "short"])
    await expect(
      stageBytes(place, execFileSync("tar", ["cz", "--format=gnu", "-C", folder, link])),
    ).rejects.toThrow(/as a (?:symbolic link|long link as GNU tar writes it); only files/);
});

test("whatever happens to an archive's bytes, nothing is written beside staging and nothing crashes", async () => {
  await using place = await createPlace();
  const whole = gunzipSync(
    tgz(plugin({}, { "lib/a.js": "a", "lib/b.js": "b".repeat(600) }), [
      pax("path", "package/lib/c.js"),
      { path: "x", content: "c" },
      gnu(`${long}\0`),
      { path: "x", content: "d", magic: "ustar  \0" },
    ]),
  );
  const before = await everything(place.source);
  const change = fc.record({
    at: fc.nat({ max: whole.length - 1 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
  });
  const words = fc.constantFrom(
    "../../../evil",
    "/tmp/evil",
    "package/../x",
    "a\0b",
    "0000777\0",
    "2",
    "5",
    "x",
    "L",
    "K",
  );
  const word = fc.record({
    block: fc.nat({ max: whole.length / 512 - 1 }),
    offset: fc.constantFrom(0, 100, 124, 156, 157, 345),
    text: words,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { maxLength: 3 }),
      fc.array(word, { maxLength: 3 }),
      fc.boolean(),
      async (changes, texts, mend) => {
        const bytes = Buffer.from(whole);
        for (const { at, bytes: patch } of changes) bytes.set(patch.subarray(0, bytes.length - at), at);
        for (const { block, offset, text } of texts) bytes.write(text, block * 512 + offset, "latin1");
        if (mend) mendChecksums(bytes);
        await store.stage(place.ports, await written(place, bytes), place.options).then(
          async (staged) => {
            for (const name of await everything(staged.folder))
              expect(lstatSync(path.join(staged.folder, name)).isSymbolicLink()).toBe(false);
            await store.discard(staged);
          },
          (error: unknown) => expect(error).toHaveProperty("name", "RclawError"),
        );
        expect(await everything(place.root)).toEqual(
          [
            ...["src", "state", "state/plugins", "state/plugins/.staging"],
            ...[...before, "p.tgz"].map((name) => `src/${name}`),
          ].toSorted(),
        );
      },
    ),
    { numRuns: 250 },
  );
});

async function written(place: Place, bytes: Buffer): Promise<string> {
  await writeFile(path.join(place.source, "p.tgz"), gzipSync(bytes, { level: 1 }));
  return "./p.tgz";
}

/** Otherwise nearly every change would only ever reach the checksum. */
function mendChecksums(bytes: Buffer): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString("latin1", at + 257, at + 262) !== "ustar") continue;
    bytes.write("        ", at + 148);
    const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148);
  }
}
