//! The cases in `cases/`, each through the bytes that cross into the sandbox.

#[cfg(test)]
mod runner;

#[test]
fn cases() {
    runner::run::<transform::Transform>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
