/**
 * What a plugin in AssemblyScript needs of rclaw: tools, their params as JSON, results and the host's verbs. It speaks
 * the ABI of rclaw:plugin@0.1.0 for core modules; nothing in here has to be changed for a plugin.
 */

// @ts-ignore: decorator
@external("extism:host/env", "alloc")
declare function hostAlloc(bytes: u64): u64;
// @ts-ignore: decorator
@external("extism:host/env", "store_u8")
declare function hostStore(address: u64, byte: u32): void;
// @ts-ignore: decorator
@external("extism:host/env", "store_u64")
declare function hostStoreWord(address: u64, bytes: u64): void;
// @ts-ignore: decorator
@external("extism:host/env", "load_u8")
declare function hostLoad(address: u64): u32;
// @ts-ignore: decorator
@external("extism:host/env", "load_u64")
declare function hostLoadWord(address: u64): u64;
// @ts-ignore: decorator
@external("extism:host/env", "length")
declare function hostLength(address: u64): u64;
// @ts-ignore: decorator
@external("extism:host/env", "input_length")
declare function hostInputLength(): u64;
// @ts-ignore: decorator
@external("extism:host/env", "input_load_u8")
declare function hostInput(at: u64): u32;
// @ts-ignore: decorator
@external("extism:host/env", "input_load_u64")
declare function hostInputWord(at: u64): u64;
// @ts-ignore: decorator
@external("extism:host/env", "output_set")
declare function hostOutput(address: u64, bytes: u64): void;
// @ts-ignore: decorator
@external("extism:host/env", "log_info")
declare function hostLogInfo(address: u64): void;
// @ts-ignore: decorator
@external("extism:host/env", "log_error")
declare function hostLogError(address: u64): void;
// @ts-ignore: decorator
@external("extism:host/user", "rclaw_call")
declare function hostCall(request: u64): u64;

/** A failed assertion or a throw ends the call; this says where, in the gateway's log. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? "abort" : message;
  const where = file === null ? "" : file;
  hostLogError(toHost(`${what} (${where}:${line}:${column})`));
  unreachable();
}

/** A value of JSON. Asking a value for what it is not gives a harmless answer: "", 0, false or nothing. */
export class Json {
  /** "object", "array", "string", "number", "boolean", "null", or "missing". */
  kind: string = "missing";
  text: string = "";
  number: f64 = 0;
  items: Json[] = [];
  names: string[] = [];

  /** A member of an object; its kind is "missing" when there is none. */
  get(name: string): Json {
    const at = this.names.indexOf(name);
    return at < 0 ? new Json() : this.items[at];
  }

  get isTrue(): bool {
    return this.kind == "boolean" && this.text == "true";
  }

  static parse(text: string): Json {
    return new Reader(text).value(0);
  }

  /** A text as JSON, with its quotation marks. */
  static quote(text: string): string {
    let out = '"';
    // Copied in runs: a text that grows by one character is copied as a whole each time.
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code >= 0x20 && code != 0x22 && code != 0x5c) continue;
      out += text.substring(from, at);
      from = at + 1;
      if (code < 0x20) out += "\\u00" + (code < 16 ? "0" : "1") + (code % 16).toString(16);
      else out += "\\" + text.charAt(at);
    }
    return out + text.substring(from) + '"';
  }
}

/** Reads JSON that the host wrote, so it is well formed; what is not reads as null. */
class Reader {
  private at: i32 = 0;

  constructor(private text: string) {}

  value(depth: i32): Json {
    const json = new Json();
    const first = this.next();
    if (first == "{" || first == "[") {
      if (depth < 64) this.list(json, first == "{", depth);
    } else if (first == '"') {
      json.kind = "string";
      json.text = this.string();
    } else {
      this.word(json);
    }
    return json;
  }

  /** The next character that is no space, without taking it. */
  private next(): string {
    while (this.at < this.text.length && this.text.charCodeAt(this.at) <= 0x20) this.at++;
    return this.at < this.text.length ? this.text.charAt(this.at) : "";
  }

  private list(json: Json, isObject: bool, depth: i32): void {
    json.kind = isObject ? "object" : "array";
    const end = isObject ? "}" : "]";
    this.at++;
    while (this.next() != end && this.next() != "") {
      if (isObject) {
        json.names.push(this.string());
        if (this.next() == ":") this.at++;
      }
      json.items.push(this.value(depth + 1));
      if (this.next() == ",") this.at++;
    }
    this.at++;
  }

