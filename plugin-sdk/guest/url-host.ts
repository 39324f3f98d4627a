import { escapeAll, percentDecode } from "./url-escape.ts";

/** Parses a host as the WHATWG URL standard does; undefined when it is none. */
export function parseHost(text: string, special: boolean): string | undefined {
  if (text.startsWith("[")) {
    if (!text.endsWith("]")) return undefined;
    const pieces = parseIPv6(text.slice(1, -1));
    return pieces && `[${printIPv6(pieces)}]`;
  }
  if (!special) return /[\0\t\n\r #/:<>?@[\\\]^|]/.test(text) ? undefined : escapeAll(text, "");
  const host = toAscii(percentDecode(text));
  if (host === undefined || host === "" || /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/.test(host)) return undefined;
  const last =
    host
      .split(".")
      .filter((label, at, all) => label !== "" || at < all.length - 1)
      .at(-1) ?? "";
  if (!/^\d+$/.test(last) && parseNumber(last) === undefined) return host;
  return parseIPv4(host);
}

function parseNumber(text: string): number | undefined {
  const [digits, base] = /^0x/i.test(text)
    ? [text.slice(2), 16]
    : text.length > 1 && text.startsWith("0")
      ? [text.slice(1), 8]
      : [text, 10];
  if (digits === "") return text === "" ? undefined : 0;
  const allowed = base === 16 ? /^[0-9a-f]+$/i : base === 8 ? /^[0-7]+$/ : /^\d+$/;
  return allowed.test(digits) ? Number.parseInt(digits, base) : undefined;
}

function parseIPv4(host: string): string | undefined {
  const parts = host.replace(/\.$/, "").split(".");
  if (parts.length > 4) return undefined;
  let address = 0;
  for (const [at, part] of parts.entries()) {
    const number = parseNumber(part);
    if (number === undefined) return undefined;
    const last = at === parts.length - 1;
    if (number >= (last ? 256 ** (5 - parts.length) : 256)) return undefined;
    address += last ? number : number * 256 ** (3 - at);
  }
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

function parseIPv6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const read = (half: string, isLast: boolean): number[] | undefined => {
    if (half === "") return [];
    const pieces: number[] = [];
    const parts = half.split(":");
    for (const [at, part] of parts.entries()) {
      if (isLast && at === parts.length - 1 && part.includes(".")) {
        if (!/^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(part)) return undefined;
        const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
        pieces.push(a * 256 + b, c * 256 + d);
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) pieces.push(Number.parseInt(part, 16));
      else return undefined;
    }
    return pieces;
  };
  const [first = "", second] = halves;
  const before = read(first, second === undefined);
  const after = second === undefined ? [] : read(second, true);
  if (!before || !after) return undefined;
  const missing = 8 - before.length - after.length;
  if (second === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...before, ...Array.from({ length: missing }, () => 0), ...after];
}

function printIPv6(pieces: readonly number[]): string {
  let best = { at: -1, size: 1 };
  for (let at = 0; at < 8; at++) {
    let size = 0;
    while (pieces[at + size] === 0) size++;
    if (size > best.size) best = { at, size };
  }
  const print = (some: readonly number[]): string => some.map((piece) => piece.toString(16)).join(":");
  if (best.at < 0) return print(pieces);
  return `${print(pieces.slice(0, best.at))}::${print(pieces.slice(best.at + best.size))}`;
}

/**
 * Lower case, and Punycode for what is not ASCII. The mapping is Unicode's own compatibility form, which
 * differs from IDNA's table in rare characters; the host checks the address again before it connects.
 */
function toAscii(host: string): string | undefined {
  if (!/[^\0-\x7f]/.test(host)) return host.toLowerCase();
  const mapped = host
    .replaceAll(/\u00ad|\u200b|\u2060|\ufeff|[\ufe00-\ufe0f]/g, "")
    .normalize("NFKC")
    .toLowerCase()
    .normalize("NFC")
    .replaceAll(/[\u3002\uff0e\uff61]/g, ".");
  if (/[\p{Cn}\p{Co}\p{Cs}\p{Cc}\p{Zs}\ufffd]/u.test(mapped)) return undefined;
  const labels = mapped.split(".").map((label) => {
    if (!/[^\0-\x7f]/.test(label)) return label;
    return `xn--${punycode(Array.from(label, (char) => char.codePointAt(0) ?? 0))}`;
  });
  return labels.join(".");
}

/** RFC 3492. */
function punycode(points: readonly number[]): string {
  let output = String.fromCodePoint(...points.filter((point) => point < 0x80));
  const basic = output.length;
  if (basic > 0) output += "-";
  let done = basic;
  let next = 0x80;
  let delta = 0;
  let bias = 72;
  while (done < points.length) {
    const smallest = Math.min(...points.filter((point) => point >= next));
    delta += (smallest - next) * (done + 1);
    next = smallest;
    for (const point of points) {
      if (point < next) delta++;
      if (point !== next) continue;
      output += digits(delta, bias);
      bias = adapt(delta, done + 1, done === basic);
      delta = 0;
      done++;
    }
    delta++;
    next++;
  }
  return output;
}

const digit = (value: number): string => String.fromCharCode(value < 26 ? value + 97 : value + 22);

function digits(delta: number, bias: number): string {
  let output = "";
  let rest = delta;
  for (let k = 36; ; k += 36) {
    const threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
    if (rest < threshold) return output + digit(rest);
    output += digit(threshold + ((rest - threshold) % (36 - threshold)));
    rest = Math.floor((rest - threshold) / (36 - threshold));
  }
}

function adapt(delta: number, count: number, first: boolean): number {
  let rest = Math.floor(delta / (first ? 700 : 2));
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > 455; k += 36) rest = Math.floor(rest / 35);
  return k + Math.floor((36 * rest) / (rest + 38));
}
