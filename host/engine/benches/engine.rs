//! What a message costs at the sandbox's boundary, beside a native function. Run with
//! `cargo bench -p lockgate-engine`; prints the median and the least of many samples.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and one that cannot run stops"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use lockgate_engine::{Compiler, Engine, EngineConfig, Grants, Instance, Isolation, Limits};
use lockgate_message::{Head, Input, Message, Value, Verdict};
use serde_json::json;

const BATCH: usize = 64;
const SAMPLES: usize = 400;
/// How long one sample is, so that reading the clock does not count.
const SAMPLE: Duration = Duration::from_millis(2);

fn main() {
    // `cargo test` only wants to know that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    println!("{:52} {:>9} {:>9}", "ns a message, 8 headers and a body of 1 KiB", "median", "least");
    let messages: Vec<Message> = (0..BATCH).map(message).collect();
    let inputs: Vec<Input<'_>> =
        messages.iter().map(|message| Input { message, redelivered: false, attempt: 1 }).collect();

    report("native function, finds one header", &inputs, &mut |batch, verdicts| {
        verdicts.extend(batch.iter().map(|input| {
            match input.message.head().headers.get("x-tenant").and_then(Value::as_text) {
                Some("acme") => Verdict::Pass,
                _ => Verdict::Drop { reason: None },
            }
        }));
    });

    let mut empty = empty_call();
    report("an empty guest call, one by one", &inputs, &mut |batch, _| {
        batch.iter().for_each(|_| empty());
    });
    report("an empty guest call, one for 64", &inputs, &mut |_, _| empty());

    let projected = json!({ "headers": ["x-tenant"] });
    let whole = json!({ "origin": true, "properties": true, "headers": true, "body": true });
    let (instance, batch) = (Isolation::Instance, Isolation::Batch);
    for (name, needs, size, isolation) in [
        ("core door, one header asked for, batches of 64", &projected, 64, instance),
        ("core door, everything asked for, batches of 64", &whole, 64, instance),
        ("core door, nothing asked for, batches of 64", &json!({}), 64, instance),
        ("core door, one header asked for, one by one", &projected, 1, instance),
        ("core door, everything asked for, one by one", &whole, 1, instance),
        ("core door, one header, a new sandbox each batch", &projected, 64, batch),
        ("core door, one header, a new sandbox each message", &projected, 1, Isolation::Message),
    ] {
        let mut instance = guest(needs, Limits { batch: size, isolation, ..Limits::default() });
        report(name, &inputs, &mut |batch, verdicts| instance.process(batch, verdicts));
        let faults = instance.configured().stats().faults;
        assert!(faults.is_empty(), "{faults:?}");
    }
}

/// A call into a guest that does nothing, the host neither.
fn empty_call() -> impl FnMut() {
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let engine = wasmtime::Engine::new(&config).unwrap();
    let text = "(module (func (export \"empty\") (param i32 i32) (result i64) i64.const 0))";
    let module = wasmtime::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let mut store = wasmtime::Store::new(&engine, ());
    store.set_epoch_deadline(1);
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
    let empty = instance.get_typed_func::<(u32, u32), u64>(&mut store, "empty").unwrap();
    move || assert_eq!(empty.call(&mut store, black_box((8, 8))).unwrap(), 0)
}

fn message(n: usize) -> Message {
    let mut head =
        Head { exchange: "orders".into(), routing_key: "eu.de".into(), ..Head::default() };
    for h in 0..7 {
        head.headers.set(format!("x-header-{h}"), Value::text("some value"));
    }
    let tenant = if n.is_multiple_of(2) { "acme" } else { "other" };
    head.headers.set("x-tenant", Value::text(tenant));
    Message::new(head, vec![b'x'; 1024])
}

/// Runs `process` over the batch again and again.
fn report(
    name: &str,
    inputs: &[Input<'_>],
    process: &mut dyn FnMut(&[Input<'_>], &mut Vec<Verdict>),
) {
    let mut verdicts = Vec::with_capacity(inputs.len());
    let mut sample = || {
        let (started, mut rounds) = (Instant::now(), 0u32);
        while started.elapsed() < SAMPLE {
            for _ in 0..16 {
                verdicts.clear();
                process(black_box(inputs), &mut verdicts);
            }
            rounds += 16;
        }
        started.elapsed().as_nanos() as f64 / f64::from(rounds) / inputs.len() as f64
    };
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample()).collect();
    samples.sort_by(f64::total_cmp);
    println!("{name:52} {:9.1} {:9.1}", samples[SAMPLES / 2], samples[0]);
}

/// A guest that passes messages whose header `x-tenant` is `acme`, and drops the others.
fn guest(needs: &serde_json::Value, limits: Limits) -> Instance {
    let describe = json!({ "name": "bench", "version": "1", "contract": "0.1" }).to_string();
    let init = json!({ "ok": { "needs": needs } }).to_string();
    let packed = |at: u64, text: &str| (at << 32) | text.len() as u64;
    let text = include_str!("filter.wat")
        .replace("{describe}", &format!("{describe:?}"))
        .replace("{init}", &format!("{init:?}"))
        .replace("{describe_at}", &packed(16, &describe).to_string())
        .replace("{init_at}", &packed(4096, &init).to_string());
    let wasm = wat::parse_str(text).unwrap();
    let config = EngineConfig::new(Compiler::InProcess);
    let plugin = Engine::new(config).unwrap().load(&wasm, Grants::default(), &limits).unwrap();
    plugin.configure("bench", &json!({})).unwrap().open().unwrap()
}
