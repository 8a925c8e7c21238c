//! Writes what is for people or scripts: results to standard output, diagnostics to standard error.
//!
//! What cannot be written (a full disk, a closed terminal) is remembered, and the command fails with it
//! at its end: see [`check_written`].

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};

use lockgate_config::Diagnostic;

use crate::cli::Format;

/// The first error of writing to standard output or standard error.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints one line of a command's result. A closed pipe ends nothing.
pub(crate) fn line(text: impl AsRef<str>) {
    remember(writeln!(stdout(), "{}", text.as_ref()));
}

/// Prints diagnostics for people on standard error, or as a JSON document on standard output.
pub(crate) fn diagnostics(diagnostics: &[Diagnostic], format: Format) {
    match format {
        Format::Text => {
            let text = lockgate_config::render_text(diagnostics, is_colored(&stderr()));
            remember(write!(stderr(), "{text}"));
        }
        Format::Json => {
            let json = serde_json::json!({ "diagnostics": diagnostics });
            remember(writeln!(stdout(), "{json}"));
        }
    }
}

/// Prints an error that is no diagnostic.
pub(crate) fn error(error: &anyhow::Error) {
    remember(writeln!(stderr(), "error: {error:#}"));
}

/// Prints one line about how it goes on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    remember(writeln!(stderr(), "{}", text.as_ref()));
}

/// Replaces the last line on standard error, which is a terminal.
pub(crate) fn progress(text: impl AsRef<str>) {
    let text = text.as_ref();
    remember(write!(stderr(), "\r\x1b[2K{text}").and_then(|()| stderr().flush()));
}

/// Whether to write in colours: on a terminal, unless `NO_COLOR` says no (<https://no-color.org>) or
/// the terminal has none.
pub(crate) fn is_colored(to: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let dumb = set("TERM").is_some_and(|term| term == "dumb");
    to.is_terminal() && set("NO_COLOR").is_none() && !dumb
}

/// Remembers an error of writing. Whoever reads from a pipe may close it when it has enough.
pub(crate) fn remember(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Fails when anything of what the command printed so far could not be written.
///
/// # Errors
/// The first error of writing.
pub(crate) fn check_written() -> anyhow::Result<()> {
    remember(stdout().flush());
    match FAILED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(anyhow::Error::new(error).context("cannot write what this prints")),
        None => Ok(()),
    }
}
