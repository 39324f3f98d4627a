package main

import (
	"encoding/json"
	"strings"
)

var tools = []Tool{{
	Name:        "{{tool}}",
	Description: "Greet somebody by name.",
	Params: `{
		"type": "object",
		"additionalProperties": false,
		"required": ["whom"],
		"properties": {
			"whom": { "type": "string", "minLength": 1, "description": "Who is greeted." },
			"times": { "type": "integer", "minimum": 1, "maximum": 5, "description": "1 when not given." }
		}
	}`,
	Execute: hello,
}}

// Greets somebody, as often as wanted.
func hello(params json.RawMessage, _ Context) Result {
	asked := struct {
		Whom  string
		Times int
	}{Times: 1}
	if err := Parse(params, &asked); err != nil {
		return Fail("%v", err)
	}
	if asked.Whom == "" {
		return Fail("Say whom to greet: \"whom\" is missing.")
	}
	lines := strings.Repeat("Hello, "+asked.Whom+"!\n", asked.Times)
	return Result{Content: strings.TrimSuffix(lines, "\n")}
}