  private string(): string {
    let out = "";
    let from = ++this.at;
    while (this.at < this.text.length) {
      const code = this.text.charCodeAt(this.at++);
      if (code != 0x22 && code != 0x5c) continue;
      out += this.text.substring(from, this.at - 1);
      if (code == 0x22) return out;
      out += this.escape();
      from = this.at;
    }
    return out + this.text.substring(from);
  }

  private escape(): string {
    const char = this.text.charAt(this.at++);
    if (char == "n") return "\n";
    if (char == "t") return "\t";
    if (char == "r") return "\r";
    if (char == "b") return "\b";
    if (char == "f") return "\f";
    if (char != "u") return char;
    const code = <i32>parseInt(this.text.substr(this.at, 4), 16);
    this.at += 4;
    return String.fromCharCode(code);
  }

  private word(json: Json): void {
    const start = this.at;
    while (this.at < this.text.length && !",]} \n\r\t".includes(this.text.charAt(this.at))) this.at++;
    json.text = this.text.substring(start, this.at);
    if (this.at == start) this.at++;
    if (json.text == "true" || json.text == "false") json.kind = "boolean";
    else if (json.text == "null" || json.text == "") json.kind = "null";
    else {
      json.kind = "number";
      json.number = parseFloat(json.text);
    }
  }
}

/** What the model reads. A failed tool is an answer too: say why, so that the model can go on. */
export class ToolResult {
  constructor(
    public content: string,
    public isError: bool = false,
  ) {}
}

/** `params` is a JSON Schema. The host checks every call against it before `run` sees it. */
export class Tool {
  constructor(
    public name: string,
    public description: string,
    public params: string,
    public run: (params: Json, context: Json) => ToolResult,
  ) {}
}

/** A line for the gateway's log. */
export function log(line: string): void {
  hostLogInfo(toHost(line));
}

/** Asks the host; docs/wit.md has the methods. `params` is JSON. Answers an object with `ok` or `err`. */
export function ask(method: string, params: string): Json {
  const address = hostCall(toHost(`{"m":${Json.quote(method)},"a":${params}}`));
  const bytes = new ArrayBuffer(<i32>hostLength(address));
  const start = changetype<usize>(bytes);
  let at = 0;
  for (; at + 8 <= bytes.byteLength; at += 8) store<u64>(start + at, hostLoadWord(address + at));
  for (; at < bytes.byteLength; at++) store<u8>(start + at, <u8>hostLoad(address + at));
  return Json.parse(String.UTF8.decode(bytes));
}

/** The export `rclaw_describe`. */
export function describe(tools: Tool[]): i32 {
  const specs: string[] = [];
  for (let at = 0; at < tools.length; at++) {
    const tool = tools[at];
    specs.push(
      `{"name":${Json.quote(tool.name)},"description":${Json.quote(tool.description)},"params":${tool.params}}`,
    );
  }
  return answer(`{"abi":"rclaw:plugin@0.1.0","tools":[${specs.join(",")}],"hooks":[]}`);
}

/** The export `rclaw_tool_execute`. */
export function execute(tools: Tool[]): i32 {
  const call = Json.parse(input());
  const name = call.get("name").text;
  for (let at = 0; at < tools.length; at++) {
    if (tools[at].name != name) continue;
    const result = tools[at].run(call.get("params"), call.get("context"));
    const isError = result.isError ? ',"isError":true' : "";
    return answer(`{"ok":{"content":${Json.quote(result.content)}${isError}}}`);
  }
  return answer('{"err":{"code":"NOT_FOUND","message":"this plugin has no such tool"}}');
}

export function toHost(text: string): u64 {
  const bytes = String.UTF8.encode(text);
  const start = changetype<usize>(bytes);
  const address = hostAlloc(bytes.byteLength);
  // Each crossing costs the same, so as much as possible goes in one.
  let at = 0;
  for (; at + 8 <= bytes.byteLength; at += 8) hostStoreWord(address + at, load<u64>(start + at));
  for (; at < bytes.byteLength; at++) hostStore(address + at, load<u8>(start + at));
  return address;
}

export function input(): string {
  const bytes = new ArrayBuffer(<i32>hostInputLength());
  const start = changetype<usize>(bytes);
  let at = 0;
  for (; at + 8 <= bytes.byteLength; at += 8) store<u64>(start + at, hostInputWord(at));
  for (; at < bytes.byteLength; at++) store<u8>(start + at, <u8>hostInput(at));
  return String.UTF8.decode(bytes);
}

export function answer(text: string): i32 {
  hostOutput(toHost(text), String.UTF8.byteLength(text));
  return 0;
}
