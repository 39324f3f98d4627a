mod json;
mod rclaw;

use json::Json;
use rclaw::{Outcome, Tool};

/// Greets somebody, as often as wanted.
fn hello(params: &Json, _context: &Json) -> Outcome {
    let whom = params.text("whom").ok_or("Say whom to greet: \"whom\" is missing.")?;
    let times = params.number("times").unwrap_or(1.0) as usize;
    Ok(vec![format!("Hello, {whom}!"); times].join("\n"))
}

pub const TOOLS: &[Tool] = &[Tool {
    name: "{{tool}}",
    description: "Greet somebody by name.",
    params: r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["whom"],
        "properties": {
            "whom": { "type": "string", "minLength": 1, "description": "Who is greeted." },
            "times": { "type": "integer", "minimum": 1, "maximum": 5, "description": "1 when not given." }
        }
    }"#,
    execute: hello,
}];
