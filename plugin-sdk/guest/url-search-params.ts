import { formEncode, percentDecode } from "./url-escape.ts";

type ParamsSource =
  | string
  | Iterable<readonly [string, string] | readonly string[]>
  | Readonly<Record<string, string>>;

/** The query of a URL, or the body of a form. */
export class GuestURLSearchParams {
  #entries: [string, string][] = [];
  #changed: (query: string) => void = () => {};

  constructor(source: ParamsSource = "") {
    if (typeof source !== "object" && typeof source !== "function") {
      this.#entries = parse(source.replace(/^\?/, ""));
      return;
    }
    const pairs = Symbol.iterator in source ? source : Object.entries(source);
    for (const pair of pairs as Iterable<readonly string[]>) {
      const [name, value, ...rest] = pair;
      if (name === undefined || value === undefined || rest.length > 0)
        throw new TypeError("Each query pair must be an iterable [name, value] tuple");
      this.#entries.push([text(name), text(value)]);
    }
  }

  get size(): number {
    return this.#entries.length;
  }

  append(name: string, value: string): void {
    this.#entries.push([text(name), text(value)]);
    this.#update();
  }

  delete(name: string, value?: string): void {
    const gone = ([one, its]: [string, string]): boolean =>
      one === text(name) && (value === undefined || its === text(value));
    this.#entries = this.#entries.filter((entry) => !gone(entry));
    this.#update();
  }

  get(name: string): string | null {
    return this.#entries.find(([one]) => one === text(name))?.[1] ?? null;
  }

  getAll(name: string): string[] {
    return this.#entries.filter(([one]) => one === text(name)).map(([, value]) => value);
  }

  has(name: string, value?: string): boolean {
    return this.#entries.some(
      ([one, its]) => one === text(name) && (value === undefined || its === text(value)),
    );
  }

  set(name: string, value: string): void {
    const first = this.#entries.find(([one]) => one === text(name));
    if (!first) return this.append(name, value);
    first[1] = text(value);
    this.#entries = this.#entries.filter((entry) => entry === first || entry[0] !== first[0]);
    this.#update();
  }

  sort(): void {
    this.#entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#update();
  }

  forEach(callback: (value: string, name: string, params: this) => void, self?: unknown): void {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries(): Generator<[string, string], void, undefined> {
    for (const [name, value] of this.#entries) yield [name, value];
  }

  *keys(): Generator<string, void, undefined> {
    for (const [name] of this.#entries) yield name;
  }

  *values(): Generator<string, void, undefined> {
    for (const [, value] of this.#entries) yield value;
  }

  [Symbol.iterator](): Generator<[string, string], void, undefined> {
    return this.entries();
  }

  toString(): string {
    return this.#entries.map(([name, value]) => `${formEncode(name)}=${formEncode(value)}`).join("&");
  }

  #update(): void {
    this.#changed(this.toString());
  }

  /** The params of a URL: what changes here changes there. */
  static bind(changed: (query: string) => void): GuestURLSearchParams {
    const params = new GuestURLSearchParams();
    params.#changed = changed;
    return params;
  }

  static reset(params: GuestURLSearchParams, query: string): void {
    params.#entries = parse(query);
  }
}

const text = (value: unknown): string => String(value).replaceAll(/\p{Cs}/gu, "\ufffd");

function parse(query: string): [string, string][] {
  const decode = (part: string): string => percentDecode(part.replaceAll("+", " "));
  return query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const at = part.indexOf("=");
      return at < 0 ? [decode(part), ""] : [decode(part.slice(0, at)), decode(part.slice(at + 1))];
    });
}
