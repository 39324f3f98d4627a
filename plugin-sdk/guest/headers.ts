const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const space = /^[\t\n\r ]+|[\t\n\r ]+$/g;

export type HeadersSource =
  | GuestHeaders
  | Iterable<readonly [string, string] | readonly string[]>
  | Readonly<Record<string, string>>;

/** Headers of a request or an answer; names in lower case, sorted when they are listed. */
export class GuestHeaders {
  readonly #entries: [string, string][] = [];

  constructor(source?: HeadersSource | null) {
    if (source === undefined || source === null) return;
    const pairs = Symbol.iterator in source ? source : Object.entries(source);
    for (const [name, value] of pairs as Iterable<readonly [string, string]>) this.append(name, value);
  }

  append(name: string, value: string): void {
    this.#entries.push([checkedName(name), checkedValue(name, value)]);
  }

  set(name: string, value: string): void {
    const key = checkedName(name);
    const text = checkedValue(name, value);
    const first = this.#entries.find(([one]) => one === key);
    if (!first) return void this.#entries.push([key, text]);
    first[1] = text;
    this.#remove(([one], at) => one === key && this.#entries[at] !== first);
  }

  get(name: string): string | null {
    const key = checkedName(name);
    const values = this.#entries.filter(([one]) => one === key).map(([, value]) => value);
    return values.length > 0 ? values.join(", ") : null;
  }

  getSetCookie(): string[] {
    return this.#entries.filter(([name]) => name === "set-cookie").map(([, value]) => value);
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  delete(name: string): void {
    const key = checkedName(name);
    this.#remove(([one]) => one === key);
  }

  forEach(callback: (value: string, name: string, headers: this) => void, self?: unknown): void {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries(): Generator<[string, string], void, undefined> {
    const names = Array.from(new Set(this.#entries.map(([name]) => name))).sort();
    for (const name of names) {
      if (name === "set-cookie") for (const value of this.getSetCookie()) yield [name, value];
      else yield [name, this.get(name) ?? ""];
    }
  }

  *keys(): Generator<string, void, undefined> {
    for (const [name] of this) yield name;
  }

  *values(): Generator<string, void, undefined> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): Generator<[string, string], void, undefined> {
    return this.entries();
  }

  #remove(which: (entry: [string, string], at: number) => boolean): void {
    const rest = this.#entries.filter((entry, at) => !which(entry, at));
    this.#entries.splice(0, this.#entries.length, ...rest);
  }
}

function checkedName(name: unknown): string {
  const text = String(name);
  if (!token.test(text)) throw new TypeError(`Headers: "${text}" is an invalid header name.`);
  return text.toLowerCase();
}

function checkedValue(name: unknown, value: unknown): string {
  const text = String(value).replace(space, "");
  for (const char of text) {
    const point = char.codePointAt(0) ?? 0;
    if (point === 0 || point === 10 || point === 13 || point > 255)
      throw new TypeError(`Headers: "${String(name)}" has an invalid value.`);
  }
  return text;
}
