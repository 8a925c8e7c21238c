//! Somebody writes any text as a CEL predicate, and messages come with any body: no panic, and the
//! compiled form answers as the interpreter does.

use lockgate_plugin::Value;
use lockgate_plugin::testing::MessageBuilder;
use predicate::fuzzing::both;

/// Bytes of an expression; longer ones only repeat.
const LONGEST: usize = 512;

pub fn run(data: &[u8]) {
    // The expression, a zero byte, the body.
    let (source, body) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b"{\"a\":1,\"l\":[1,{\"a\":\"b\"}],\"s\":\"ab\"}"[..]),
    };
    let Ok(source) = std::str::from_utf8(source) else { return };
    if source.len() > LONGEST {
        return;
    }
    let message = MessageBuilder::new()
        .exchange("a")
        .routing_key("a.b")
        .header("h", Value::from("ab"))
        .header("x-n", Value::I32(2))
        .body(body);
    let Some((compiled, interpreted)) = both(source, &message.view()) else { return };
    assert_eq!(compiled, interpreted, "compiled, interpreted: {source}");
}
