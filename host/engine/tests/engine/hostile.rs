//! Hostile guests: each harms only its own message.

use std::time::Duration;

use lockgate_engine::{BreakerLimits, Limits};
use lockgate_message::FaultKind;

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
