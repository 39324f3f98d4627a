#include "rclaw.h"

/* Greets somebody, as often as wanted. */
static void hello(rclaw_json params, rclaw_json context, rclaw_result *result) {
  (void)context;
  char whom[256];
  int64_t times = 1;
  if (!rclaw_string(rclaw_member(params, "whom"), whom, sizeof whom)) {
    rclaw_fail(result, "Say whom to greet, in at most 255 bytes: \"whom\".");
    return;
  }
  rclaw_integer(rclaw_member(params, "times"), &times);
  for (int64_t time = 0; time < times; time++) {
    if (time > 0) rclaw_say(result, "\n");
    rclaw_say(result, "Hello, ");
    rclaw_say(result, whom);
    rclaw_say(result, "!");
  }
}

const rclaw_tool rclaw_tools[] = {
    {
        .name = "{{tool}}",
        .description = "Greet somebody by name.",
        .params = "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"whom\"],\"properties\":{"
                  "\"whom\":{\"type\":\"string\",\"minLength\":1,\"description\":\"Who is greeted.\"},"
                  "\"times\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"description\":\"1 when not given.\"}}}",
        .execute = hello,
    },
    {0},
};
