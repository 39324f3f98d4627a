import { expect, test } from "vitest";
import { GuestURL } from "@rclaw/plugin-sdk/guest/url";
import { GuestURLSearchParams } from "@rclaw/plugin-sdk/guest/url-search-params";

const hosts = [
  "example.org",
  "EXAMPLE.Org",
  "example.org.",
  "a_b.example",
  "127.0.0.1",
  "127.1",
  "0x7f.1",
  "0177.0.0.1",
  "2130706433",
  "0x7f000001",
  "256.0.0.1",
  "1.2.3.4.5",
  "1.2.3.4.",
  "1.2.3.08",
  "4294967296",
  "[::1]",
  "[::ffff:127.0.0.1]",
  "[1:2:3:4:5:6:7:8]",
  "[2001:DB8:0:0:1:0:0:1]",
  "[::]",
  "[1::8:0:0]",
  "[1:2]",
  "[::1",
  "[::1.2.3.4.5]",
  "[::01.2.3.4]",
  "exa%6Dple.org",
  "exa%00mple.org",
  "exa mple.org",
  "a%2fb.org",
  "bücher.example",
  "日本語.jp",
  "①②7.0.0.1",
  "１２７.０.０.１",
  "faß.de",
  "xn--bcher-kva.example",
  "a..b",
  "",
  "-a-.org",
  "a^b",
  "a|b",
  "1e3",
  "09",
  "localhost",
  "a.0x",
  "a.1",
];
const rests = [
  "",
  "/",
  ":80/",
  ":443",
  ":8080/a/b",
  ":65536/",
  ":x/",
  ":0080/",
  "/a/../b",
  "/a/./b/",
  "/a/%2e%2E/b",
  "/../..",
  "/a b?c d#e f",
  "/ü?ü#ü",
  "?q='\"<>`",
  "#'\"<>`{}",
  "/{}|`[]\\x",
  "\\a\\..\\b",
  "//double//",
  "/%zz%41?%zz%41",
  "/a?b?c#d#e",
  "/a;b=c:d@e,f+g&h$i!j*k(l)",
  "/\u{1f600}\ud800",
  "/a\tb\nc",
];
const users = ["", "user@", "user:pass@", "us er:p@ss@", ":@", "a:b:c@", "ü:é@"];
const schemes = ["http://", "https://", "HTTPS://", "ws://", "wss://", "https:/", "https:", "http:\\\\"];

const inputs: string[] = [
  ...schemes.flatMap((scheme) => hosts.slice(0, 12).map((host) => `${scheme}${host}/x`)),
  ...hosts.flatMap((host) => [`https://${host}`, `https://${host}:8080/a?b#c`]),
  ...rests.flatMap((rest) => [`https://example.org${rest}`, `ws://u:p@h${rest}`]),
  ...users.map((user) => `https://${user}example.org/`),
  "mailto:a@b.example?subject=x y#z",
  "data:text/plain,hello world",
  "urn:isbn:1",
  "foo://Host/a/../b?c",
  "foo:/a/b",
  "foo:///x",
  "  https://example.org/  ",
  "//example.org",
  "nonsense",
  "",
  "https://",
  "https:///example.org",
  "1http://x",
];
const relatives = [
  ...["", "a", "./a", "../a", "../../../a", "/a", "//h/a", "?q", "#f", "a?q#f", ".", "..", "a/..", "https:a"],
  ...["http:a", "\\a", "a\\b", "x:y", "  a ", ":a", "a:b", "//", "///a", "%2e%2e/a", "é?é#é", "a//b", ";x"],
];
const bases = ["https://u:p@example.org:8443/x/y/z?q#f", "http://h", "ws://h/a/", "foo://h/a/b"];

const parts = ["href", "origin", "protocol", "username", "password", "host", "hostname", "port"] as const;
const rest = ["pathname", "search", "hash"] as const;

