//! `lockgate dlq export`: dead letters as JSON lines.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use lockgate_config::Code;

use super::arguments::ExportArguments;
use super::as_text::letters;
use super::walk::Walk;
use super::{Refused, as_json};
use crate::{exit, report};

pub(super) async fn run(arguments: ExportArguments) -> anyhow::Result<ExitCode> {
    let mut walk = Walk::open(&arguments.place).await?;
    let mut out = match &arguments.out {
        Some(path) => create(path)?,
        None => Box::new(BufWriter::new(stdout())),
    };
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut written = 0;
    let mut failure = None;
    while failure.is_none()
        && let Some(letters) = walk.next(limit - written).await?
    {
        for letter in letters {
            if failure.is_none() {
                match writeln!(out, "{}", as_json::letter(&letter)) {
                    Ok(()) => written += 1,
                    Err(error) => failure = Some(error),
                }
            }
            walk.keep(letter);
        }
    }
    let failure = failure.or(out.flush().err());
    let more = walk.has_more() && written < limit;
    report::note(format!("{} written", letters(written)));
    walk.finish().await?;
    match failure {
        Some(error) => Err(anyhow::Error::new(error).context("not all could be written")),
        None => Ok(if more { exit::failed() } else { exit::OK }),
    }
}

/// A file that was not there before.
fn create(path: &Path) -> Result<Box<dyn Write>, Refused> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok(Box::new(BufWriter::new(file))),
        Err(error) => Err(Refused::one(
            Code::Unreadable,
            format!("`{}` cannot be made: {error}", path.display()),
            "an export writes a new file and overwrites none",
        )),
    }
}
