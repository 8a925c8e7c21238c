//! Random and malformed bodies through the shipped plugins in the sandbox: a verdict each, never a
//! fault of the plugin or of the host. `LOCKGATE_LONG=1` takes the count of the acceptance;
//! a failure prints its seed, and `LOCKGATE_SEED` repeats it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail this way")]

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_engine::{Compiler, Engine, EngineConfig, Grants, Instance, Limits};
use lockgate_message::{Failure, Head, Input, Message, Verdict};
use lockgate_tests::{long, report, shipped_plugin};
use serde_json::{Value, json};

const BATCH: u64 = 64;
/// Bytes that most bodies stay below.
const LONGEST: usize = 1024;

/// What the bodies are made of.
const PIECES: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\"a\"",
    b"\"text\"",
    b"\"region\"",
    b"\"EU\"",
    b"\"l\"",
    b"1",
    b"-0",
    b"1e400",
    b"0.1e-999",
    b"18446744073709551616",
    b"9007199254740993",
    b"true",
    b"null",
    b"NaN",
    b" ",
    b"\t\r\n",
    b"\\u0000",
    b"\\ud800",
    b"\\uD83D\\uDE00",
    b"\\",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"FREE entry! Text WIN to 80086",
    b"{\"a\":1,\"l\":[1,2],\"text\":\"win cash now\",\"region\":\"EU\"}",
    b"{\"a\":{\"b\":[{}]}}",
    b"//",
    b"/*",
    b"'",
    b"<x/>",
    b"status=paid",
];

#[test]
fn malformed_bodies_are_no_faults() {
    let count = long(10_000, 1_000_000);
    let seed = std::env::var("LOCKGATE_SEED").ok().map_or_else(now, |seed| seed.parse().unwrap());
    let mut draw = Draw(seed);
    let mut plugins = plugins();
    let mut verdicts = Vec::new();
    for first in (0..count).step_by(BATCH as usize) {
        let bodies = (first..count.min(first + BATCH)).map(|_| draw.body());
        let messages: Vec<_> = bodies.map(|body| Message::new(Head::default(), body)).collect();
        let inputs: Vec<_> = messages
            .iter()
            .map(|message| Input { message, redelivered: false, attempt: 1 })
            .collect();
        for (name, instance) in &mut plugins {
            verdicts.clear();
            instance.process(&inputs, &mut verdicts);
            assert_eq!(verdicts.len(), inputs.len());
            for (message, verdict) in messages.iter().zip(&verdicts) {
                let broken = match verdict {
                    Verdict::Fault(_) => true,
                    Verdict::Fail { failure, .. } => *failure == Failure::Internal,
                    _ => false,
                };
                assert!(!broken, "{name}: {verdict:?}, LOCKGATE_SEED={seed}, {:?}", message.body());
            }
        }
    }
    for (name, instance) in &plugins {
        let faults = instance.configured().stats().faults;
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
    report(&format!("{count} malformed bodies through {} plugins: 0 faults", plugins.len()));
}

/// A byte-order mark is skipped, and half of a surrogate pair is read as U+FFFD: such bodies are
/// JSON to every plugin that reads a predicate.
#[test]
fn marked_and_halved_bodies_are_json() {
    let engine = Engine::new(EngineConfig::new(Compiler::InProcess)).unwrap();
    let when = r"body.a == 1 && body.text == '\ufffd' && body_text.startsWith('{')";
    let bodies: [&[u8]; 3] = [
        b"\xef\xbb\xbf{\"a\":1,\"text\":\"\xef\xbf\xbd\"}",
        b"{\"a\":1,\"text\":\"\\ud800\"}",
        b"\xef\xbb\xbf{\"a\":1,\"text\":\"\\uDC00\"}",
    ];
    let route = json!({ "rules": [{ "when": when, "to": ["r"] }], "otherwise": "reject" });
    for (name, settings, wanted) in
        [("filter", json!({ "when": when }), "pass"), ("route", route, "route")]
    {
        let wasm = std::fs::read(shipped_plugin(name).unwrap()).unwrap();
        let plugin = engine.load(&wasm, Grants::default(), &Limits::default()).unwrap();
        let mut instance = plugin.configure("stage", &settings).unwrap().open().unwrap();
        for body in bodies {
            let message = Message::new(Head::default(), body.to_vec());
            let mut verdicts = Vec::new();
            let input = Input { message: &message, redelivered: false, attempt: 1 };
            instance.process(&[input], &mut verdicts);
            assert_eq!(verdicts[0].name(), wanted, "{name}: {verdicts:?} {}", body.escape_ascii());
        }
    }
}

/// The shipped plugins, with settings that look into the body.
fn plugins() -> Vec<(&'static str, Instance)> {
    let engine = Engine::new(EngineConfig::new(Compiler::InProcess)).unwrap();
    let open = |name: &'static str, settings: Value| {
        let wasm = std::fs::read(shipped_plugin(name).unwrap()).unwrap();
        let plugin = engine.load(&wasm, Grants::default(), &Limits::default()).unwrap();
        (name, plugin.configure("stage", &settings).unwrap().open().unwrap())
    };
    vec![
        open(
            "filter",
            json!({ "when": "body.a == 1 || body.text.contains('b') || size(body.l) > 1" }),
        ),
        open(
            "route",
            json!({ "rules": [
                { "when": "body.region == 'EU'", "to": ["eu"] },
                { "when": "body == null", "to": ["odd"] },
            ], "otherwise": ["rest"] }),
        ),
        open("transform", json!({ "jq": "{a, l: [.l[]?], n: (.a | tostring)}" })),
        open("spam-check", json!({ "text": "body.text" })),
    ]
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() % u128::from(u64::MAX)).unwrap()
}

/// Draws bodies from a seed (xorshift).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 20) as usize % bound
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(30_000) {
            // As deep and as long as they come.
            0 => b"[".repeat(200_000),
            1 => b"{\"a\":".repeat(50_000),
            2 => [b"{\"text\":\"".as_slice(), &b"win ".repeat(100_000), b"\"}"].concat(),
            3..9_000 => (0..self.below(64)).map(|_| self.next() as u8).collect(),
            _ => self.pieces(),
        }
    }

    /// Nearly JSON: pieces of it, a few bytes of them changed.
    fn pieces(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        for _ in 0..self.below(24) {
            body.extend_from_slice(PIECES[self.below(PIECES.len())]);
        }
        body.truncate(LONGEST);
        for _ in 0..self.below(3) {
            let at = self.below(body.len() + 1);
            match self.below(3) {
                0 if at < body.len() => body[at] = self.next() as u8,
                1 => body.truncate(at),
                _ => body.insert(at, self.next() as u8),
            }
        }
        body
    }
}
