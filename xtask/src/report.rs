//! What a task tells the person who started it: plain lines on stderr.

use std::io::Write;

/// Prints one line. A closed stderr is no reason to stop the work.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints the one line of a step, `name: what happens`.
pub(crate) fn step(name: &str, what: &str) {
    say(&format!("{name}: {what}"));
}
