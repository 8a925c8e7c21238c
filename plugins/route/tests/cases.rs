//! The cases in `cases/`, each through the bytes that cross into the sandbox.

#[cfg(test)]
#[path = "../../filter/tests/cases/runner.rs"]
mod runner;

#[test]
fn cases() {
    runner::run::<route::Router>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
