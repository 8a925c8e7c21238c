//! Guests in the text format, and what runs them.

use std::sync::Arc;

use lockgate_engine::{
    Compiler, Configured, Engine, EngineConfig, Grants, Instance, Limits, LoadError, Plugin,
};
use lockgate_message::{Fault, FaultKind, Head, Input, Message, Verdict};
use serde_json::{Value, json};

/// An engine without a cache that compiles in this process.
pub(crate) fn engine() -> Engine {
    Engine::new(EngineConfig::new(Compiler::InProcess)).unwrap()
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

/// Does what the first byte of each body says.
pub(crate) const CHAMELEON: &str = include_str!("../../../../tests/fixtures/chameleon.wat");

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
