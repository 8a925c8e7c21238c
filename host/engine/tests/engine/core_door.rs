//! The core module door: what reaches a guest, and what comes back.

use std::time::Duration;

use lockgate_engine::{Isolation, Limits, Needs};
use lockgate_message::{Head, Message, Value, Verdict};
use serde_json::json;

use crate::guests::{Guest, run, run_messages};

#[test]
fn verdicts_come_back_in_order() {
    for isolation in [Isolation::Instance, Isolation::Batch, Isolation::Message] {
        let mut instance = Guest::default().open(&Limits { isolation, ..Limits::default() });
        let verdicts = run(&mut instance, &["p", "d", "p", "d"]);
        let names: Vec<_> = verdicts.iter().map(Verdict::name).collect();
        assert_eq!(names, ["pass", "drop", "pass", "drop"]);
        assert_eq!(verdicts[1], Verdict::Drop { reason: Some("spam".into()) });
    }
}

#[test]
fn batches_larger_than_a_call_are_cut() {
    let mut instance = Guest::default().open(&Limits { batch: 7, ..Limits::default() });
    let bodies: Vec<_> = (0..100).map(|n| if n % 3 == 0 { "d" } else { "p" }).collect();
    let verdicts = run(&mut instance, &bodies);
    for (n, verdict) in verdicts.iter().enumerate() {
        assert_eq!(verdict.name(), if n % 3 == 0 { "drop" } else { "pass" });
    }
    let stats = instance.configured().stats();
    assert_eq!((stats.messages, stats.calls >= 15), (100, true));
}

#[test]
fn large_messages_go_alone_and_too_large_ones_nowhere() {
    // Time enough that the cost of the first message does not make the next batch smaller.
    let limits = Limits { batch_time: Duration::from_secs(600), ..Limits::default() };
    let mut instance = Guest::default().open(&limits);
    let large = [vec![b'd'; 3 << 20], vec![b'p'; 17 << 20], b"p".to_vec(), b"d".to_vec()];
    let verdicts = run(&mut instance, &large);
    let names: Vec<_> = verdicts.iter().map(Verdict::name).collect();
    assert_eq!(names, ["drop", "fault", "pass", "drop"]);
    let stats = instance.configured().stats();
    assert_eq!(stats.faults, [(lockgate_message::FaultKind::TooLarge, 1)]);
    assert_eq!(stats.calls, 2);
    assert!(stats.memory > 3 << 20);
    let configured = instance.configured().clone();
    drop(instance);
    assert_eq!(configured.stats().memory, 0);
}

/// Answers each message with a reject whose text is its whole frame.
const MIRROR: &str = r#"
    (func $batch (param $in i32) (param $len i32) (result i64)
        (local $frame i32) (local $size i32)
        (local.set $frame (i32.add (local.get $in) (i32.load offset=24 (local.get $in))))
        (local.set $size (i32.load (local.get $frame)))
        (i32.store (i32.const 16384) (i32.const 0x3156474C))
        (i32.store (i32.const 16388) (i32.const 1))
        (i32.store (i32.const 16392) (i32.const 1))
        (i32.store (i32.const 16396) (i32.add (local.get $size) (i32.const 28)))
        (i32.store (i32.const 16400) (i32.const 0))
        (i32.store (i32.const 16404) (i32.const 0x105))
        (i32.store (i32.const 16408) (local.get $size))
        (memory.copy (i32.const 16412) (local.get $frame) (local.get $size))
        (i64.or (i64.const 0x400000000000) (i64.extend_i32_u
            (i32.add (local.get $size) (i32.const 28)))))
"#;

