//! `lockgate plugin inspect`: what a plugin says of itself, read without running it.

use std::path::Path;
use std::process::ExitCode;

use lockgate_engine::{Inspection, hex};
use serde_json::json;

use crate::cli::Format;
use crate::{exit, plugins, report};

/// Largest module that is looked at, bytes.
const MODULE_MAX: u64 = 256 << 20;

pub(crate) fn inspect(plugin: &str, format: Format) -> anyhow::Result<ExitCode> {
    let bytes = if plugins::NAMES.contains(&plugin) {
        plugins::shipped(plugin)
    } else {
        plugins::read(Path::new(plugin), MODULE_MAX)
    };
    let inspection = bytes.and_then(|bytes| Ok(lockgate_engine::inspect(&bytes)?));
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => {
            report::error(&error.context(format!("{plugin} is not a plugin that can be loaded")));
            return Ok(exit::bad_input());
        }
    };
    match format {
        Format::Json => report::line(as_json(&inspection).to_string()),
        Format::Text => as_text(&inspection).into_iter().for_each(report::line),
    }
    Ok(exit::OK)
}
