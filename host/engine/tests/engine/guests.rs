//! Guests in the text format, and what runs them.

use std::sync::Arc;

use lockgate_engine::{
    Compiler, Configured, Engine, EngineConfig, Grants, Instance, Limits, LoadError, Plugin,
};
use lockgate_message::{Fault, FaultKind, Head, Input, Message, Verdict};
use serde_json::{Value, json};

/// An engine without a cache that compiles in this process.
pub(crate) fn engine() -> Engine {
    Engine::new(EngineConfig { cache_dir: None, compiler: Compiler::InProcess }).unwrap()
}

/// What a core guest is made of.
pub(crate) struct Guest<'a> {
    pub(crate) describe: Value,
    pub(crate) init: Value,
    pub(crate) imports: &'a str,
    /// Functions and memory beside the fixed ones; must hold `$batch`.
    pub(crate) code: &'a str,
    pub(crate) section: bool,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            describe: json!({
                "name": "guest", "version": "1.2.3", "contract": "0.1", "reasons": ["spam", "ham"]
            }),
            init: json!({ "ok": { "needs": { "body": true } } }),
            imports: "",
            code: CHAMELEON,
            section: false,
        }
    }
}

impl Guest<'_> {
    pub(crate) fn wasm(&self) -> Vec<u8> {
        let (describe, init) = (self.describe.to_string(), self.init.to_string());
        let section = match self.section {
            true => format!("(@custom \"lockgate:describe\" {describe:?})"),
            false => String::new(),
        };
        let packed = |at: u64, text: &str| (at << 32) | text.len() as u64;
        let text = format!(
            r#"(module {imports}
            (memory (export "memory") 4)
            (data (i32.const 16) {describe:?})
            (data (i32.const 8192) {init:?})
            {section}
            (func (export "lockgate_abi") (result i32) (i32.const 1))
            (func (export "lockgate_describe") (result i64) (i64.const {describe_at}))
            (func (export "lockgate_init") (param i32 i32) (result i64) (i64.const {init_at}))
            (func (export "lockgate_buffer") (param $size i32) (result i32)
                (block $fits
                    (br_if $fits (i32.ge_u
                        (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 131072))
                        (local.get $size)))
                    (if (i32.eq (i32.const -1) (memory.grow
                            (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 2))))
                        (then (return (i32.const 0)))))
                (i32.const 65536))
            (export "lockgate_batch" (func $batch))
            {code})"#,
            imports = self.imports,
            code = self.code,
            describe_at = packed(16, &describe),
            init_at = packed(8192, &init),
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn load(&self, grants: Grants, limits: &Limits) -> Result<Arc<Plugin>, LoadError> {
        engine().load(&self.wasm(), grants, limits)
    }

    pub(crate) fn configured(&self, limits: &Limits) -> Arc<Configured> {
        let plugin = self.load(Grants::default(), limits).unwrap();
        plugin.configure("stage", &json!({})).unwrap()
    }

    pub(crate) fn open(&self, limits: &Limits) -> Instance {
        self.configured(limits).open().unwrap()
    }
}

/// Does what the first byte of each body says: `p`ass, `d`rop with reason 1, `t`rap, `l`oop,
/// eat `m`emory, `r`ecurse, give the record `x` twice, `s`kip the record, make the whole output
/// `g`arbage, claim a `b`ig output, write one that is out of bounds (`o`), `w`ait a little.
pub(crate) const CHAMELEON: &str = r#"
    (func $body (param $frame i32) (result i32) (local $at i32)
        (local.set $at (i32.add (local.get $frame) (i32.const 32)))
        (loop $next
            (if (i32.eq (i32.load (local.get $at)) (i32.const 4))
                (then (return (i32.add (local.get $at) (i32.const 8)))))
            (local.set $at (i32.add (local.get $at) (i32.add (i32.const 8) (i32.and
                (i32.add (i32.load offset=4 (local.get $at)) (i32.const 7)) (i32.const -8)))))
            (br $next))
        (unreachable))
    (func $recurse (param i32) (result i32)
        (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func $batch (param $in i32) (param $len i32) (result i64)
        (local $out i32) (local $at i32) (local $n i32) (local $i i32) (local $c i32) (local $w i32)
        (local.set $n (i32.load offset=8 (local.get $in)))
        (local.set $out (i32.const 16384))
        (local.set $at (i32.add (local.get $out) (i32.const 16)))
        (block $done (loop $next
            (br_if $done (i32.eq (local.get $i) (local.get $n)))
            (local.set $c (i32.load8_u (call $body (i32.add (local.get $in) (i32.load offset=24
                (i32.add (local.get $in) (i32.shl (local.get $i) (i32.const 2))))))))
            (if (i32.eq (local.get $c) (i32.const 116)) (then (unreachable)))
            (if (i32.eq (local.get $c) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
            (if (i32.eq (local.get $c) (i32.const 109)) (then (loop $more
                (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
                (unreachable)))
            (if (i32.eq (local.get $c) (i32.const 114)) (then (drop (call $recurse (i32.const 0)))))
            (if (i32.eq (local.get $c) (i32.const 103)) (then (return (i64.const 0x1000000008))))
            (if (i32.eq (local.get $c) (i32.const 98)) (then (return (i64.const 0x7fffffff))))
            (if (i32.eq (local.get $c) (i32.const 111)) (then (return (i64.const 0x7fffffff00000010))))
            (if (i32.eq (local.get $c) (i32.const 119)) (then
                (local.set $w (i32.const 20000000))
                (loop $wait (br_if $wait (local.tee $w (i32.sub (local.get $w) (i32.const 1)))))))
            (if (i32.ne (local.get $c) (i32.const 115)) (then
                (i32.store (local.get $at) (local.get $i))
                (i32.store offset=4 (local.get $at)
                    (select (i32.const 0x10004) (i32.const 0)
                        (i32.eq (local.get $c) (i32.const 100))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))))
            (if (i32.eq (local.get $c) (i32.const 120)) (then
                (i32.store (local.get $at) (local.get $i))
                (i32.store offset=4 (local.get $at) (i32.const 0))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.store (local.get $out) (i32.const 0x3156474C))
        (i32.store offset=4 (local.get $out) (i32.const 1))
        (local.set $len (i32.sub (local.get $at) (local.get $out)))
        (i32.store offset=8 (local.get $out)
            (i32.div_u (i32.sub (local.get $len) (i32.const 16)) (i32.const 8)))
        (i32.store offset=12 (local.get $out) (local.get $len))
        (i64.or (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32))
            (i64.extend_i32_u (local.get $len))))
"#;

pub(crate) fn message(body: impl Into<Vec<u8>>) -> Message {
    Message::new(Head::default(), body.into())
}

/// The verdicts on messages of these bodies, in one batch.
pub(crate) fn run<B: AsRef<[u8]>>(instance: &mut Instance, bodies: &[B]) -> Vec<Verdict> {
    let messages: Vec<Message> = bodies.iter().map(|body| message(body.as_ref())).collect();
    run_messages(instance, &messages)
}

pub(crate) fn run_messages(instance: &mut Instance, messages: &[Message]) -> Vec<Verdict> {
    let inputs: Vec<Input<'_>> =
        messages.iter().map(|message| Input { message, redelivered: false, attempt: 1 }).collect();
    let mut verdicts = Vec::new();
    instance.process(&inputs, &mut verdicts);
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}

/// The kind of fault of a verdict, if it is one.
pub(crate) fn kind(verdict: &Verdict) -> Option<FaultKind> {
    match verdict {
        Verdict::Fault(Fault { kind, .. }) => Some(*kind),
        _ => None,
    }
}
