//! The component doors: core code in the text format, encoded against the contract's WIT files.

use std::sync::Arc;

use lockgate_engine::{
    BodyNeeds, Capability, Configured, Door, Grants, Isolation, Limits, LoadError,
};
use lockgate_message::{Change, FaultKind, Head, Message, Value, Verdict};
use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::guests::{engine, kind, message, run, run_messages};
use crate::memory_store::{MemoryStore, confirm};

/// Encodes a core module as a component of one of the contract's worlds, or of one made here.
fn component(world: &str, own_world: &str, code: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-sdk/wit");
    let (mut package, _) = resolve.push_dir(wit).unwrap();
    if !own_world.is_empty() {
        let text = format!("package test:custom; {own_world}");
        package = resolve.push_str("custom.wit", &text).unwrap();
    }
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(code).unwrap_or_else(|error| panic!("{error}\n{code}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// What both worlds need: memory, an allocator that starts anew for each call, two texts. As an
/// allocator may that gives memory away at once, its post-return functions overwrite all that the
/// call returned; a guest that calls `$poison` from its own has the same.
fn base(needs: &serde_json::Value, code: &str) -> String {
    let describe =
        json!({ "name": "guest", "version": "1", "contract": "0.1", "reasons": ["spam"] })
            .to_string();
    let init = json!({ "ok": { "needs": needs } }).to_string();
    let (describe_len, init_len) = (describe.len(), init.len());
    format!(
        r#"(module {code}
        (memory (export "memory") 4)
        (global $free (mut i32) (i32.const 65536))
        (data (i32.const 1024) {describe:?})
        (data (i32.const 4096) {init:?})
        (func $pair (param $at i32) (param $len i32) (result i32)
            (i32.store (i32.const 8) (local.get $at))
            (i32.store (i32.const 12) (local.get $len))
            (i32.const 8))
        (func $poison (param $pair i32)
            (memory.fill (i32.load (local.get $pair)) (i32.const 0xee)
                (i32.load offset=4 (local.get $pair)))
            (i64.store (local.get $pair) (i64.const -1)))
        (func (export "describe") (result i32)
            (call $pair (i32.const 1024) (i32.const {describe_len})))
        (func (export "cabi_post_describe") (param i32) (call $poison (local.get 0)))
        (func (export "cabi_post_init") (param i32) (call $poison (local.get 0)))
        (func (export "init") (param i32 i32) (result i32)
            (call $pair (i32.const 4096) (i32.const {init_len})))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
            (global.set $free (i32.add (local.get $at) (local.get 3)))
            (block $fits
                (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
                (drop (memory.grow (i32.add (i32.div_u (local.get 3) (i32.const 65536)) (i32.const 1)))))
            (local.get $at))
        (func $recurse (param i32) (result i32)
            (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
        ;; Misbehaves as a body's first byte says; see guests.rs.
        (func $misbehave (param $c i32)
            (if (i32.eq (local.get $c) (i32.const 116)) (then (unreachable)))
            (if (i32.eq (local.get $c) (i32.const 108)) (then (loop $for_ever (br $for_ever))))
            (if (i32.eq (local.get $c) (i32.const 114)) (then (drop (call $recurse (i32.const 0)))))
            (if (i32.eq (local.get $c) (i32.const 109)) (then
                (loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
                (unreachable)))))"#
    )
}

/// A packed component with the chameleon's verdicts.
fn packed() -> Vec<u8> {
    packed_with(&packed_code())
}

fn packed_with(code: &str) -> Vec<u8> {
    component("packed-plugin", "", &base(&json!({ "body": true }), code))
}

fn packed_code() -> String {
    let chameleon = crate::guests::CHAMELEON.replace("$recurse", "$recurse2");
    format!(
        r#"{chameleon}
        (data (i32.const 20000) "a\ff\feb")
        (func (export "handle-batch") (param $in i32) (param $len i32) (result i32) (local $r i64)
            (local.set $r (call $batch (local.get $in) (local.get $len)))
            (global.set $free (i32.const 65536))
            (call $pair (i32.wrap_i64 (i64.shr_u (local.get $r) (i64.const 32)))
                (i32.wrap_i64 (local.get $r))))
        (func (export "cabi_post_handle-batch") (param i32) (call $poison (local.get 0)))"#
    )
}

/// A typed component. First byte of the body: `p`ass, `d`rop as spam, drop as an `u`nknown word,
/// set `h`eaders, set an `o`versize body, misbehave as above.
fn typed() -> Vec<u8> {
    let code = r#"
        (data (i32.const 9000) "spamham")
        (data (i32.const 9016) "added")
        (func (export "handle") (param $m i32) (result i32) (local $c i32)
            (global.set $free (i32.const 65536))
            (local.set $c (i32.load8_u (i32.load offset=208 (local.get $m))))
            (call $misbehave (local.get $c))
            (memory.fill (i32.const 10000) (i32.const 0) (i32.const 400))
            (memory.copy (i32.const 10300) (i32.const 9000) (i32.const 32))
            (if (i32.eq (local.get $c) (i32.const 100)) (then
                (i32.store8 (i32.const 10004) (i32.const 4))
                (i32.store8 (i32.const 10008) (i32.const 1))
                (i32.store (i32.const 10012) (i32.const 10300))
                (i32.store (i32.const 10016) (i32.const 4))))
            (if (i32.eq (local.get $c) (i32.const 117)) (then
                (i32.store8 (i32.const 10004) (i32.const 4))
                (i32.store8 (i32.const 10008) (i32.const 1))
                (i32.store (i32.const 10012) (i32.const 10304))
                (i32.store (i32.const 10016) (i32.const 3))))
            ;; modify([set-header([("added", array(1)), ("", text("spam"))])])
            (if (i32.eq (local.get $c) (i32.const 104)) (then
                (i32.store8 (i32.const 10004) (i32.const 1))
                (i32.store (i32.const 10008) (i32.const 10104))
                (i32.store (i32.const 10012) (i32.const 1))
                (i32.store8 (i32.const 10104) (i32.const 6))
                (i32.store (i32.const 10112) (i32.const 10200))
                (i32.store (i32.const 10116) (i32.const 2))
                (i32.store (i32.const 10200) (i32.const 10316))
                (i32.store (i32.const 10204) (i32.const 5))
                (i32.store8 (i32.const 10208) (i32.const 16))
                (i32.store (i32.const 10216) (i32.const 1))
                (i32.store8 (i32.const 10232) (i32.const 12))
                (i32.store (i32.const 10240) (i32.const 10300))
                (i32.store (i32.const 10244) (i32.const 4))))
            ;; emit 3,000 children that all have the same 100,000 changes: 20 GB on the host
            (if (i32.eq (local.get $c) (i32.const 111)) (then
                (i32.store8 (i32.const 10004) (i32.const 3))
                (i32.store (i32.const 10008) (i32.const 131072))
                (i32.store (i32.const 10012) (i32.const 3000))
                (drop (memory.grow (i32.const 64)))
                (local.set $c (i32.const 131072))
                (loop $fill
                    (i32.store offset=12 (local.get $c) (i32.const 1048576))
                    (i32.store offset=16 (local.get $c) (i32.const 100000))
                    (local.set $c (i32.add (local.get $c) (i32.const 20)))
                    (br_if $fill (i32.lt_u (local.get $c) (i32.const 191072))))))
            (i32.const 10000))
        (func (export "cabi_post_handle") (param i32)
            (memory.fill (i32.const 10000) (i32.const 0xee) (i32.const 400)))"#;
    component("typed-plugin", "", &base(&json!({ "body": true, "headers": ["x"] }), code))
}

fn configured(wasm: &[u8], limits: &Limits) -> Arc<Configured> {
    let plugin = engine().load(wasm, Grants::default(), limits).unwrap();
    plugin.configure("stage", &json!({ "a": 1 })).unwrap()
}

#[test]
fn a_packed_component_gives_verdicts() {
    for isolation in [Isolation::Instance, Isolation::Batch, Isolation::Message] {
        let configured = configured(&packed(), &Limits { isolation, ..Limits::default() });
        assert_eq!(configured.plugin().door(), Door::Packed);
        let mut instance = configured.open().unwrap();
        for _ in 0..3 {
            let verdicts = run(&mut instance, &["p", "d", "p", "s", "x"]);
            assert_eq!(verdicts[0], Verdict::Pass);
            let Verdict::Drop { reason } = &verdicts[1] else { panic!("{verdicts:?}") };
            assert_eq!(reason.as_deref(), Some("spam"));
            assert_eq!(kind(&verdicts[3]), Some(FaultKind::BadOutput));
            assert_eq!(kind(&verdicts[4]), Some(FaultKind::BadOutput));
        }
    }
}

/// What a call returned is the guest's again after its post-return function, which runs before
/// the host has the result in hand. Every call of every component door is asked, and again after
/// the first, for there the memory has been used before.
#[test]
fn what_a_component_returned_is_copied_before_it_is_freed() {
    for wasm in [packed(), typed()] {
        let plugin = engine().load(&wasm, Grants::default(), &Limits::default()).unwrap();
        assert_eq!((&*plugin.description().name, &*plugin.description().version), ("guest", "1"));
        let configured = plugin.configure("stage", &json!({ "a": 1 })).unwrap();
        assert_eq!(configured.needs().body, BodyNeeds::All);
        let mut instance = configured.open().unwrap();
        for _ in 0..2 {
            let verdicts = run(&mut instance, &["p", "d"]);
            assert_eq!(verdicts[0], Verdict::Pass);
            assert_eq!(verdicts[1], Verdict::Drop { reason: Some("spam".into()) });
        }
    }
}

/// A post-return function is the guest's code like any other.
#[test]
fn a_component_that_fails_while_it_frees_harms_only_its_message() {
    let post =
        r#"(func (export "cabi_post_handle-batch") (param i32) (call $poison (local.get 0)))"#;
    let trap = r#"(func (export "cabi_post_handle-batch") (param i32)
        (if (i32.eq (i32.load8_u (i32.const 16404)) (i32.const 4)) (then (unreachable))))"#;
    let code = packed_code();
    assert!(code.contains(post));
    let wasm = packed_with(&code.replace(post, trap));
    let mut instance = configured(&wasm, &Limits::default()).open().unwrap();
    let verdicts = run(&mut instance, &["p", "p"]);
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass]);
    let verdicts = run(&mut instance, &["d"]);
    assert_eq!(kind(&verdicts[0]), Some(FaultKind::Trap), "{verdicts:?}");
    assert_eq!(run(&mut instance, &["p"]), [Verdict::Pass]);
}

/// Texts that are too long or no text at all, in both calls that return one.
#[test]
fn a_component_s_texts_are_bounded_and_checked() {
    #[track_caller]
    fn check(call: &str, at: u32, len: u32, part: &str) {
        let new = format!("(call $pair (i32.const {at}) (i32.const {len}))");
        let code = base(&json!({ "body": true }), &packed_code());
        let export = format!("(func (export \"{call}\")");
        let start = code.find(&export).unwrap();
        let from = start + code[start..].find("(call $pair").unwrap();
        let to = from + code[from..].find("))").unwrap() + 2;
        let code = format!("{}{new}{}", &code[..from], &code[to..]);
        let wasm = component(
            "packed-plugin",
            "",
            &code.replace("(memory (export \"memory\") 4)", "(memory (export \"memory\") 40)"),
        );
        let loaded = engine().load(&wasm, Grants::default(), &Limits::default());
        let error = match loaded {
            Ok(plugin) => plugin.configure("s", &json!({})).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(part), "{call}: {error}");
    }
    for call in ["describe", "init"] {
        check(call, 65536, (1 << 20) + 1, "more than the 1048576 bytes that are allowed");
        check(call, 20000, 3, "not UTF-8");
        check(call, 0x7fff_0000, 3, "out of bounds");
    }
}

/// A batch of 64 with one poison message: 63 verdicts are right.
#[track_caller]
fn check(wasm: &[u8], poison: &str, expected: FaultKind) {
    let mut instance = configured(wasm, &Limits::default()).open().unwrap();
    let bodies: Vec<_> =
        (0..64).map(|n| if n == 30 { poison } else { ["p", "d"][n % 2] }).collect();
    let verdicts = run(&mut instance, &bodies);
    for (n, verdict) in verdicts.iter().enumerate() {
        match n {
            30 => assert_eq!(kind(verdict), Some(expected), "{verdict:?}"),
            _ => assert_eq!(verdict.name(), ["pass", "drop"][n % 2], "{verdict:?}"),
        }
    }
}

#[test]
fn a_hostile_packed_component_harms_only_its_message() {
    let wasm = packed();
    check(&wasm, "t", FaultKind::Trap);
    check(&wasm, "l", FaultKind::Deadline);
    check(&wasm, "r", FaultKind::Stack);
    check(&wasm, "m", FaultKind::Memory);
    check(&wasm, "g", FaultKind::BadOutput);
}

#[test]
fn a_hostile_typed_component_harms_only_its_message() {
    let wasm = typed();
    check(&wasm, "t", FaultKind::Trap);
    check(&wasm, "l", FaultKind::Deadline);
    check(&wasm, "r", FaultKind::Stack);
    check(&wasm, "m", FaultKind::Memory);
    check(&wasm, "u", FaultKind::BadOutput);
    check(&wasm, "o", FaultKind::OutputTooLarge);
}

#[test]
fn a_typed_component_gives_verdicts() {
    let configured = configured(&typed(), &Limits::default());
    assert_eq!(configured.plugin().door(), Door::Typed);
    let mut instance = configured.open().unwrap();
    let mut head = Head { exchange: "e".into(), ..Head::default() };
    head.headers.set("x", Value::Array(vec![Value::Void, Value::Table(head.headers.clone())]));
    let messages = [message("p"), message("d"), Message::new(head, "h"), message("p")];
    let verdicts = run_messages(&mut instance, &messages);
    let names: Vec<_> = verdicts.iter().map(Verdict::name).collect();
    assert_eq!(names, ["pass", "drop", "modify", "pass"]);
    let Verdict::Modify(delta) = &verdicts[2] else { panic!("{verdicts:?}") };
    let value = Value::Array(vec![Value::text("spam")]);
    assert_eq!(delta.0, [Change::SetHeader("added".into(), value)]);
}

#[test]
fn a_component_gets_what_it_was_granted() {
    let world = "world custom {
        include lockgate:plugin/packed-plugin@0.1.0;
        import lockgate:plugin/clock@0.1.0;
        import lockgate:plugin/random@0.1.0;
    }";
    let code = r#"
        (import "lockgate:plugin/clock@0.1.0" "now" (func $now (result i64)))
        (import "lockgate:plugin/random@0.1.0" "get-bytes" (func $random (param i32 i32)))
        (import "lockgate:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
        (import "lockgate:plugin/metrics@0.1.0" "register" (func $register (param i32 i32) (result i32)))
        (import "lockgate:plugin/metrics@0.1.0" "add" (func $add (param i32 f64)))
        (data (i32.const 9000) "bytes")
        (func (export "handle-batch") (param i32 i32) (result i32)
            (call $random (i32.const 10) (i32.const 9100))
            (call $add (call $register (i32.const 9000) (i32.const 5))
                (f64.convert_i32_u (i32.load (i32.const 9104))))
            (call $log (i32.const 3) (i32.const 9000) (i32.const 5))
            (if (i64.lt_u (call $now) (i64.const 1700000000000000)) (then (unreachable)))
            (call $pair (i32.const 0) (i32.const 0)))"#;
    let wasm = component("custom", world, &base(&json!({}), code));
    let denied = engine().load(&wasm, Grants::default(), &Limits::default()).unwrap_err();
    let LoadError::Denied { imports, .. } = denied else { panic!("{denied}") };
    assert_eq!(imports.len(), 2, "{imports:?}");
    assert!(imports[0].contains("lockgate:plugin/clock@0.1.0"), "{imports:?}");

    let grants = Capability::ALL.into_iter().collect();
    let plugin = engine().load(&wasm, grants, &Limits::default()).unwrap();
    let configured = plugin.configure("s", &json!({})).unwrap();
    let verdicts = run(&mut configured.open().unwrap(), &["x"]);
    assert_eq!(kind(&verdicts[0]), Some(FaultKind::BadOutput), "{verdicts:?}");
    let stats = configured.stats();
    assert_eq!(stats.log_lines, 1);
    assert_eq!(stats.guest[0].name, "bytes");
    assert_eq!(stats.guest[0].value, lockgate_engine::GuestValue::Counter(10.0));
}

/// Every call of `kv` through the canonical ABI; what is not as expected traps.
#[test]
fn a_component_keeps_state() {
    let world = "world custom {
        include lockgate:plugin/packed-plugin@0.1.0;
        import lockgate:plugin/kv@0.1.0;
    }";
    let code = r#"
        (import "lockgate:plugin/kv@0.1.0" "get" (func $get (param i32 i32 i32 i32)))
        (import "lockgate:plugin/kv@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32 i64 i32)))
        (import "lockgate:plugin/kv@0.1.0" "delete" (func $delete (param i32 i32 i32 i32)))
        (import "lockgate:plugin/kv@0.1.0" "claim" (func $claim (param i32 i32 i32 i64 i32)))
        (import "lockgate:plugin/kv@0.1.0" "add" (func $add (param i32 i32 i32 i64 i64 i32)))
        (data (i32.const 9000) "key")
        (data (i32.const 9010) "value")
        (data (i32.const 9200) "LGV1\01\00\00\00\01\00\00\00\18\00\00\00\00\00\00\00\00\00\00\00")
        (func $is (param i32 i32)
            (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
        ;; The result at 9104: ok and a payload, or an error.
        (func $result (param $error i32) (param $payload i32)
            (call $is (i32.load8_u (i32.const 9104)) (local.get $error))
            (call $is (i32.load8_u (i32.const 9105)) (local.get $payload)))
        (func (export "handle-batch") (param i32 i32) (result i32)
            (memory.fill (i32.const 9104) (i32.const 0) (i32.const 32))
            (call $claim (i32.const 0) (i32.const 9000) (i32.const 3) (i64.const 1000) (i32.const 9104))
            (call $result (i32.const 0) (i32.const 0))
            (call $claim (i32.const 0) (i32.const 9001) (i32.const 2) (i64.const 1000) (i32.const 9104))
            (call $result (i32.const 0) (i32.const 1))
            (call $claim (i32.const 0) (i32.const 9002) (i32.const 1) (i64.const 1000) (i32.const 9104))
            (call $result (i32.const 0) (i32.const 2))
            (call $claim (i32.const 0) (i32.const 9000) (i32.const 3) (i64.const 0) (i32.const 9104))
            (call $result (i32.const 1) (i32.const 2))
            (call $put (i32.const 0) (i32.const 9000) (i32.const 3) (i32.const 9010) (i32.const 5)
                (i64.const 0) (i32.const 9104))
            (call $is (i32.load8_u (i32.const 9104)) (i32.const 0))
            (call $get (i32.const 0) (i32.const 9000) (i32.const 3) (i32.const 9104))
            (call $is (i32.load8_u (i32.const 9104)) (i32.const 0))
            (call $is (i32.load8_u (i32.const 9108)) (i32.const 1))
            (call $is (i32.load (i32.const 9116)) (i32.const 5))
            (call $is (i32.load (i32.load (i32.const 9112))) (i32.load (i32.const 9010)))
            (call $delete (i32.const 0) (i32.const 9001) (i32.const 2) (i32.const 9104))
            (call $is (i32.load8_u (i32.const 9104)) (i32.const 0))
            (call $add (i32.const 0) (i32.const 9000) (i32.const 3) (i64.const -5) (i64.const 1000)
                (i32.const 9104))
            (call $is (i32.load8_u (i32.const 9104)) (i32.const 0))
            (call $is (i32.load (i32.const 9112)) (i32.const -5))
            (call $put (i32.const 0) (i32.const 9000) (i32.const 3) (i32.const 0)
                (i32.const 65537) (i64.const 0) (i32.const 9104))
            (call $result (i32.const 1) (i32.const 2))
            (call $pair (i32.const 9200) (i32.const 24)))"#;
    let wasm = component("custom", world, &base(&json!({}), code));
    let denied = engine().load(&wasm, Grants::default(), &Limits::default()).unwrap_err();
    assert!(denied.way_out().contains("`grant = [\"kv\"]`"), "{denied}; {}", denied.way_out());

    let store = Arc::new(MemoryStore::default());
    store.look().claims = [(b"ey".to_vec(), (1, false)), (b"y".to_vec(), (2, true))].into();
    let grants = Grants::default().with(Capability::Kv);
    let plugin = engine().load(&wasm, grants, &Limits::default()).unwrap();
    let configured = plugin.configure_with("s", &json!({}), Some(store.access())).unwrap();
    let mut instance = configured.open().unwrap();
    assert_eq!(run(&mut instance, &["x"]), [Verdict::Pass]);
    assert_eq!(confirm(instance.staged()), [0]);
    let look = store.look();
    assert_eq!(look.values, [(b"key".to_vec(), b"value".to_vec())].into());
    assert_eq!(look.counters, [(b"key".to_vec(), -5)].into());
    assert!(look.claims[&b"key"[..]].1);
}

#[test]
fn a_component_with_imports_of_its_own_is_refused() {
    let world = "interface files { open: func(); }
        world custom { include lockgate:plugin/packed-plugin@0.1.0; import files; }";
    let code = r#"
        (import "test:custom/files" "open" (func $open))
        (func (export "handle-batch") (param i32 i32) (result i32) (call $open) (unreachable))"#;
    let wasm = component("custom", world, &base(&json!({}), code));
    let error = engine().load(&wasm, Grants::default(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("`test:custom/files`"), "{error}");
}
