//! Capability `kv`: what a message sees, what becomes of what it staged, and the limits.

use std::sync::Arc;
use std::time::Duration;

use lockgate_engine::{Capability, Grants, Instance, Limits};
use lockgate_message::state::StateError;
use lockgate_message::{FaultKind, Verdict};
use serde_json::json;

use crate::guests::{CHAMELEON, Guest, kind, run};
use crate::memory_store::{MemoryStore, confirm};

const IMPORTS: &str = r#"
    (import "lockgate_v0" "kv_get" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "lockgate_v0" "kv_put" (func $put (param i32 i32 i32 i32 i32 i64) (result i32)))
    (import "lockgate_v0" "kv_delete" (func $delete (param i32 i32 i32) (result i32)))
    (import "lockgate_v0" "kv_claim" (func $claim (param i32 i32 i32 i64) (result i32)))
    (import "lockgate_v0" "kv_add" (func $add (param i32 i32 i32 i64 i64 i32) (result i32)))"#;

/// A body is a script: three bytes a step, which are a letter, the key, and a digit. The message
/// is dropped, and the reason is the result of the last step: `m3` for -3, `z7` for 7.
/// `p`ut, `g`et, `d`elete, `c`laim, `a`dd; `K` a key too long, `L` a value as long as the memory
/// allows, `V` the longest value, `N`umber of gets one too many, `I`ndex and `O` memory out of
/// bounds, `t`rap, `w`ait (a retry), `f`ail (dependency), `s`kip the record.
const SCRIPT: &str = r#"
    (global $verdict (mut i32) (i32.const 0))
    (func $is (param i32 i32) (result i32) (i32.eq (local.get 0) (local.get 1)))
    (func $run (param $index i32) (param $at i32) (param $end i32) (result i32)
        (local $op i32) (local $key i32) (local $digit i32) (local $r i32) (local $n i32)
        (global.set $verdict (i32.const 4))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $op (i32.load8_u (local.get $at)))
            (local.set $key (i32.add (local.get $at) (i32.const 1)))
            (local.set $digit (i32.sub (i32.load8_u offset=2 (local.get $at)) (i32.const 48)))
            (if (call $is (local.get $op) (i32.const 112)) (then (local.set $r
                (call $put (local.get $index) (local.get $key) (i32.const 1)
                    (i32.add (local.get $at) (i32.const 2)) (i32.const 1) (i64.const 0)))))
            (if (call $is (local.get $op) (i32.const 103)) (then
                (local.set $r (call $get (local.get $index) (local.get $key) (i32.const 1)
                    (i32.const 40000) (i32.const 100)))
                (if (i32.gt_s (local.get $r) (i32.const 0)) (then (local.set $r
                    (i32.sub (i32.load8_u (i32.const 40000)) (i32.const 48)))))))
            (if (call $is (local.get $op) (i32.const 100)) (then (local.set $r
                (call $delete (local.get $index) (local.get $key) (i32.const 1)))))
            (if (call $is (local.get $op) (i32.const 99)) (then (local.set $r
                (call $claim (local.get $index) (local.get $key) (i32.const 1)
                    (i64.extend_i32_u (local.get $digit))))))
            (if (call $is (local.get $op) (i32.const 97)) (then
                (local.set $r (call $add (local.get $index) (local.get $key) (i32.const 1)
                    (i64.extend_i32_u (local.get $digit)) (i64.const 1000) (i32.const 40000)))
                (if (i32.eqz (local.get $r)) (then (local.set $r
                    (i32.wrap_i64 (i64.load (i32.const 40000))))))))
            (if (call $is (local.get $op) (i32.const 75)) (then (local.set $r
                (call $delete (local.get $index) (i32.const 0) (i32.const 513)))))
            (if (call $is (local.get $op) (i32.const 76)) (then (local.set $r
                (call $put (local.get $index) (local.get $key) (i32.const 1)
                    (i32.const 0) (i32.const 65537) (i64.const 0)))))
            (if (call $is (local.get $op) (i32.const 86)) (then (local.set $r
                (call $put (local.get $index) (local.get $key) (i32.const 1)
                    (i32.const 0) (i32.const 65536) (i64.const 0)))))
            (if (call $is (local.get $op) (i32.const 78)) (then
                (local.set $n (i32.const 65))
                (loop $more
                    (local.set $r (call $get (local.get $index) (local.get $key) (i32.const 1)
                        (i32.const 40000) (i32.const 100)))
                    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
            (if (call $is (local.get $op) (i32.const 73)) (then (local.set $r
                (call $delete (i32.add (local.get $digit) (i32.const 64)) (local.get $key)
                    (i32.const 1)))))
            (if (call $is (local.get $op) (i32.const 79)) (then (local.set $r
                (call $delete (local.get $index) (i32.const -1) (i32.const 1)))))
            (if (call $is (local.get $op) (i32.const 116)) (then (unreachable)))
            (if (call $is (local.get $op) (i32.const 119)) (then (global.set $verdict (i32.const 6))))
            (if (call $is (local.get $op) (i32.const 102)) (then (global.set $verdict (i32.const 7))))
            (if (call $is (local.get $op) (i32.const 115)) (then (global.set $verdict (i32.const 99))))
            (local.set $at (i32.add (local.get $at) (i32.const 3)))
            (br $next)))
        (local.get $r))
    (func $batch (param $in i32) (param $len i32) (result i64)
        (local $at i32) (local $i i32) (local $n i32) (local $body i32) (local $r i32) (local $records i32)
        (local.set $n (i32.load offset=8 (local.get $in)))
        (local.set $at (i32.const 16400))
        (block $done (loop $next
            (br_if $done (i32.eq (local.get $i) (local.get $n)))
            (local.set $body (call $body (i32.add (local.get $in) (i32.load offset=24
                (i32.add (local.get $in) (i32.shl (local.get $i) (i32.const 2)))))))
            (local.set $r (call $run (local.get $i) (local.get $body) (i32.add (local.get $body)
                (i32.load (i32.sub (local.get $body) (i32.const 4))))))
            (i32.store (local.get $at) (local.get $i))
            (i32.store8 offset=4 (local.get $at) (global.get $verdict))
            (i32.store8 offset=5 (local.get $at) (i32.const 0))
            (i32.store16 offset=6 (local.get $at) (i32.add (local.get $r) (i32.const 5)))
            (if (i32.eq (global.get $verdict) (i32.const 6)) (then
                (i32.store8 offset=5 (local.get $at) (i32.const 1))
                (i32.store16 offset=6 (local.get $at) (i32.const 0))
                (i32.store offset=8 (local.get $at) (i32.const 4))
                (i32.store offset=12 (local.get $at) (i32.const 7))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))))
            (if (i32.eq (global.get $verdict) (i32.const 7)) (then
                (i32.store8 offset=5 (local.get $at) (i32.const 1))
                (i32.store16 offset=6 (local.get $at) (i32.const 0))
                (i32.store offset=8 (local.get $at) (i32.const 1))
                (i32.store8 offset=12 (local.get $at) (i32.const 3))
                (local.set $at (i32.add (local.get $at) (i32.const 5)))))
            (if (i32.ne (global.get $verdict) (i32.const 99)) (then
                (local.set $records (i32.add (local.get $records) (i32.const 1)))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.store (i32.const 16384) (i32.const 0x3156474C))
        (i32.store (i32.const 16388) (i32.const 1))
        (i32.store (i32.const 16392) (local.get $records))
        (local.set $len (i32.sub (local.get $at) (i32.const 16384)))
        (i32.store (i32.const 16396) (local.get $len))
        (i64.or (i64.const 0x400000000000) (i64.extend_i32_u (local.get $len))))"#;

fn open(store: &Arc<MemoryStore>, limits: &Limits) -> Instance {
    let reasons = ["m4", "m3", "m2", "m1", "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8"];
    let (body, _) = CHAMELEON.split_once("(func $recurse").unwrap();
    let code = format!("{body}{SCRIPT}");
    let mut guest = Guest { imports: IMPORTS, code: &code, ..Guest::default() };
    guest.describe["reasons"] = json!(reasons);
    guest.describe["capabilities"] = json!(["kv"]);
    let plugin = guest.load(Grants::default().with(Capability::Kv), limits).unwrap();
    plugin.configure_with("stage", &json!({}), Some(store.access())).unwrap().open().unwrap()
}

fn new() -> (Arc<MemoryStore>, Instance) {
    let store = Arc::new(MemoryStore::default());
    let instance = open(&store, &Limits::default());
    (store, instance)
}

/// Runs a batch of scripts; each must end as said: a result, or a verdict's name.
#[track_caller]
fn check(instance: &mut Instance, scripts: &[(&str, &str)]) {
    let bodies: Vec<_> = scripts.iter().map(|(script, _)| *script).collect();
    let verdicts = run(instance, &bodies);
    for ((script, expected), verdict) in scripts.iter().zip(&verdicts) {
        let found = match verdict {
            Verdict::Drop { reason } => reason.as_deref().unwrap(),
            verdict => verdict.name(),
        };
        assert_eq!(found, *expected, "{script}: {verdict:?}");
    }
}

#[test]
fn a_message_sees_its_own_writes_those_before_it_and_what_is_committed() {
    let (store, mut instance) = new();
    let script = [("ga0", "m1"), ("pa7ga0", "z7"), ("ga0", "z7"), ("pa3pa4ga0", "z4")];
    check(&mut instance, &script);
    assert!(store.look().values.is_empty(), "nothing is written before the outcome");
    assert_eq!(confirm(instance.staged()), [1, 3]);
    check(&mut instance, &[("ga0", "z4"), ("da0ga0", "m1"), ("ga0", "m1")]);
    assert_eq!(confirm(instance.staged()), [1]);
    check(&mut instance, &[("ga0", "m1")]);
    assert!(store.look().values.is_empty());
}

#[test]
fn a_batch_is_seen_across_guest_calls() {
    let store = Arc::new(MemoryStore::default());
    let mut instance = open(&store, &Limits { batch: 1, ..Limits::default() });
    check(&mut instance, &[("pa7", "z0"), ("pa8w00", "retry"), ("ga0", "z7")]);
    assert_eq!(instance.configured().stats().calls, 3);
}

#[test]
fn a_claim_is_had_by_one_and_kept_or_released_with_the_message() {
    let (store, mut instance) = new();
    check(&mut instance, &[("ca9ca9", "z0"), ("ca9", "z1"), ("cb9", "z0")]);
    let staged = instance.staged();
    check(&mut instance, &[("ca9", "z1")]);
    assert_eq!(confirm(staged), [0, 2]);
    check(&mut instance, &[("ca9", "z2"), ("cc9", "z0")]);
    drop(instance.staged());
    check(&mut instance, &[("ca9", "z2"), ("cc9", "z0")]);
    // Nobody takes it, and the instance goes.
    drop(instance);
    assert_eq!(store.look().claims.keys().collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn counters_count_at_once() {
    let (store, mut instance) = new();
    check(&mut instance, &[("ax2", "z2"), ("ax3", "z5"), ("ay1", "z1")]);
    assert!(instance.staged().is_empty());
    // A batch with a crash runs twice, and what the first run counted stays counted.
    check(&mut instance, &[("ay2", "z5"), ("ax1t00", "fault")]);
    assert_eq!(store.look().counters, [(b"x".to_vec(), 7), (b"y".to_vec(), 5)].into());
}

#[test]
fn a_crash_drops_what_its_batch_staged_before_it_runs_again() {
    for (poison, fault) in
        [("t00", FaultKind::Trap), ("Ia0", FaultKind::Trap), ("Oa0", FaultKind::Trap)]
    {
        let (store, mut instance) = new();
        let poison = format!("cz9pz1{poison}");
        let scripts =
            [("ca9pa1", "z0"), (poison.as_str(), "fault"), ("cb9gz0", "m1"), ("cz9", "z0")];
        check(&mut instance, &scripts);
        assert_eq!(instance.configured().stats().faults, [(fault, 1)]);
        assert_eq!(confirm(instance.staged()), [0, 2, 3]);
        let look = store.look();
        assert_eq!(look.values.keys().collect::<Vec<_>>(), [b"a"]);
        assert!(look.claims.values().all(|(_, kept)| *kept));
        assert_eq!(look.claims.len(), 3);
    }
}

#[test]
fn what_a_message_staged_that_is_not_done_is_dropped() {
    let (store, mut instance) = new();
    check(&mut instance, &[("ca9pa1s00", "fault"), ("cb9pb1w00", "retry"), ("cc9pc1f00", "fail")]);
    assert!(instance.staged().is_empty());
    assert!(store.look().claims.is_empty());
}

#[test]
fn an_index_out_of_the_batch_and_memory_out_of_bounds_trap() {
    let (_, mut instance) = new();
    let verdicts = run(&mut instance, &["Ia0", "Oa0"]);
    for (verdict, text) in verdicts.iter().zip(["not in this batch", "outside the guest's memory"])
    {
        let Verdict::Fault(fault) = verdict else { panic!("{verdict:?}") };
        assert!(fault.text.contains(text), "{fault}");
    }
}

#[test]
fn limits_are_answered_and_not_exceeded() {
    let (store, mut instance) = new();
    let scripts = [
        ("Na0", "m3"),
        ("Ka0", "m4"),
        ("La0", "m4"),
        ("ca0", "m4"),
        ("Va0Vb0Vc0", "z0"),
        ("Va0Vb0Vc0Vd0", "m3"),
        ("Va0Vb0Vc0Vd0cd9", "z0"),
    ];
    check(&mut instance, &scripts);
    assert_eq!(confirm(instance.staged()), [4, 5, 6]);
    let look = store.look();
    assert_eq!(look.values.len(), 3);
    assert_eq!(look.asked, 64 + 1);
}

#[test]
fn a_store_that_is_away_is_asked_once_a_call_and_its_messages_wait() {
    let (store, mut instance) = new();
    store.look().error = Some(StateError::Unavailable("away".into()));
    check(
        &mut instance,
        &[("ca9", "m2"), ("ga0w00", "wait"), ("ax1f00", "wait"), ("pa1ga0", "z1")],
    );
    assert_eq!(store.look().asked, 1);
    assert!(instance.configured().stats().faults.is_empty());
    assert!(instance.configured().is_without_state());
    store.look().error = None;
    check(&mut instance, &[("ca9", "z0")]);
    assert!(!instance.configured().is_without_state());
}

#[test]
fn what_waits_for_others_uses_up_no_attempt() {
    let (store, mut instance) = new();
    let scripts = [
        ("ca9", "z0"),
        ("ca9w00", "wait"),
        ("cb9w00", "retry"),
        ("ax1w00", "wait"),
        ("ga0w00", "retry"),
        ("Na0f00", "fail"),
    ];
    check(&mut instance, &scripts);
    store.look().error = Some(StateError::Quota("full".into()));
    check(&mut instance, &[("cd9w00", "wait")]);
    let verdicts = run(&mut instance, &["ax1w00"]);
    let Verdict::Wait { after, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!(*after, Duration::from_millis(7));
}

#[test]
fn a_slow_store_is_no_fault_of_the_plugin() {
    let store = Arc::new(MemoryStore::default());
    let time = Duration::from_millis(10);
    let mut instance = open(&store, &Limits { time, batch_time: time, ..Limits::default() });
    store.look().delay = 10 * time;
    check(&mut instance, &[("ga0ga0ga0", "m1"), ("ga0ga0ga0", "m1")]);
    assert!(instance.configured().stats().faults.is_empty());
}

#[test]
fn a_lane_waits_for_a_slow_store_only_so_long() {
    let (store, mut instance) = new();
    store.look().delay = Duration::from_millis(400);
    // The second message begins at 1.2 s: it waits. What began goes on.
    check(&mut instance, &[("ga0ga0ga0", "m1"), ("ga0w00", "wait"), ("ga0", "m2")]);
    assert_eq!(store.look().asked, 3);
}

#[test]
fn without_state_nothing_is_available() {
    let (body, _) = CHAMELEON.split_once("(func $recurse").unwrap();
    let code = format!("{body}{SCRIPT}");
    let mut guest = Guest { imports: IMPORTS, code: &code, ..Guest::default() };
    guest.describe["reasons"] = json!(["m4", "m3", "m2"]);
    guest.describe["samples"] = json!([{ "body": "ca9" }]);
    let plugin = guest.load(Grants::default().with(Capability::Kv), &Limits::default()).unwrap();
    let mut instance = plugin.configure("stage", &json!({})).unwrap().open().unwrap();
    check(&mut instance, &[("ca9", "m2"), ("pa1", "m2")]);
    // Samples are no messages.
    let store = Arc::new(MemoryStore::default());
    plugin.configure_with("stage", &json!({}), Some(store.access())).unwrap();
    assert_eq!(store.look().asked, 0);
    assert_eq!(kind(&run(&mut instance, &["t00"])[0]), Some(FaultKind::Trap));
}
