//! Hostile guests: each harms only its own message.

use std::time::Duration;

use lockgate_engine::{BreakerLimits, Limits};
use lockgate_message::{Fault, FaultKind, Verdict};

use crate::guests::{Guest, kind, run};

/// A batch of 64 with one poison message at each of three places: 63 verdicts are right.
#[track_caller]
fn check(poison: &str, expected: FaultKind) {
    let mut instance = Guest::default().open(&Limits::default());
    for at in [0, 30, 63] {
        let bodies: Vec<_> = (0..64)
            .map(|n| match n {
                _ if n == at => poison,
                _ if n % 2 == 0 => "p",
                _ => "d",
            })
            .collect();
        let verdicts = run(&mut instance, &bodies);
        for (n, verdict) in verdicts.iter().enumerate() {
            match n {
                _ if n == at => assert_eq!(kind(verdict), Some(expected), "{verdict:?}"),
                _ => assert_eq!(verdict.name(), if n % 2 == 0 { "pass" } else { "drop" }),
            }
        }
    }
    assert_eq!(instance.configured().stats().faults, [(expected, 3)]);
}

#[test]
fn a_trap() {
    check("t", FaultKind::Trap);
}

#[test]
fn an_endless_loop() {
    check("l", FaultKind::Deadline);
}

#[test]
fn a_memory_bomb() {
    check("m", FaultKind::Memory);
}

#[test]
fn deep_recursion() {
    check("r", FaultKind::Stack);
}

#[test]
fn garbage_for_an_output() {
    check("g", FaultKind::BadOutput);
}

#[test]
fn an_output_out_of_bounds() {
    check("o", FaultKind::BadOutput);
}

#[test]
fn an_oversize_output() {
    check("b", FaultKind::OutputTooLarge);
}

#[test]
fn an_index_twice() {
    check("x", FaultKind::BadOutput);
}

#[test]
fn an_index_missing() {
    check("s", FaultKind::BadOutput);
}

#[test]
fn slow_messages_make_batches_small_instead_of_faults() {
    let limits = Limits { time: Duration::from_secs(5), ..Limits::default() };
    let mut instance = Guest::default().open(&limits);
    let verdicts = run(&mut instance, &["w"; 16]);
    assert!(verdicts.iter().all(|verdict| verdict.name() == "pass"), "{verdicts:?}");
}

#[test]
fn repeated_faults_pause_the_stage() {
    let breaker =
        BreakerLimits { faults: 5, pause: Duration::from_secs(600), ..BreakerLimits::default() };
    let mut instance = Guest::default().open(&Limits { breaker, ..Limits::default() });
    let verdicts = run(&mut instance, &["t"; 8]);
    let kinds: Vec<_> = verdicts.iter().filter_map(kind).collect();
    assert_eq!(kinds[..5], [FaultKind::Trap; 5]);
    assert_eq!(kinds[5..], [FaultKind::BreakerOpen; 3]);
    assert!(instance.configured().is_paused());
    assert_eq!(kind(&run(&mut instance, &["p"])[0]), Some(FaultKind::BreakerOpen));
}

#[test]
fn a_pause_ends_with_a_message_that_works() {
    let breaker = BreakerLimits { faults: 1, pause: Duration::ZERO, ..BreakerLimits::default() };
    let mut instance = Guest::default().open(&Limits { breaker, ..Limits::default() });
    run(&mut instance, &["t"]);
    assert!(instance.configured().is_paused());
    let verdicts = run(&mut instance, &["p", "d", "p"]);
    assert!(verdicts.iter().all(|verdict| kind(verdict).is_none()), "{verdicts:?}");
    assert!(!instance.configured().is_paused());
}

