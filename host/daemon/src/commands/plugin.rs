//! `lockgate plugin inspect`: what a plugin says of itself, read without running it.

use std::path::Path;
use std::process::ExitCode;

use lockgate_engine::{Inspection, LoadError, inspect as read_module};
use serde_json::json;

use crate::cli::Format;
use crate::{exit, plugins, report};

pub(crate) fn inspect(plugin: &str, format: Format) -> anyhow::Result<ExitCode> {
    let bytes = if plugins::NAMES.contains(&plugin) {
        plugins::shipped(plugin)
    } else {
        plugins::read(Path::new(plugin), lockgate_engine::MAX_MODULE as u64)
    };
    let inspected = bytes.and_then(|bytes| Ok(read_module(&bytes)?));
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => {
            let way_out = error.downcast_ref().map(LoadError::way_out);
            if format == Format::Json {
                let (error, help) = (format!("{error:#}"), way_out.as_deref());
                report::line(json!({ "fits": false, "error": error, "help": help }).to_string());
                return Ok(exit::bad_input());
            }
            report::error(&error.context(format!("{plugin} cannot be loaded as a plugin")));
            if let Some(way_out) = way_out {
                report::note(format!("help: {way_out}"));
            }
            return Ok(exit::bad_input());
        }
    };
    match format {
        Format::Json => report::line(as_json(&inspection).to_string()),
        Format::Text => as_text(&inspection).iter().for_each(report::line),
    }
    Ok(exit::OK)
}

fn as_json(inspection: &Inspection) -> serde_json::Value {
    let description = inspection.description.as_ref();
    json!({
        "fits": true,
        "grant": inspection.grant,
        "name": description.map(|d| &d.name),
        "version": description.map(|d| &d.version),
        "contract": description.map(|d| &d.contract),
        "door": inspection.door.name(),
        "sha256": inspection.digest.to_string(),
        "size": inspection.size,
        "imports": inspection.imports,
        "capabilities": description.map(|d| &d.capabilities),
        "reasons": description.map(|d| &d.reasons),
        "settings_schema": description.map(|d| &d.settings_schema),
    })
}

fn as_text(inspection: &Inspection) -> Vec<String> {
    let list = |items: &[String]| match items.is_empty() {
        true => "none".to_owned(),
        false => items.join(", "),
    };
    let mut lines = Vec::new();
    if let Some(description) = &inspection.description {
        lines.push(format!("name          {} {}", description.name, description.version));
        lines.push(format!("contract      {}", description.contract));
        lines.push(format!("capabilities  {}", list(&description.capabilities)));
        lines.push(format!("reasons       {}", list(&description.reasons)));
    } else {
        lines.push("name          not stated in the file; the plugin says it when it runs".into());
    }
    lines.push(match &inspection.grant {
        Some(grant) => format!("fits          yes, with `{grant}` in its stage"),
        None => "fits          yes".into(),
    });
    lines.push(format!("door          {}", inspection.door.name()));
    lines.push(format!("sha256        {}", inspection.digest));
    lines.push(format!("size          {} bytes", inspection.size));
    lines.push(format!("imports       {}", list(&inspection.imports)));
    if let Some(description) = &inspection.description {
        lines.push(format!("settings      {:#}", description.settings_schema));
    }
    lines
}
