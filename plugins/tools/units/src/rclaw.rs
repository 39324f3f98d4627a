//! What a plugin in Rust needs of rclaw: tools, and the host's verbs. It speaks the ABI of rclaw:plugin@0.1.0 for core
//! modules; nothing in here has to be changed for a plugin.
#![allow(dead_code)]

use crate::json::Json;

/// What the model reads. A failed tool is an answer too: say why, so that the model can go on.
pub type Outcome = Result<String, String>;

/// `params` is a JSON Schema. The host checks every call against it before `execute` sees it.
pub struct Tool {
    pub name: &'static str,
    pub description: &'static str,
    pub params: &'static str,
    pub execute: fn(params: &Json, context: &Json) -> Outcome,
}

/// A line for the gateway's log.
pub fn log(line: &str) {
    unsafe { host::log_info(to_host(line)) }
}

/// Asks the host for one of its verbs; docs/wit.md has them. The error has `code` and `message`.
pub fn ask(method: &str, params: Json) -> Result<Json, Json> {
    let request = Json::object([("m", Json::Text(method.into())), ("a", params)]);
    let address = unsafe { host::rclaw_call(to_host(&written(&request))) };
    let answer = read(
        unsafe { host::length(address) },
        |at| unsafe { host::load_u64(address + at) },
        |at| unsafe { host::load_u8(address + at) },
    );
    match Json::parse(&answer) {
        Some(answer) if answer.get("err").is_some() => Err(answer.get("err").cloned().unwrap_or(Json::Null)),
        Some(answer) => Ok(answer.get("ok").cloned().unwrap_or(Json::Null)),
        None => Err(Json::Null),
    }
}

#[no_mangle]
pub extern "C" fn rclaw_describe() -> i32 {
    // A panic would say nothing but "unreachable".
    std::panic::set_hook(Box::new(|info| unsafe { host::log_error(to_host(&info.to_string())) }));
    let spec = |tool: &Tool| {
        Json::object([
            ("name", Json::Text(tool.name.into())),
            ("description", Json::Text(tool.description.into())),
            ("params", Json::parse(tool.params).unwrap_or(Json::Null)),
        ])
    };
    answer(Json::object([
        ("abi", Json::Text("rclaw:plugin@0.1.0".into())),
        ("tools", Json::List(crate::TOOLS.iter().map(spec).collect())),
        ("hooks", Json::List(Vec::new())),
    ]))
}

#[no_mangle]
pub extern "C" fn rclaw_tool_execute() -> i32 {
    let input = read(
        unsafe { host::input_length() },
        |at| unsafe { host::input_load_u64(at) },
        |at| unsafe { host::input_load_u8(at) },
    );
    let call = Json::parse(&input).unwrap_or(Json::Null);
    let name = call.text("name").unwrap_or_default();
    let Some(tool) = crate::TOOLS.iter().find(|tool| tool.name == name) else {
        return answer(Json::object([(
            "err",
            Json::object([
                ("code", Json::Text("NOT_FOUND".into())),
                ("message", Json::Text("this plugin has no such tool".into())),
            ]),
        )]));
    };
    let nothing = Json::Null;
    let [params, context] = ["params", "context"].map(|part| call.get(part).unwrap_or(&nothing));
    let outcome = (tool.execute)(params, context);
    let is_error = Json::Bool(outcome.is_err());
    let content = Json::Text(outcome.unwrap_or_else(|reason| reason));
    answer(Json::object([("ok", Json::object([("content", content), ("isError", is_error)]))]))
}

fn written(value: &Json) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

fn answer(value: Json) -> i32 {
    let text = written(&value);
    unsafe { host::output_set(to_host(&text), text.len() as u64) };
    0
}

fn to_host(text: &str) -> u64 {
    let address = unsafe { host::alloc(text.len() as u64) };
    let words = text.as_bytes().chunks_exact(8);
    for (at, byte) in words.remainder().iter().enumerate() {
        let place = (text.len() - words.remainder().len() + at) as u64;
        unsafe { host::store_u8(address + place, *byte as u32) };
    }
    for (at, word) in words.enumerate() {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        unsafe { host::store_u64(address + at as u64 * 8, word) };
    }
    address
}

/// The host's memory is reached through calls, so eight bytes at a time are eight times as fast.
fn read(length: u64, word: impl Fn(u64) -> u64, byte: impl Fn(u64) -> u32) -> String {
    let mut bytes = Vec::with_capacity(length as usize);
    for at in (0..length / 8).map(|at| at * 8) {
        bytes.extend_from_slice(&word(at).to_le_bytes());
    }
    bytes.extend((length / 8 * 8..length).map(|at| byte(at) as u8));
    String::from_utf8(bytes).unwrap_or_default()
}

mod host {
    #[link(wasm_import_module = "extism:host/env")]
    extern "C" {
        pub fn alloc(bytes: u64) -> u64;
        pub fn store_u8(address: u64, byte: u32);
        pub fn store_u64(address: u64, word: u64);
        pub fn load_u8(address: u64) -> u32;
        pub fn load_u64(address: u64) -> u64;
        pub fn length(address: u64) -> u64;
        pub fn input_length() -> u64;
        pub fn input_load_u8(at: u64) -> u32;
        pub fn input_load_u64(at: u64) -> u64;
        pub fn output_set(address: u64, bytes: u64);
        pub fn log_info(address: u64);
        pub fn log_error(address: u64);
    }
    #[link(wasm_import_module = "extism:host/user")]
    extern "C" {
        pub fn rclaw_call(request: u64) -> u64;
    }
}
