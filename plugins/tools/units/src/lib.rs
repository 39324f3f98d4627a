//! Converts quantities between units, exactly where the definition is exact.
mod convert;
mod json;
mod rclaw;
mod table;

use json::Json;
use rclaw::{Outcome, Tool};

fn execute(params: &Json, _context: &Json) -> Outcome {
    let from = params.text("from").ok_or("Say which unit the value is in: \"from\" is missing.")?;
    let to = params.text("to").ok_or("Say which unit is wanted: \"to\" is missing.")?;
    let value = params.number("value").ok_or("Say how much it is: \"value\" is missing.")?;
    convert::convert(value, from, to)
}

pub const TOOLS: &[Tool] = &[Tool {
    name: "units",
    description: "Convert a quantity from one unit to another: length, mass, volume, temperature, speed, data, area, pressure, energy. Unit names may be short (km/h) or long (kilometres per hour).",
    params: r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["value", "from", "to"],
        "properties": {
            "value": { "type": "number", "description": "How much." },
            "from": { "type": "string", "minLength": 1, "maxLength": 100, "description": "The unit of the value, such as \"mi\", \"feet\" or \"°F\"." },
            "to": { "type": "string", "minLength": 1, "maxLength": 100, "description": "The unit that is wanted." }
        }
    }"#,
    execute,
}];
