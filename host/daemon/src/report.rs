//! Writes what is for people or scripts: results to standard output, diagnostics to standard error.

use std::io::{IsTerminal, Write, stderr, stdout};

use lockgate_config::Diagnostic;

use crate::cli::Format;

/// Prints one line of a command's result. A closed pipe ends nothing.
pub(crate) fn line(text: impl AsRef<str>) {
    drop(writeln!(stdout(), "{}", text.as_ref()));
}

/// Prints diagnostics for people on standard error, or as a JSON document on standard output.
pub(crate) fn diagnostics(diagnostics: &[Diagnostic], format: Format) {
    match format {
        Format::Text => {
            let text = lockgate_config::render_text(diagnostics, stderr().is_terminal());
            drop(write!(stderr(), "{text}"));
        }
        Format::Json => {
            let json = serde_json::json!({ "diagnostics": diagnostics });
            drop(writeln!(stdout(), "{json}"));
        }
    }
}

/// Prints an error that is no diagnostic.
pub(crate) fn error(error: &anyhow::Error) {
    drop(writeln!(stderr(), "error: {error:#}"));
}

/// Prints one line about how it goes on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    drop(writeln!(stderr(), "{}", text.as_ref()));
}

/// Replaces the last line on standard error, which is a terminal.
pub(crate) fn progress(text: impl AsRef<str>) {
    drop(write!(stderr(), "\r\x1b[2K{}", text.as_ref()).and_then(|()| stderr().flush()));
}
