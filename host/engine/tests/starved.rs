//! The machine has no memory left: told from what a plugin does wrong, and over when there is some
//! again. It limits its own process, so it brings its own `main` and runs one after another.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

#[path = "engine/guests.rs"]
#[expect(dead_code, reason = "shared with the other test binary, which uses all of it")]
mod guests;

use std::time::{Duration, Instant};

use lockgate_engine::{
    BreakerLimits, Compiler, ConfigureError, Engine, EngineConfig, Grants, Isolation, Limits,
    LoadError,
};
use lockgate_message::{FaultKind, Verdict};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use guests::{Guest, kind, run};

fn main() {
    let tests: [(&str, fn()); 5] = [
        ("at_the_start_the_machine_is_named", at_the_start_the_machine_is_named),
        ("innocents_wait_and_are_judged_later", innocents_wait_and_are_judged_later),
        ("a_growth_that_the_machine_refuses", a_growth_that_the_machine_refuses),
        ("a_lane_opens_without_memory", a_lane_opens_without_memory),
        ("what_cannot_be_had_is_said_beforehand", what_cannot_be_had_is_said_beforehand),
    ];
    for (name, test) in tests {
        println!("test {name}");
        test();
        unlimited();
    }
}

/// Leaves this process room for so many more bytes of address space.
fn leave(room: u64) {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let current = Some(pages * rustix::param::page_size() as u64 + room);
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
}

fn unlimited() {
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: maximum, maximum }).unwrap();
}

/// Less than one sandbox reserves, more than all else takes.
const LITTLE: u64 = 1 << 30;

fn limits() -> Limits {
    let pause = Duration::from_millis(1);
    Limits { breaker: BreakerLimits { pause, ..BreakerLimits::default() }, ..Limits::default() }
}

fn engine(memory_reservation: u64) -> Engine {
    let config = EngineConfig::new(Compiler::InProcess);
    Engine::new(EngineConfig { memory_reservation, ..config }).unwrap()
}

fn at_the_start_the_machine_is_named() {
    let engine = guests::engine();
    let wasm = Guest::default().wasm();
    leave(LITTLE);
    let error = engine.load(&wasm, Grants::default(), &limits()).unwrap_err();
    let said = format!("{error}; {}", error.way_out());
    assert!(matches!(error, LoadError::Machine(_)), "{said}");
    assert!(said.contains("address space") && said.contains("memory_reservation"), "{said}");
    unlimited();
    let plugin = engine.load(&wasm, Grants::default(), &limits()).unwrap();
    leave(LITTLE);
    let error = plugin.configure("s", &json!({})).unwrap_err();
    assert!(matches!(error, ConfigureError::Machine(_)), "{error}");
    // With a smaller reservation the same machine does.
    let small = self::engine(64 << 20).load(&wasm, Grants::default(), &limits()).unwrap();
    let mut instance = small.configure("s", &json!({})).unwrap().open().unwrap();
    assert_eq!(run(&mut instance, &["p"]), [Verdict::Pass]);
}

fn names(verdicts: &[Verdict]) -> Vec<&'static str> {
    verdicts.iter().map(Verdict::name).collect()
}

/// Asks until the machine's refusal is over, the message being good.
fn judged(instance: &mut lockgate_engine::Instance, body: &str) -> Verdict {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let verdict = run(instance, &[body]).remove(0);
        if verdict.name() != "wait" {
            return verdict;
        }
        assert!(Instant::now() < until, "{verdict:?}");
    }
}

/// A crash costs the sandbox, and the next one cannot be made: of that, no message is to blame.
fn innocents_wait_and_are_judged_later() {
    for isolation in [Isolation::Instance, Isolation::Batch, Isolation::Message] {
        let limits = Limits { isolation, ..limits() };
        let plugin =
            guests::engine().load(&Guest::default().wasm(), Grants::default(), &limits).unwrap();
        let configured = plugin.configure("s", &json!({})).unwrap();
        let mut instance = configured.open().unwrap();
        // Afterwards it holds no sandbox, whose place the next one could take.
        if isolation == Isolation::Instance {
            assert_eq!(names(&run(&mut instance, &["t"])), ["fault"]);
        } else {
            assert_eq!(run(&mut instance, &["p"]), [Verdict::Pass]);
        }
        leave(LITTLE);
        let verdicts = run(&mut instance, &["p", "t", "d"]);
        assert_eq!(names(&verdicts), ["wait", "wait", "wait"]);
        let Verdict::Wait { away: true, text, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
        assert!(text.contains("address space"), "{text}");
        let why = configured.pause().unwrap();
        assert!(configured.is_paused() && why.contains("address space"), "{why}");
        let before = configured.stats().faults;
        unlimited();
        assert_eq!(judged(&mut instance, "p"), Verdict::Pass);
        assert!(!configured.is_paused() && configured.pause().is_none());
        let verdicts = run(&mut instance, &["p", "t", "d"]);
        assert_eq!(names(&verdicts), ["pass", "fault", "drop"]);
        assert_eq!(kind(&verdicts[1]), Some(FaultKind::Trap));
        let traps: u64 = before.iter().map(|(_, count)| count).sum();
        assert_eq!(configured.stats().faults, [(FaultKind::Trap, traps + 1)]);
    }
}

/// With a small reservation a memory that grows beyond it is made anew, which the machine may refuse
/// in the middle of a call.
fn a_growth_that_the_machine_refuses() {
    let engine = self::engine(1 << 20);
    let limits = Limits { memory: 512 << 20, time: Duration::from_secs(30), ..limits() };
    let plugin = engine.load(&Guest::default().wasm(), Grants::default(), &limits).unwrap();
    let configured = plugin.configure("s", &json!({})).unwrap();
    let mut instance = configured.open().unwrap();
    leave(128 << 20);
    assert_eq!(names(&run(&mut instance, &["m"])), ["wait"]);
    unlimited();
    // With all that it may have, it is the plugin that eats too much.
    assert_eq!(kind(&judged(&mut instance, "m")), Some(FaultKind::Memory));
}

fn a_lane_opens_without_memory() {
    let plugin =
        guests::engine().load(&Guest::default().wasm(), Grants::default(), &limits()).unwrap();
    let configured = plugin.configure("s", &json!({})).unwrap();
    leave(LITTLE);
    let mut instance = configured.open().unwrap();
    assert!(configured.is_paused());
    assert_eq!(names(&run(&mut instance, &["p"])), ["wait"]);
    unlimited();
    assert_eq!(judged(&mut instance, "p"), Verdict::Pass);
}

fn what_cannot_be_had_is_said_beforehand() {
    let engine = guests::engine();
    engine.room_for(1000).unwrap();
    leave(16 << 30);
    engine.room_for(3).unwrap();
    let error = engine.room_for(8).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("this machine refuses what the plugin's sandbox needs: 8 sandboxes"),
        "{error}"
    );
    self::engine(64 << 20).room_for(100).unwrap();
}
