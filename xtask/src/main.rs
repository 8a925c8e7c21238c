//! The lockgate daemon.
fn main() {}
