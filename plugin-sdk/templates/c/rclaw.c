/* The ABI of rclaw:plugin@0.1.0 for core modules. Nothing in here has to be changed for a plugin. */
#include "rclaw.h"

#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(#name)))

HOST(alloc) uint64_t host_alloc(uint64_t bytes);
HOST(store_u8) void host_store_u8(uint64_t address, uint32_t byte);
HOST(store_u64) void host_store_u64(uint64_t address, uint64_t bytes);
HOST(load_u8) uint32_t host_load_u8(uint64_t address);
HOST(load_u64) uint64_t host_load_u64(uint64_t address);
HOST(length) uint64_t host_length(uint64_t address);
HOST(input_length) uint64_t host_input_length(void);
HOST(input_load_u8) uint32_t host_input_load_u8(uint64_t at);
HOST(input_load_u64) uint64_t host_input_load_u64(uint64_t at);
HOST(output_set) void host_output_set(uint64_t address, uint64_t bytes);
HOST(log_info) void host_log_info(uint64_t address);
__attribute__((import_module("extism:host/user"), import_name("rclaw_call"))) extern uint64_t
host_rclaw_call(uint64_t request);

/* The compiler may call these, whether we do or not. */
__attribute__((no_builtin("memcpy"))) void *memcpy(void *to, const void *from, size_t bytes) {
  for (size_t at = 0; at < bytes; at++) ((char *)to)[at] = ((const char *)from)[at];
  return to;
}
__attribute__((no_builtin("memset"))) void *memset(void *to, int byte, size_t bytes) {
  for (size_t at = 0; at < bytes; at++) ((char *)to)[at] = (char)byte;
  return to;
}
__attribute__((no_builtin("strlen"))) size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

/* Memory: everything behind the program, from the start again at every call. */

extern char __heap_base;
static size_t used;

void *rclaw_memory(size_t bytes) {
  size_t start = (size_t)&__heap_base + used;
  start = (start + 15) & ~(size_t)15;
  size_t end = start + bytes;
  if (end < start) __builtin_trap();
  size_t size = __builtin_wasm_memory_size(0) * 65536;
  if (end > size && __builtin_wasm_memory_grow(0, (end - size + 65535) / 65536) == (size_t)-1)
    __builtin_trap();
  used = end - (size_t)&__heap_base;
  return (void *)start;
}

/* Text that grows. */

typedef struct {
  char *at;
  size_t length;
  size_t room;
} text;

static void add_bytes(text *to, const char *bytes, size_t length) {
  if (length > to->room - to->length) {
    size_t room = to->room * 2 + length + 64;
    if (room < length) __builtin_trap();
    char *at = rclaw_memory(room);
    memcpy(at, to->at, to->length);
    to->at = at;
    to->room = room;
  }
  memcpy(to->at + to->length, bytes, length);
  to->length += length;
}

static void add(text *to, const char *words) { add_bytes(to, words, strlen(words)); }

/* As a JSON string, with everything escaped that has to be. */
static void add_string(text *to, const char *bytes, size_t length) {
  static const char hex[] = "0123456789abcdef";
  add(to, "\"");
  for (size_t at = 0; at < length; at++) {
    unsigned char byte = (unsigned char)bytes[at];
    if (byte == '"' || byte == '\\') {
      char escaped[2] = {'\\', (char)byte};
      add_bytes(to, escaped, 2);
    } else if (byte < 0x20) {
      char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
      add_bytes(to, escaped, 6);
    } else {
      add_bytes(to, bytes + at, 1);
    }
  }
  add(to, "\"");
}

/* The host's memory. */

static uint64_t to_host(const char *bytes, size_t length) {
  uint64_t address = host_alloc(length);
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t word;
    memcpy(&word, bytes + at, 8);
    host_store_u64(address + at, word);
  }
  for (; at < length; at++) host_store_u8(address + at, (unsigned char)bytes[at]);
  return address;
}

static rclaw_json from_host(uint64_t address) {
  size_t length = (size_t)host_length(address);
  char *bytes = rclaw_memory(length + 1);
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t word = host_load_u64(address + at);
    memcpy(bytes + at, &word, 8);
  }
  for (; at < length; at++) bytes[at] = (char)host_load_u8(address + at);
  return (rclaw_json){bytes, length};
}

static rclaw_json input(void) {
  size_t length = (size_t)host_input_length();
  char *bytes = rclaw_memory(length + 1);
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t word = host_input_load_u64(at);
    memcpy(bytes + at, &word, 8);
  }
  for (; at < length; at++) bytes[at] = (char)host_input_load_u8(at);
  return (rclaw_json){bytes, length};
}