#[test]
fn a_log_flood_is_cut() {
    let guest = Guest {
        imports: r#"(import "lockgate_v0" "log" (func $log (param i32 i32 i32)))"#,
        code: r#"
            (func $flood (local $n i32) (local.set $n (i32.const 100000))
                (loop $more (call $log (i32.const 4) (i32.const 16) (i32.const 20))
                    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
            (func $batch (param i32 i32) (result i64) (call $flood) (i64.const 0))"#,
        ..Guest::default()
    };
    // All of it must come to pass, however slowly.
    let time = Duration::from_secs(60);
    let mut instance = guest.open(&Limits { time, ..Limits::default() });
    run(&mut instance, &["p"]);
    let stats = instance.configured().stats();
    assert_eq!(stats.log_lines + stats.log_lines_dropped, 100_000);
    assert!(stats.log_lines_dropped > 99_000, "{stats:?}");
}

#[test]
fn a_guest_is_made_anew_after_so_many_calls_or_so_much_memory() {
    let limits = Limits { recycle_calls: Some(2), ..Limits::default() };
    let mut instance = Guest::default().open(&limits);
    for _ in 0..6 {
        run(&mut instance, &["p"]);
    }
    // One for the check of the settings, one for each two calls.
    assert_eq!(instance.configured().stats().sandboxes, 4);

    let limits = Limits { recycle_memory: Some(2 << 20), ..Limits::default() };
    let mut instance = Guest::default().open(&limits);
    run(&mut instance, &[vec![b'p'; 3 << 20]]);
    assert_eq!(instance.configured().stats().memory, 0);
}

/// A guest that says why it stops is quoted in its fault, whatever way it has of saying so, on one
/// line and without what could steer a terminal.
#[test]
fn a_trap_carries_the_guest_s_own_words() {
    let said = "thread '<unnamed>' panicked at src/lib.rs:7:5:\nno such \u{1b}[31mtenant";
    let note = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
    let stderr = format!("a line before\n{said}\n{note}\n");
    let logs = format!("(call $log (i32.const 4) (i32.const 40000) (i32.const {}))", said.len());
    let writes = format!(
        "(i32.store (i32.const 39000) (i32.const 41000))
         (i32.store (i32.const 39004) (i32.const {}))
         (drop (call $write (i32.const 2) (i32.const 39000) (i32.const 1) (i32.const 39008)))",
        stderr.len()
    );
    for says in [logs, writes] {
        let imports = r#"(import "lockgate_v0" "log" (func $log (param i32 i32 i32)))
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))"#;
        let code = format!(
            "(data (i32.const 40000) {said:?}) (data (i32.const 41000) {stderr:?})
             (func $batch (param i32 i32) (result i64) {says} (unreachable))"
        );
        let code = code.replace("\\u{1b}", "\\1b");
        let guest = Guest { imports, code: &code, ..Guest::default() };
        let mut instance = guest.open(&Limits::default());
        let verdicts = run(&mut instance, &["x"]);
        let Verdict::Fault(Fault { kind: FaultKind::Trap, text }) = &verdicts[0] else {
            panic!("{verdicts:?}")
        };
        let expected = "thread '<unnamed>' panicked at src/lib.rs:7:5: no such \\u{1b}[31mtenant \
                        (wasm `unreachable` instruction executed";
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains("RUST_BACKTRACE") && !text.contains('\n'), "{text}");
    }
    // The words of one call are not those of the next.
    let code = r#"(global $calls (mut i32) (i32.const 0)) (data (i32.const 40000) "an error")
        (func $batch (param i32 i32) (result i64)
            (if (global.get $calls) (then (unreachable)))
            (global.set $calls (i32.const 1))
            (call $log (i32.const 4) (i32.const 40000) (i32.const 8))
            (i64.const 0))"#;
    let imports = r#"(import "lockgate_v0" "log" (func $log (param i32 i32 i32)))"#;
    let mut instance = Guest { imports, code, ..Guest::default() }.open(&Limits::default());
    let mut texts = Vec::new();
    for _ in 0..2 {
        let Verdict::Fault(fault) = run(&mut instance, &["x"]).remove(0) else { panic!() };
        texts.push(fault.text);
    }
    assert!(!texts[1].contains("an error"), "{texts:?}");
}

/// What was permitted counts, whatever a guest asks for in between.
#[test]
fn a_growth_that_no_memory_can_have_frees_nothing() {
    // Grows by 1 MiB and asks for the impossible, again and again: 64 MiB are the limit.
    let code = r#"(func $batch (param i32 i32) (result i64) (local $n i32)
        (loop $again
            (if (i32.ne (i32.const -1) (memory.grow (i32.const 16))) (then
                (drop (memory.grow (i32.const 65535)))
                (drop (memory.grow (i32.const -1)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $n) (i32.const 200))))))
        (if (i32.ge_u (local.get $n) (i32.const 64)) (then (loop $for_ever (br $for_ever))))
        (unreachable))"#;
    let mut instance = Guest { code, ..Guest::default() }.open(&Limits::default());
    assert_eq!(kind(&run(&mut instance, &["x"])[0]), Some(FaultKind::Memory));
}
