//! Speed: nanoseconds that a program takes for one message, natively, from frame to verdict.
//!
//! `cargo run --release -p transform --example jq_speed`

use std::hint::black_box;
use std::time::Instant;

use lockgate_plugin::testing::{MessageBuilder, Session};
use transform::Transform;

/// 300 bytes, as an order may be.
const ORDER: &str = r#"{"id":"ord-48151623","created":"2025-03-04T10:20:30Z","customer":{"name":"Ada Lovelace","email":"ada@example.org","city":"London"},"lines":[{"sku":"A-100","price":12.5,"quantity":2},{"sku":"B-7","price":99,"quantity":1}],"currency":"EUR","price":62,"quantity":2,"region":"EU","status":"paid","x":"a"}"#;

fn main() {
    for program in [
        ".",
        ".total = 1",
        ".total = .price * .quantity",
        ".total = ([.lines[] | .price * .quantity] | add)",
        r#"{id, city: .customer.city, skus: [.lines[].sku]}"#,
    ] {
        let settings = format!("{{\"jq\":{program:?}}}");
        let Ok(mut session) = Session::<Transform>::open(&settings) else { continue };
        let message = MessageBuilder::new().body(ORDER);
        let best = (0..7).map(|_| {
            const CALLS: u32 = 20_000;
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(session.handle(black_box(&message)));
            }
            start.elapsed().as_nanos() / u128::from(CALLS)
        });
        println!("{:>7} ns  {program}", best.min().unwrap_or_default());
    }
}
