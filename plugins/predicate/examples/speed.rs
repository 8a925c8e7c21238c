//! Speed: nanoseconds that an expression takes for one message, compact and interpreted.
//!
//! `cargo run --release -p predicate --example speed`

use std::hint::black_box;
use std::time::Instant;

use lockgate_plugin::Value;
use lockgate_plugin::testing::MessageBuilder;
use predicate::Predicate;

/// 300 bytes, as an order may be.
const ORDER: &str = r#"{"id":"ord-48151623","created":"2025-03-04T10:20:30Z","customer":{"name":"Ada Lovelace","email":"ada@example.org","city":"London"},"lines":[{"sku":"A-100","price":12.5,"quantity":2},{"sku":"B-7","price":99,"quantity":1}],"currency":"EUR","total":124,"region":"EU","note":"leave here","status":"paid"}"#;

const EXPRESSIONS: [&str; 9] = [
    "headers['x-tenant'] == 'acme'",
    "body.status == \"paid\"",
    "body.id == 'ord-48151623'",
    "body.status == 'paid' && body.total > 100 && body.region in ['EU', 'UK', 'CH']",
    "body.customer.email.endsWith('@example.org') && has(body.note)",
    "body.lines[1].price * body.lines[1].quantity > 50",
    r"body.id.matches('^ord-[0-9]+$')",
    "body_text.contains('London')",
    "body.lines.exists(l, l.price * l.quantity > 50)",
];

fn main() -> Result<(), predicate::CompileError> {
    assert_eq!(ORDER.len(), 300);
    let message = MessageBuilder::new().header("x-tenant", Value::from("acme")).body(ORDER);
    let view = message.view();
    for source in EXPRESSIONS {
        let predicate = Predicate::compile(source)?;
        assert_eq!(predicate.eval(&view), Ok(true), "{source}");
        let best = (0..7).map(|_| round(|| predicate.eval(black_box(&view)))).min();
        println!("{:>7} ns  {source}", best.unwrap_or_default());
    }
    Ok(())
}

/// Nanoseconds a call.
fn round<T>(mut call: impl FnMut() -> T) -> u128 {
    const CALLS: u32 = 50_000;
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(call());
    }
    start.elapsed().as_nanos() / u128::from(CALLS)
}