#[test]
fn a_guest_sees_the_parts_it_asked_for_and_no_others() {
    let mut head = Head { exchange: "SECRET-x".into(), ..Head::default() };
    head.properties.app_id = Some("SECRET-app".into());
    head.headers.set("x-tenant", Value::text("acme"));
    head.headers.set("x-other", Value::text("SECRET-header"));
    let message = Message::new(head, "SECRET-body");
    let guest = Guest {
        init: json!({ "ok": { "needs": { "headers": ["x-tenant"] } } }),
        code: MIRROR,
        ..Guest::default()
    };
    let limits = Limits { batch: 1, ..Limits::default() };
    let mut instance = guest.open(&limits);
    let verdicts = run_messages(&mut instance, std::slice::from_ref(&message));
    let Verdict::Reject { text, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
    assert!(text.contains("x-tenantS") && text.contains("acme"), "{text}");
    assert!(!text.contains("SECRET") && !text.contains("x-other"), "{text}");

    let guest = Guest { init: json!({ "ok": { "needs": { "body": 8 } } }), ..guest };
    let verdicts = run_messages(&mut guest.open(&limits), &[message]);
    let Verdict::Reject { text, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
    assert!(text.contains("SECRET-b") && !text.contains("SECRET-bo"), "{text}");
}

#[test]
fn init_says_what_is_needed_and_what_is_wrong() {
    let guest = Guest {
        init: json!({ "ok": { "needs": { "headers": true }, "routes": ["eu"], "unrouted": false } }),
        ..Guest::default()
    };
    let configured = guest.configured(&Limits::default());
    assert_eq!(configured.routes(), ["eu"]);
    assert!(!configured.unrouted());
    assert_ne!(*configured.needs(), Needs::default());

    let guest = Guest {
        init: json!({ "err": [{ "pointer": "/when", "offset": 12, "message": "unknown function" }] }),
        ..Guest::default()
    };
    let plugin = guest.load(Default::default(), &Limits::default()).unwrap();
    let error = plugin.configure("s", &json!({ "when": "x" })).unwrap_err();
    assert_eq!(error.to_string(), "the plugin refuses its settings: /when: unknown function");
}

/// What a language runtime does with WASI: each call must return what `expected` says.
#[test]
fn a_wasi_guest_finds_an_empty_and_still_world() {
    let imports = r#"
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let code = r#"
        (func $expect (param i32 i32)
            (if (i32.ne (local.get 0) (local.get 1)) (then (unreachable))))
        (func $batch (param $in i32) (param i32) (result i64)
            (i32.store (i32.const 20000) (i32.const 20016))
            (i32.store (i32.const 20004) (i32.const 6))
            (i64.store (i32.const 20016) (i64.const 0x0a6f6c6c6568)) ;; "hello\n"
            (call $expect (i32.const 0)
                (call $fd_write (i32.const 1) (i32.const 20000) (i32.const 1) (i32.const 20008)))
            (call $expect (i32.const 6) (i32.load (i32.const 20008)))
            (call $expect (i32.const 8)
                (call $fd_write (i32.const 3) (i32.const 20000) (i32.const 1) (i32.const 20008)))
            (call $expect (i32.const 21)
                (call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 20008)))
            (call $expect (i32.const 0)
                (call $clock (i32.const 0) (i64.const 0) (i32.const 20032)))
            (call $expect (i32.const 1) (i64.eq (i64.load (i32.const 20032))
                (i64.mul (i64.load offset=16 (local.get $in)) (i64.const 1000))))
            (call $expect (i32.const 0) (call $random (i32.const 20040) (i32.const 16)))
            (call $expect (i32.const 0) (i64.eqz (i64.load (i32.const 20040))))
            (call $expect (i32.const 0) (call $environ (i32.const 20060) (i32.const 20064)))
            (call $expect (i32.const 0)
                (call $poll (i32.const 20100) (i32.const 20200) (i32.const 1) (i32.const 20300)))
            (call $expect (i32.const 1) (i32.load (i32.const 20300)))
            (call $expect (i32.const 8) (call $prestat (i32.const 3) (i32.const 20400)))
            (call $expect (i32.const 52) (call $open (i32.const 3) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
            (call $exit (i32.const 7))
            (i64.const 0))"#;
    let guest = Guest { imports, code, ..Guest::default() };
    let mut instance = guest.open(&Limits::default());
    let verdicts = run(&mut instance, &["x"]);
    let Verdict::Fault(fault) = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!(fault.text, "the guest called exit(7), in batch");
    assert_eq!(instance.configured().stats().log_lines, 1);
}
