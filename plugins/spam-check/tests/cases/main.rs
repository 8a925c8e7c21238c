//! The cases in `cases/`, each through the bytes that cross into the sandbox.

#[cfg(test)]
#[path = "../../../transform/tests/cases/runner.rs"]
mod runner;

#[test]
fn cases() {
    runner::run::<spam_check::SpamCheck>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
