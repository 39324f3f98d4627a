/*
 * What a plugin in C needs of rclaw: its tools, their params as JSON, a result, and the host's verbs.
 * Text from outside is UTF-8. All memory of a call is given back when the call ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of JSON text: one value. What is not there has length 0. */
typedef struct {
  const char *at;
  size_t length;
} rclaw_json;

typedef struct rclaw_result rclaw_result;

/* Runs a tool. `params` fit its schema, because the host checked them; `context` says who is calling, and where. */
typedef void rclaw_execute(rclaw_json params, rclaw_json context, rclaw_result *result);

typedef struct {
  const char *name;
  const char *description;
  const char *params; /* JSON Schema */
  rclaw_execute *execute;
} rclaw_tool;

/* Your tools; the last one has no name. */
extern const rclaw_tool rclaw_tools[];

/* Appends to what the model reads. */
void rclaw_say(rclaw_result *result, const char *text);
void rclaw_say_integer(rclaw_result *result, int64_t number);
/* The tool did not do what was asked; say why, so that the model can go on. */
void rclaw_fail(rclaw_result *result, const char *text);

/* A member of an object, or nothing. */
rclaw_json rclaw_member(rclaw_json object, const char *name);
/* The next element of an array: begin with at = 0. Nothing after the last one. */
rclaw_json rclaw_element(rclaw_json array, size_t *at);
/* Copies a string with its escapes resolved; false when it is none, or has no room. `to` always ends in 0. */
bool rclaw_string(rclaw_json value, char *to, size_t room);
/* False when the value is no number, or too large for its type. */
bool rclaw_integer(rclaw_json value, int64_t *to);
bool rclaw_true(rclaw_json value);
bool rclaw_is(rclaw_json text, const char *word);

/* Asks the host; docs/wit.md has the methods. `params` is JSON. Answers {"ok": ...} or {"err": ...}. */
rclaw_json rclaw_ask(const char *method, const char *params);
/* A line for the gateway's log. */
void rclaw_log(const char *line);
/* Memory until the end of the call; never fails: a plugin without memory is ended. */
void *rclaw_memory(size_t bytes);
