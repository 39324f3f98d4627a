import { describe, execute, Json, Tool, ToolResult } from "./rclaw";

const schema = `{
  "type": "object",
  "additionalProperties": false,
  "required": ["whom"],
  "properties": {
    "whom": { "type": "string", "minLength": 1, "description": "Who is greeted." },
    "times": { "type": "integer", "minimum": 1, "maximum": 5, "description": "1 when not given." }
  }
}`;

/** Greets somebody, as often as wanted. */
function hello(params: Json, _context: Json): ToolResult {
  const whom = params.get("whom");
  const times = params.get("times");
  if (whom.kind != "string") return new ToolResult('Say whom to greet: "whom" is missing.', true);
  const lines: string[] = [];
  const count = times.kind == "number" ? <i32>times.number : 1;
  for (let line = 0; line < count; line++) lines.push(`Hello, ${whom.text}!`);
  return new ToolResult(lines.join("\n"));
}

const tools = [new Tool("{{tool}}", "Greet somebody by name.", schema, hello)];

export function rclaw_describe(): i32 {
  return describe(tools);
}

export function rclaw_tool_execute(): i32 {
  return execute(tools);
}
