//! The cases in `cases/`, each through the bytes that cross into the sandbox.

#[cfg(test)]
#[path = "../../case_runner.rs"]
mod case_runner;

#[test]
fn cases() {
    case_runner::run::<dedupe::Dedupe>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