/* JSON: values are found in the text, nothing is built. */

static bool is_space(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

static rclaw_json trimmed(const char *at, const char *end) {
  while (at < end && is_space(*at)) at++;
  while (end > at && is_space(end[-1])) end--;
  return (rclaw_json){at, (size_t)(end - at)};
}

/* The end of the value that begins at `at`: the comma, colon or bracket behind it. */
static const char *end_of_value(const char *at, const char *end) {
  int depth = 0;
  bool in_string = false;
  for (; at < end; at++) {
    if (in_string) {
      if (*at == '\\') at++;
      else if (*at == '"') in_string = false;
    } else if (*at == '"') {
      in_string = true;
    } else if (*at == '{' || *at == '[') {
      depth++;
    } else if (*at == '}' || *at == ']') {
      if (depth-- == 0) return at;
    } else if ((*at == ',' || *at == ':') && depth == 0) {
      return at;
    }
  }
  return end;
}

static bool is_kind(rclaw_json value, char first) { return value.length > 1 && value.at[0] == first; }

rclaw_json rclaw_member(rclaw_json object, const char *name) {
  if (!is_kind(object, '{')) return (rclaw_json){0, 0};
  const char *at = object.at + 1;
  const char *end = object.at + object.length - 1;
  while (at < end) {
    const char *colon = end_of_value(at, end);
    if (colon >= end) break;
    const char *comma = end_of_value(colon + 1, end);
    char key[128];
    if (rclaw_string(trimmed(at, colon), key, sizeof key)) {
      size_t length = strlen(name);
      size_t same = 0;
      while (same < length && key[same] == name[same]) same++;
      if (same == length && key[length] == 0) return trimmed(colon + 1, comma);
    }
    at = comma + 1;
  }
  return (rclaw_json){0, 0};
}

rclaw_json rclaw_element(rclaw_json array, size_t *at) {
  if (!is_kind(array, '[')) return (rclaw_json){0, 0};
  const char *start = array.at + 1 + *at;
  const char *end = array.at + array.length - 1;
  if (start >= end) return (rclaw_json){0, 0};
  const char *comma = end_of_value(start, end);
  *at = (size_t)(comma + 1 - (array.at + 1));
  return trimmed(start, comma);
}

static int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX, or -1. */
static int32_t hex4(const char *at, const char *end) {
  if (end - at < 4) return -1;
  int32_t value = 0;
  for (int digit = 0; digit < 4; digit++) {
    int next = hex_digit(at[digit]);
    if (next < 0) return -1;
    value = value * 16 + next;
  }
  return value;
}

static size_t utf8(uint32_t code, char to[4]) {
  if (code < 0x80) {
    to[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    to[0] = (char)(0xc0 | code >> 6);
    to[1] = (char)(0x80 | (code & 63));
    return 2;
  }
  if (code < 0x10000) {
    to[0] = (char)(0xe0 | code >> 12);
    to[1] = (char)(0x80 | (code >> 6 & 63));
    to[2] = (char)(0x80 | (code & 63));
    return 3;
  }
  to[0] = (char)(0xf0 | code >> 18);
  to[1] = (char)(0x80 | (code >> 12 & 63));
  to[2] = (char)(0x80 | (code >> 6 & 63));
  to[3] = (char)(0x80 | (code & 63));
  return 4;
}

/* One escape behind a backslash as UTF-8; how many bytes of JSON it took, or 0. */
static size_t unescape(const char *at, const char *end, char to[4], size_t *length) {
  static const char from[] = "\"\\/bfnrt";
  static const char into[] = "\"\\/\b\f\n\r\t";
  if (at >= end) return 0;
  for (size_t simple = 0; from[simple] != 0; simple++) {
    if (*at != from[simple]) continue;
    to[0] = into[simple];
    *length = 1;
    return 1;
  }
  if (*at != 'u') return 0;
  int32_t code = hex4(at + 1, end);
  if (code <= 0) return 0; /* a zero would end the text in C */
  size_t took = 5;
  if (code >= 0xd800 && code < 0xdc00) {
    int32_t low = end - at > 6 && at[5] == '\\' && at[6] == 'u' ? hex4(at + 7, end) : -1;
    if (low < 0xdc00 || low > 0xdfff) return 0;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    took = 11;
  } else if (code >= 0xdc00 && code <= 0xdfff) {
    return 0;
  }
  *length = utf8((uint32_t)code, to);
  return took;
}

bool rclaw_string(rclaw_json value, char *to, size_t room) {
  if (room == 0) return false;
  to[0] = 0;
  if (!is_kind(value, '"') || value.at[value.length - 1] != '"') return false;
  const char *at = value.at + 1;
  const char *end = value.at + value.length - 1;
  size_t written = 0;
  while (at < end) {
    char bytes[4] = {*at};
    size_t length = 1;
    if (*at++ == '\\') {
      size_t took = unescape(at, end, bytes, &length);
      if (took == 0) length = room;
      at += took;
    }
    if (length >= room - written) {
      to[0] = 0;
      return false;
    }
    memcpy(to + written, bytes, length);
    written += length;
  }
  to[written] = 0;
  return true;
}

bool rclaw_integer(rclaw_json value, int64_t *to) {
  size_t at = 0;
  bool negative = value.length > 0 && value.at[0] == '-';
  if (negative) at++;
  if (at == value.length) return false;
  uint64_t number = 0;
  for (; at < value.length; at++) {
    if (value.at[at] < '0' || value.at[at] > '9') return false;
    uint64_t digit = (uint64_t)(value.at[at] - '0');
    if (number > ((uint64_t)INT64_MAX - digit) / 10) return false;
    number = number * 10 + digit;
  }
  *to = negative ? -(int64_t)number : (int64_t)number;
  return true;
}

bool rclaw_is(rclaw_json value, const char *word) {
  size_t length = strlen(word);
  if (value.length != length) return false;
  for (size_t at = 0; at < length; at++)
    if (value.at[at] != word[at]) return false;
  return true;
}

bool rclaw_true(rclaw_json value) { return rclaw_is(value, "true"); }

/* The host's verbs. */

rclaw_json rclaw_ask(const char *method, const char *params) {
  text request = {0};
  add(&request, "{\"m\":");
  add_string(&request, method, strlen(method));
  add(&request, ",\"a\":");
  add(&request, params);
  add(&request, "}");
  return from_host(host_rclaw_call(to_host(request.at, request.length)));
}

void rclaw_log(const char *line) { host_log_info(to_host(line, strlen(line))); }

/* Results. */

struct rclaw_result {
  text content;
  bool is_error;
};

void rclaw_say(rclaw_result *result, const char *words) { add(&result->content, words); }

void rclaw_say_integer(rclaw_result *result, int64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do {
    digits[--at] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (number < 0) digits[--at] = '-';
  add_bytes(&result->content, digits + at, sizeof digits - at);
}

void rclaw_fail(rclaw_result *result, const char *words) {
  result->is_error = true;
  result->content.length = 0;
  add(&result->content, words);
}

/* The exports. */

static int32_t answer(const text *words) {
  host_output_set(to_host(words->at, words->length), words->length);
  return 0;
}

EXPORT(rclaw_describe) int32_t describe(void) {
  used = 0;
  text out = {0};
  add(&out, "{\"abi\":\"rclaw:plugin@0.1.0\",\"tools\":[");
  for (const rclaw_tool *tool = rclaw_tools; tool->name != 0; tool++) {
    add(&out, tool == rclaw_tools ? "{\"name\":" : ",{\"name\":");
    add_string(&out, tool->name, strlen(tool->name));
    add(&out, ",\"description\":");
    add_string(&out, tool->description, strlen(tool->description));
    add(&out, ",\"params\":");
    add(&out, tool->params);
    add(&out, "}");
  }
  add(&out, "],\"hooks\":[]}");
  return answer(&out);
}

EXPORT(rclaw_tool_execute) int32_t tool_execute(void) {
  used = 0;
  rclaw_json call = input();
  char name[65];
  text out = {0};
  if (!rclaw_string(rclaw_member(call, "name"), name, sizeof name)) name[0] = 0;
  const rclaw_tool *tool = rclaw_tools;
  rclaw_json wanted = {name, strlen(name)};
  while (tool->name != 0 && !rclaw_is(wanted, tool->name)) tool++;
  if (tool->name == 0) {
    add(&out, "{\"err\":{\"code\":\"NOT_FOUND\",\"message\":\"this plugin has no such tool\"}}");
    return answer(&out);
  }
  rclaw_result result = {{0}, false};
  tool->execute(rclaw_member(call, "params"), rclaw_member(call, "context"), &result);
  add(&out, "{\"ok\":{\"content\":");
  add_string(&out, result.content.at, result.content.length);
  add(&out, result.is_error ? ",\"isError\":true}}" : "}}");
  return answer(&out);
}