function seen(make: () => GuestURL | URL): unknown {
  try {
    const url = make();
    return [...parts, ...rest].map((part) => url[part]);
  } catch (error) {
    return (error as Error).name;
  }
}

test(`${inputs.length} addresses are read as Node reads them`, () => {
  for (const input of inputs)
    expect([input, seen(() => new GuestURL(input))]).toEqual([input, seen(() => new URL(input))]);
});

test(`${relatives.length * bases.length} relative addresses are resolved as Node resolves them`, () => {
  for (const base of bases)
    for (const input of relatives)
      expect([base, input, seen(() => new GuestURL(input, base))]).toEqual([
        base,
        input,
        seen(() => new URL(input, base)),
      ]);
});

test("against an address without a path only a fragment is relative", () => {
  expect(new GuestURL("#f", "mailto:x").href).toBe("mailto:x#f");
  for (const input of ["", "a", "/a", "?q"]) expect(GuestURL.canParse(input, "mailto:x")).toBe(false);
});

const changes: readonly [keyof URL, string][] = [
  ...["a b", "/x/../y", "?q#h", "", "ü"].map((value): [keyof URL, string] => ["pathname", value]),
  ...["a=b c", "?x", "", "#"].map((value): [keyof URL, string] => ["search", value]),
  ...["h h", "#x", ""].map((value): [keyof URL, string] => ["hash", value]),
  ...["80", "443", "8080", "", "99999", "12x", "x"].map((value): [keyof URL, string] => ["port", value]),
  ...["h:9", "b.example", "", "[::1]:5", "a b", "h:443"].map((value): [keyof URL, string] => ["host", value]),
  ...["H", "", "a:1", "x/y"].map((value): [keyof URL, string] => ["hostname", value]),
  ...["http", "ws:", "foo", "1"].map((value): [keyof URL, string] => ["protocol", value]),
  ...["u@", "ü"].flatMap((value): [keyof URL, string][] => [
    ["username", value],
    ["password", value],
  ]),
];

test("parts that are set change the address as in Node", () => {
  for (const start of ["https://u:p@example.org:8443/x?q#f", "https://example.org/"])
    for (const [part, value] of changes) {
      const [ours, theirs] = [new GuestURL(start), new URL(start)];
      Object.assign(ours, { [part]: value });
      Object.assign(theirs, { [part]: value });
      expect([start, part, value, ours.href]).toEqual([start, part, value, theirs.href]);
    }
});

test("queries are read and written as in Node", () => {
  const queries = [
    "a=1&b=2&a=3",
    "?x",
    "a+b=c%20d",
    "%zz=%41",
    "&&a==b&",
    "ü=é&\u{1f600}",
    "a=%E4%BD",
    "*-._~=!'()",
  ];
  for (const query of queries) {
    const [ours, theirs] = [new GuestURLSearchParams(query), new URLSearchParams(query)];
    expect([...ours]).toEqual([...theirs]);
    expect(ours.toString()).toBe(theirs.toString());
    for (const params of [ours, theirs]) {
      params.append("new", "ä b");
      params.set("a", "one");
      params.delete("x");
      params.sort();
    }
    expect([ours.toString(), ours.size, ours.get("a"), ours.has("b", "2")]).toEqual([
      theirs.toString(),
      theirs.size,
      theirs.get("a"),
      theirs.has("b", "2"),
    ]);
  }
  expect(new GuestURLSearchParams({ a: "b c", d: "é" }).toString()).toBe("a=b+c&d=%C3%A9");
});

test("a URL and its query stay the same", () => {
  const url = new GuestURL("https://a.example/?x=1#h");
  url.searchParams.append("y", "a b");
  expect(url.href).toBe("https://a.example/?x=1&y=a+b#h");
  url.search = "?z=2";
  expect(url.searchParams.get("z")).toBe("2");
  url.searchParams.delete("z");
  expect(url.href).toBe("https://a.example/#h");
});
