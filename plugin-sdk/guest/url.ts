import { escapeAll, escapes } from "./url-escape.ts";
import { parseHost } from "./url-host.ts";
import { GuestURLSearchParams } from "./url-search-params.ts";

const ports: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "ws:": "80",
  "wss:": "443",
  "ftp:": "21",
  "file:": "",
};
const isSpecial = (scheme: string): boolean => Object.hasOwn(ports, scheme);

interface Parts {
  scheme: string;
  username: string;
  password: string;
  /** Undefined where there is none, as in `mailto:`. */
  host: string | undefined;
  port: string;
  /** Segments, or the text itself of a path that has none. */
  path: string[] | string;
  query: string | undefined;
  fragment: string | undefined;
}

const single = /^(?:\.|%2e)$/i;
const double = /^(?:\.|%2e){2}$/i;

/** Text up to a mark, and what is from the mark on. */
function cut(text: string, mark: RegExp): [string, string] {
  const at = text.search(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
}

function parse(input: string, base: Parts | undefined): Parts | undefined {
  const text = input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
  const [beforeHash, hash] = cut(text, /#/);
  const fragment = hash === "" ? undefined : escapeAll(hash.slice(1), escapes.fragment);
  const named = /^([A-Za-z][A-Za-z0-9+\-.]*):/.exec(beforeHash);
  const scheme = named?.[0].toLowerCase();
  if (scheme !== undefined) {
    const rest = beforeHash.slice(scheme.length);
    const relative = isSpecial(scheme) && base?.scheme === scheme && !/^[/\\]/.test(rest);
    if (!relative || typeof base.path === "string") return absolute(scheme, rest, fragment);
    return resolve(rest, base, fragment);
  }
  if (!base) return undefined;
  if (typeof base.path === "string") return text.startsWith("#") ? { ...base, fragment } : undefined;
  return resolve(beforeHash, base, fragment);
}

function absolute(scheme: string, rest: string, fragment: string | undefined): Parts | undefined {
  const special = isSpecial(scheme);
  const parts = { ...blank, scheme, fragment };
  if (scheme === "file:") return local(rest, parts);
  const slashes = special ? (/^[/\\]*/.exec(rest)?.[0].length ?? 0) : rest.startsWith("//") ? 2 : 0;
  if (special || slashes > 0) return withAuthority(rest.slice(slashes), parts);
  if (rest.startsWith("/")) return withPath(rest, parts, []);
  const [opaque, query] = cut(rest, /\?/);
  return { ...parts, path: escapeAll(opaque, ""), query: queryOf(query, parts) };
}

const blank: Parts = {
  scheme: "",
  username: "",
  password: "",
  host: undefined,
  port: "",
  path: [],
  query: undefined,
  fragment: undefined,
};

/** `file:` is parsed as far as it needs no knowledge of drives. */
function local(rest: string, parts: Parts): Parts | undefined {
  const [, authority, path = rest] = /^[/\\]{2}([^/\\?]*)(.*)$/s.exec(rest) ?? [];
  const host = authority ? parseHost(authority, true) : "";
  if (host === undefined) return undefined;
  return withPath(path, { ...parts, host: host === "localhost" ? "" : host }, []);
}

function resolve(text: string, base: Parts, fragment: string | undefined): Parts | undefined {
  const special = isSpecial(base.scheme);
  const slash = special ? /^[/\\]/ : /^\//;
  if (slash.test(text) && slash.test(text.slice(1))) {
    if (base.scheme === "file:") return local(text, { ...blank, scheme: base.scheme, fragment });
    return withAuthority(special ? text.replace(/^[/\\]*/, "") : text.slice(2), {
      ...blank,
      scheme: base.scheme,
      fragment,
    });
  }
  if (slash.test(text)) return withPath(text, { ...base, fragment }, []);
  const segments = base.path as string[];
  if (text === "") return { ...base, path: [...segments], fragment };
  if (text.startsWith("?")) return { ...base, path: [...segments], query: queryOf(text, base), fragment };
  return withPath(text, { ...base, fragment }, segments.slice(0, -1));
}

function withAuthority(text: string, parts: Parts): Parts | undefined {
  const special = isSpecial(parts.scheme);
  const [authority, rest] = cut(text, special ? /[/\\?]/ : /[/?]/);
  const at = authority.lastIndexOf("@");
  const [username, password] = at < 0 ? ["", ""] : cut(authority.slice(0, at), /:/);
  const place = authority.slice(at + 1);
  const [, hostText = "", portText = ""] = /^(\[[^\]]*\]?|[^:]*)(?::(.*))?$/s.exec(place) ?? [];
  if (hostText === "" && (special || at >= 0 || place.startsWith(":"))) return undefined;
  const host = hostText === "" ? "" : parseHost(hostText, special);
  const port = portOf(portText, parts.scheme);
  if (host === undefined || port === undefined) return undefined;
  return withPath(
    rest,
    {
      ...parts,
      username: escapeAll(username, escapes.userinfo),
      password: escapeAll(password.slice(1), escapes.userinfo),
      host,
      port,
    },
    [],
  );
}

function portOf(text: string, scheme: string): string | undefined {
  if (text === "") return "";
  if (!/^\d+$/.test(text) || Number(text) > 65_535) return undefined;
  const port = String(Number(text));
  return ports[scheme] === port ? "" : port;
}

function queryOf(text: string, { scheme }: Parts): string | undefined {
  if (text === "") return undefined;
  return escapeAll(text.slice(1), isSpecial(scheme) ? escapes.specialQuery : escapes.query);
}

/** Walks the path from where it starts; dots lead up, never above the root. */
function withPath(text: string, parts: Parts, start: readonly string[]): Parts {
  const [pathText, query] = cut(text, /\?/);
  const special = isSpecial(parts.scheme);
  const path = [...start];
  const bare = pathText.replace(special ? /^[/\\]/ : /^\//, "");
  const absent = pathText === "" && start.length === 0 && !special;
  const segments = absent ? [] : bare.split(special ? /[/\\]/ : "/");
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (double.test(segment)) {
      path.pop();
      if (last) path.push("");
    } else if (single.test(segment)) {
      if (last) path.push("");
    } else path.push(escapeAll(segment, escapes.path));
  }
  return { ...parts, path, query: queryOf(query, parts) };
}

function print({ scheme, username, password, host, port, path, query, fragment }: Parts): string {
  const user = username || password ? `${username}${password && `:${password}`}@` : "";
  const authority = host === undefined ? "" : `//${user}${host}${port && `:${port}`}`;
  const dot = host === undefined && typeof path !== "string" && path.length > 1 && path[0] === "" ? "/." : "";
  const rest = `${query === undefined ? "" : `?${query}`}${fragment === undefined ? "" : `#${fragment}`}`;
  return scheme + authority + dot + printPath(path) + rest;
}

const printPath = (path: string[] | string): string =>
  typeof path === "string" ? path : path.map((segment) => `/${segment}`).join("");

export class GuestURL {
  #parts: Parts;
  readonly searchParams: GuestURLSearchParams;

  constructor(input: string | GuestURL, base?: string | GuestURL) {
    const against = base === undefined ? undefined : parse(String(base), undefined);
    const parts = base !== undefined && !against ? undefined : parse(String(input), against);
    if (!parts)
      throw Object.assign(new TypeError("Invalid URL"), { code: "ERR_INVALID_URL", input: String(input) });
    this.#parts = parts;
    this.searchParams = GuestURLSearchParams.bind((query) => {
      this.#parts.query = query === "" ? undefined : query;
    });
    this.#sync();
  }

  static canParse(input: string, base?: string): boolean {
    return GuestURL.parse(input, base) !== null;
  }

  static parse(input: string, base?: string): GuestURL | null {
    try {
      return new GuestURL(input, base);
    } catch {
      return null;
    }
  }

  get href(): string {
    return print(this.#parts);
  }
  set href(value: string) {
    this.#parts = new GuestURL(value).#parts;
    this.#sync();
  }

  get origin(): string {
    const { scheme, host, port } = this.#parts;
    if (!isSpecial(scheme) || scheme === "file:") return "null";
    return `${scheme}//${host ?? ""}${port && `:${port}`}`;
  }

  get protocol(): string {
    return this.#parts.scheme;
  }
  set protocol(value: string) {
    const scheme = /^[A-Za-z][A-Za-z0-9+\-.]*/.exec(value)?.[0].toLowerCase();
    if (scheme === undefined || isSpecial(`${scheme}:`) !== isSpecial(this.#parts.scheme)) return;
    this.#parts.scheme = `${scheme}:`;
    this.#parts.port = portOf(this.#parts.port, this.#parts.scheme) ?? "";
  }

  get username(): string {
    return this.#parts.username;
  }
  set username(value: string) {
    if (this.#parts.host) this.#parts.username = escapeAll(value, escapes.userinfo);
  }

  get password(): string {
    return this.#parts.password;
  }
  set password(value: string) {
    if (this.#parts.host) this.#parts.password = escapeAll(value, escapes.userinfo);
  }

  get host(): string {
    const { host, port } = this.#parts;
    return `${host ?? ""}${port && `:${port}`}`;
  }
  set host(value: string) {
    const [, host = "", port] = /^(\[[^\]]*\]|[^:/?#\\]*)(?::(\d+))?/.exec(value) ?? [];
    this.hostname = host;
    if (port !== undefined) this.port = port;
  }

  get hostname(): string {
    return this.#parts.host ?? "";
  }
  set hostname(value: string) {
    if (typeof this.#parts.path === "string") return;
    const special = isSpecial(this.#parts.scheme);
    const text = cut(value, special ? /[/?#\\]/ : /[/?#]/)[0];
    if (text.includes(":") && !text.startsWith("[")) return;
    const host = text === "" && !special ? "" : parseHost(text, special);
    if (host !== undefined) this.#parts.host = host;
  }

  get port(): string {
    return this.#parts.port;
  }
  set port(value: string) {
    if (!this.#parts.host || this.#parts.scheme === "file:") return;
    const digits = /^\d*/.exec(value)?.[0] ?? "";
    if (digits === "" && value !== "") return;
    this.#parts.port = portOf(digits, this.#parts.scheme) ?? this.#parts.port;
  }

  get pathname(): string {
    return printPath(this.#parts.path);
  }
  set pathname(value: string) {
    if (typeof this.#parts.path === "string") return;
    const text = value.replaceAll("?", "%3F").replaceAll("#", "%23");
    this.#parts.path = withPath(text, { ...this.#parts, query: undefined }, []).path;
  }

  get search(): string {
    return this.#parts.query ? `?${this.#parts.query}` : "";
  }
  set search(value: string) {
    const text = value;
    this.#parts.query =
      text === "" ? undefined : queryOf(text.startsWith("?") ? text : `?${text}`, this.#parts);
    this.#sync();
  }

  get hash(): string {
    return this.#parts.fragment ? `#${this.#parts.fragment}` : "";
  }
  set hash(value: string) {
    const text = value.replace(/^#/, "");
    this.#parts.fragment = text === "" ? undefined : escapeAll(text, escapes.fragment);
  }

  toString(): string {
    return this.href;
  }

  toJSON(): string {
    return this.href;
  }

  #sync(): void {
    GuestURLSearchParams.reset(this.searchParams, this.#parts.query ?? "");
  }
}
